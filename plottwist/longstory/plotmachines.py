"""PlotMachines (Rashkin et al., EMNLP 2020), the paper's rival: a GPT-2 that attends to its prefix and to a plot-state memory.

Each block takes (Attn(prefix) + Attn(M)) / 2. The memory has a slot for each outline token, started from its embedding, and free
slots (random in the authors' code, learnt here); all are updated by the gate of ``contexts.Memory`` and L2-normalised where they are
read. The prompt is [previous paragraph] outline <intro|body|tail>. Ours differ in one thing: the vector of a paragraph is its mean
token embedding, as in LongStory, not the output of a second, frozen GPT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from plottwist.longstory.contexts import Limits, Memory, mean_embedding
from plottwist.longstory.storyteller import Conditions, Decoder, Step

_ROLES = ("<intro>", "<body>", "<tail>")  # PlotMachines knows no thirds and no warning before the end


class PlotParts(Limits):
    """Limits, and how many free slots the memory has besides the outline's."""

    state_slots: int = Field(default=100, ge=1)


class PlotMachinesConfig(GPT2Config):
    """GPT-2's config and the values of ``PlotParts``."""

    model_type = "plotmachines"
    parts: dict | None = None


class PlotAttention(GPT2Attention):
    """The mean of attention over the prefix and over the memory."""

    def __init__(self, config: PlotMachinesConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx=layer_idx)
        self.memory_attn = GPT2Attention(config, is_cross_attention=True, layer_idx=layer_idx)

    def forward(self, hidden_states: Tensor, *, memory: Tensor, memory_mask: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
        own, seen = super().forward(hidden_states, **kwargs)
        remembered, _ = self.memory_attn(hidden_states, encoder_hidden_states=memory, encoder_attention_mask=memory_mask)
        return (own + remembered) / 2, seen


class PlotMachines(Decoder, GPT2LMHeadModel):
    """A decoder with an outline and a memory."""

    config_class = PlotMachinesConfig

    def __init__(self, config: PlotMachinesConfig) -> None:
        super().__init__(config)
        self.limits = self.parts = PlotParts.read(config.parts)
        for i, block in enumerate(self.transformer.h):
            block.attn = PlotAttention(config, i)
        self.memory = Memory(config.n_embd)
        self.state = nn.Linear(config.n_embd, self.parts.state_slots, bias=False)  # its weight (slots, d) is where free slots start
        self.post_init()

    @property
    def reads(self) -> int:
        return 1

    def first_memory(self, keywords: Sequence[tuple[str, ...]]) -> Tensor:
        outline = self.get_input_embeddings()(self._outline(keywords)[0])  # (batch, source tokens, d)
        free = self.state.weight.expand(len(keywords), -1, -1)  # (batch, state slots, d)
        return torch.cat([outline, free], dim=1)

    def condition(self, steps: Sequence[Step], memory: Tensor) -> Conditions:
        embed = self.get_input_embeddings()
        h, read = self._previous(steps)
        keywords = [s.keywords for s in steps]
        first = torch.tensor([not s.earlier for s in steps], device=self.device)
        # Computed again rather than taken from outside, so that outline and free slots learn where a story starts.
        memory = torch.where(first[:, None, None], self.first_memory(keywords), memory.detach())
        memory = torch.where(read[:, None, None], self.memory(memory, h), memory)
        rows = [[self.tokenizer.start, *self.source(s), *self._role(s)] for s in steps]
        ids, mask = self.tokenizer.padded(rows, self.device, left=True)
        is_start = (mask.cumsum(1) == 1) & mask & read[:, None]  # the paragraph before stands in the start token's place
        embeddings = torch.where(is_start[..., None], h[:, None], embed(ids))
        inputs = {"inputs_embeds": embeddings, "attention_mask": mask}
        return Conditions(inputs | {"memory": F.normalize(memory, dim=-1), "memory_mask": self._slots(keywords)}, memory)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """GPT-2's forward with a memory (batch, slots, d) and its additive mask (batch, 1, 1, slots)."""
        return super().forward(
            input_ids=input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            memory=memory,
            memory_mask=memory_mask,
            **kwargs,
        )

    def source(self, step: Step) -> list[int]:
        return self.tokenizer.keywords(step.keywords, self.limits.source_tokens)

    def _role(self, step: Step) -> list[int]:
        return [token for token in self.order(step) if token in self.tokenizer.order(_ROLES)]

    def _outline(self, keywords: Sequence[tuple[str, ...]]) -> tuple[Tensor, Tensor]:
        """Outline ids and mask, (batch, source tokens), of the same width whatever the keywords."""
        most = self.limits.source_tokens
        ids, mask = self.tokenizer.padded([self.tokenizer.keywords(k, most) for k in keywords], self.device)
        gap = (0, most - ids.shape[1])
        return F.pad(ids, gap, value=self.tokenizer.pad), F.pad(mask, gap, value=False)

    def _slots(self, keywords: Sequence[tuple[str, ...]]) -> Tensor:
        free = torch.ones(len(keywords), self.parts.state_slots, dtype=torch.bool, device=self.device)
        used = torch.cat([self._outline(keywords)[1], free], dim=1)[:, None, None]  # (batch, 1, 1, slots)
        return torch.zeros(used.shape, device=self.device).masked_fill(~used, torch.finfo(self.dtype).min)

    def _previous(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        texts = self.tokenizer.texts([s.earlier[-1] if s.earlier else "" for s in steps])
        ids, mask = self.tokenizer.padded(texts, self.device)
        return mean_embedding(self.get_input_embeddings()(ids), mask), mask.any(1)
