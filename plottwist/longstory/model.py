"""LongStory: a BART whose encoder layers fuse attention over the input, the Memory and the Cheating context.

    alpha * Attn(Q, K, V) + beta * Attn(Q, M, M) + gamma * Attn(Q, C, C)

stands where BART has Attn(Q, K, V); Q is the layer input, M and C have attention modules of their own, the decoder is BART's.
An empty context is a zero vector and adds nothing; alpha keeps its value. With alpha = 1 the model is BART (tested to 1e-5).
M is one vector: from zero, equal slots would stay equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration, BertConfig, BertModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bart.modeling_bart import BartAttention

from plottwist.errors import PlotTwistError
from plottwist.longstory.contexts import Calibrator, Cheating, Memory, Parts, mean_embedding
from plottwist.longstory.storyteller import Conditions, EncoderDecoder, Step
from plottwist.longstory.tokens import StoryTokenizer

BART, BERT = "facebook/bart-large", "prajjwal1/bert-tiny"  # the paper's weights

_CALIBRATOR_TOKENIZER = "calibrator_tokenizer"


class LongStoryConfig(BartConfig):
    """BART's config, which ``parts`` are on, and the config of the calibrator's BERT."""

    model_type = "longstory"
    parts: dict | None = None
    bert: dict | None = None


@dataclass(frozen=True)
class Contexts:
    """What the encoder layers fuse: weights of three (batch, 1, 1), zero for an empty context; M (batch, 1, d); C (batch, tokens, d)."""

    weights: tuple[Tensor, Tensor, Tensor]
    memory: Tensor
    cheating: Tensor
    cheating_mask: Tensor | None


class FusedAttention(BartAttention):
    """The equation above; an attention for a context that is off does not exist."""

    def __init__(self, config: LongStoryConfig, parts: Parts) -> None:
        super().__init__(**_attention(config))
        self.memory_attn = BartAttention(**_attention(config)) if parts.memory else None
        self.cheating_attn = BartAttention(**_attention(config)) if parts.cheating else None

    def forward(self, hidden_states: Tensor, *, attention_mask: Tensor | None, contexts: Contexts, **kwargs: Any) -> tuple[Tensor, Tensor]:
        alpha, beta, gamma = contexts.weights
        own, seen = super().forward(hidden_states, attention_mask=attention_mask, **kwargs)
        fused = alpha * own
        if self.memory_attn is not None:
            fused = fused + beta * self.memory_attn(hidden_states, contexts.memory)[0]
        if self.cheating_attn is not None:
            fused = fused + gamma * self.cheating_attn(hidden_states, contexts.cheating, attention_mask=contexts.cheating_mask)[0]
        return fused, seen


class LongStory(EncoderDecoder, BartForConditionalGeneration):
    """The model of the paper; ``LongStoryConfig.parts`` switches its parts."""

    config_class = LongStoryConfig

    def __init__(self, config: LongStoryConfig) -> None:
        super().__init__(config)
        self.limits = self.parts = Parts.read(config.parts)
        for layer in self.model.encoder.layers:
            layer.self_attn = FusedAttention(config, self.parts)
        self.memory = Memory(config.d_model) if self.parts.memory else None
        self.cheating = Cheating(config.d_model) if self.parts.cheating else None
        self.calibrator = Calibrator(self.parts, BertConfig(**(config.bert or {}))) if self.parts.calibrates else None
        self.calibrator_tokenizer: StoryTokenizer | None = None
        self.post_init()

    @property
    def reads(self) -> int:
        return max(1, self.parts.cheating)

    def first_memory(self, keywords: Sequence[tuple[str, ...]]) -> Tensor:
        return torch.zeros(len(keywords), 1, self.config.d_model, device=self.device, dtype=self.dtype)

    def condition(self, steps: Sequence[Step], memory: Tensor) -> Conditions:
        ids, mask = self.tokenizer.padded([[self.tokenizer.start, *self.source(s), self.tokenizer.end] for s in steps], self.device)
        memory, remembers = self._remember(steps, memory.detach())
        cheating, cheating_mask = self._cheat(steps)
        weights = self.weights(steps)  # (batch, 3)
        there = torch.stack([torch.ones_like(remembers), remembers, cheating_mask.any(1)], dim=1)  # (batch, 3)
        alpha, beta, gamma = (weights * there)[..., None, None].unbind(1)
        # A row without any paragraph yet has no key to attend to; its weight is 0, so it may look at the padding.
        open_mask = cheating_mask | ~cheating_mask.any(1, keepdim=True)
        fused_mask = create_bidirectional_mask(self.config, self.get_input_embeddings()(ids), open_mask, encoder_hidden_states=cheating)
        contexts = Contexts((alpha, beta, gamma), memory, cheating, fused_mask)
        encoded = self.model.encoder(input_ids=ids, attention_mask=mask, contexts=contexts)
        return Conditions({"encoder_outputs": encoded, "attention_mask": mask}, memory, weights)

    def weights(self, steps: Sequence[Step]) -> Tensor:
        """(alpha, beta, gamma) of each step, (batch, 3)."""
        if self.calibrator is None:
            return torch.tensor(self.parts.constant_weights(), device=self.device, dtype=self.dtype).expand(len(steps), 3)
        return self.calibrator(*self.calibrator_input(steps))

    def calibrator_input(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        """What the calibrator reads, ids and mask (batch, tokens): start, order tokens, previous paragraph (cut to fit), end."""
        tokenizer = self.calibrator_tokenizer or self.tokenizer
        rows = []
        for step, previous in zip(steps, tokenizer.texts([_previous(s) for s in steps]), strict=True):
            order = tokenizer.order(step.order) if self.parts.discourse else []
            room = self.calibrator.bert.config.max_position_embeddings - len(order) - 2
            rows.append([tokenizer.start, *order, *previous[:room], tokenizer.end])
        return tokenizer.padded(rows, self.device)

    def _remember(self, steps: Sequence[Step], memory: Tensor) -> tuple[Tensor, Tensor]:
        """M_t (batch, 1, d), and whether there is anything in it (batch,): nothing before the first paragraph has been read."""
        ids, mask = self.tokenizer.padded(self.tokenizer.texts([_previous(s) for s in steps]), self.device)
        read = mask.any(1)
        if self.memory is None:
            return memory, torch.zeros_like(read)
        h = mean_embedding(self.get_input_embeddings()(ids), mask)
        memory = torch.where(read[:, None, None], self.memory(memory, h), memory)
        return memory, memory.detach().abs().sum((1, 2)) > 0

    def _cheat(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        """C_t (batch, tokens, d) of the last c paragraphs, which are cut to the last tokens that have a position; and their mask."""
        earlier = [" ".join(s.earlier[-self.parts.cheating :]) if self.parts.cheating else "" for s in steps]
        ids, mask = self.tokenizer.padded(
            [row[-self.config.max_position_embeddings :] for row in self.tokenizer.texts(earlier)], self.device
        )
        embeddings = self.get_input_embeddings()(ids) + self.model.encoder.embed_positions(ids)
        return (embeddings if self.cheating is None else self.cheating(embeddings)), mask

    def save(self, folder: str | Path) -> None:
        super().save(folder)
        if self.calibrator_tokenizer is not None:
            self.calibrator_tokenizer.save(Path(folder) / _CALIBRATOR_TOKENIZER)

    def equip(self, tokenizer: StoryTokenizer, calibrator_tokenizer: StoryTokenizer | None = None) -> LongStory:
        """The calibrator reads with the story's tokenizer unless its BERT came with another one."""
        self.calibrator_tokenizer = calibrator_tokenizer
        super().equip(tokenizer)
        return self

    @classmethod
    def from_weights(cls, bart: str | Path = BART, bert: str | Path = BERT, parts: Parts | None = None) -> LongStory:
        """From pretrained weights, each a Hub id or a folder; what they do not have (M, C, W) starts fresh.

        Raises:
            PlotTwistError: weights or tokenizer missing, or not in safetensors.
        """
        parts = parts or Parts()
        tokenizer, reader = StoryTokenizer.load(bart), StoryTokenizer.load(bert)
        try:
            small = BertModel.from_pretrained(bert, add_pooling_layer=False, use_safetensors=True)
            small.resize_token_embeddings(len(reader))
            config = LongStoryConfig.from_pretrained(bart, parts=parts.model_dump(), bert=small.config.to_dict())
            model = cls.from_pretrained(bart, config=config, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise PlotTwistError(f"cannot load '{bart}' and '{bert}' from safetensors: {str(error).splitlines()[0]}") from error
        model.resize_token_embeddings(len(tokenizer))
        if model.calibrator is not None:
            model.calibrator.bert.load_state_dict(small.state_dict())
        return model.equip(tokenizer, reader)


def calibrator_tokenizer(folder: str | Path) -> StoryTokenizer | None:
    """The calibrator's own tokenizer in a saved model, if it has one."""
    own = Path(folder) / _CALIBRATOR_TOKENIZER
    return StoryTokenizer.load(own) if own.is_dir() else None


def _previous(step: Step) -> str:
    return step.earlier[-1] if step.earlier else ""


def _attention(config: LongStoryConfig) -> dict[str, Any]:
    return {
        "embed_dim": config.d_model,
        "num_heads": config.encoder_attention_heads,
        "dropout": config.attention_dropout,
        "config": config,
    }
