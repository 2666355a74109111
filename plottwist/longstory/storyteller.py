"""The interface behind which LongStory and its baselines stand: what training and writing need of a model.

A story is told in steps, one a paragraph. ``condition`` turns a batch of steps and their memories into the inputs of the
decoder; ``logits`` reads true paragraphs by teacher forcing. A model keeps nothing between steps: the memory is handed back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig
from transformers.models.bart.modeling_bart import shift_tokens_right

from plottwist.errors import PlotTwistError
from plottwist.longstory.contexts import Limits
from plottwist.longstory.order import order_tokens
from plottwist.longstory.tokens import StoryTokenizer


@dataclass(frozen=True)
class Step:
    """All that a paragraph is written from, besides the memory: the story's keywords, D_t, and the paragraphs before it."""

    keywords: tuple[str, ...]
    order: tuple[str, ...]
    earlier: tuple[str, ...] = ()

    @classmethod
    def at(cls, keywords: tuple[str, ...], position: int, paragraphs: int, earlier: Sequence[str]) -> Step:
        """The step at a position (from 0) of a story of so many paragraphs."""
        return cls(keywords, order_tokens(position, paragraphs), tuple(earlier))


@dataclass(frozen=True)
class Conditions:
    """The decoder's inputs, the memory after this step's update, and (alpha, beta, gamma), (batch, 3), if the model has them."""

    inputs: dict[str, Any]
    memory: Tensor
    weights: Tensor | None = None


class Storyteller:
    """Mixed into a transformers model; ``equip`` gives it its tokenizer."""

    tokenizer: StoryTokenizer
    limits: Limits

    @property
    def reads(self) -> int:
        """How many earlier paragraphs a step reads."""
        raise NotImplementedError

    @abstractmethod
    def first_memory(self, keywords: Sequence[tuple[str, ...]]) -> Tensor:
        """The memory before the first paragraph, (batch, slots, d)."""

    @abstractmethod
    def condition(self, steps: Sequence[Step], memory: Tensor) -> Conditions:
        """Everything but the paragraph itself; ``memory`` (batch, slots, d) is detached first."""

    @abstractmethod
    def logits(self, conditions: Conditions, targets: Tensor, mask: Tensor) -> Tensor:
        """Scores (batch, tokens, vocabulary) of each target token given those before it; targets and mask (batch, tokens)."""

    def losses(self, steps: Sequence[Step], memory: Tensor, paragraphs: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Teacher forcing: negative log likelihood of each paragraph (batch,), its tokens (batch,), and the new memory."""
        targets, mask = self.tokenizer.padded([self.target(ids) for ids in self.tokenizer.texts(paragraphs)], self.device)
        conditions = self.condition(steps, memory)
        logits = self.logits(conditions, targets, mask)
        nll = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)  # (batch, tokens)
        return (nll * mask).sum(1), mask.sum(1), conditions.memory

    def target(self, ids: list[int]) -> list[int]:
        """A paragraph and its end; one over the limit is cut, and then has no end to learn."""
        return [*ids, self.tokenizer.end][: self.limits.paragraph_tokens]

    def source(self, step: Step) -> list[int]:
        """Order tokens (if the model sees them) and keywords."""
        return [*self.order(step), *self.tokenizer.keywords(step.keywords, self.limits.source_tokens)]

    def order(self, step: Step) -> list[int]:
        return self.tokenizer.order(step.order) if self.limits.discourse else []

    def equip(self, tokenizer: StoryTokenizer) -> Storyteller:
        """Give the model its tokenizer; decoding defaults that came with a checkpoint (beams, forced tokens) are dropped."""
        if len(tokenizer) > self.get_input_embeddings().num_embeddings:
            raise PlotTwistError(f"the tokenizer has {len(tokenizer)} tokens but the model {self.get_input_embeddings().num_embeddings}")
        self.tokenizer = tokenizer
        start = self.config.decoder_start_token_id if self.config.is_encoder_decoder else tokenizer.start
        self.generation_config = GenerationConfig(
            pad_token_id=tokenizer.pad, eos_token_id=tokenizer.end, bos_token_id=tokenizer.start, decoder_start_token_id=start
        )
        return self

    def save(self, folder: str | Path) -> None:
        """Config, weights (safetensors) and tokenizer, in the Hub format."""
        self.save_pretrained(folder)
        self.tokenizer.save(folder)


class EncoderDecoder(Storyteller):
    """Storytellers on ``BartForConditionalGeneration``: ``condition`` runs the encoder."""

    def logits(self, conditions: Conditions, targets: Tensor, mask: Tensor) -> Tensor:
        shifted = shift_tokens_right(targets, self.config.pad_token_id, self.config.decoder_start_token_id)
        return self(decoder_input_ids=shifted, use_cache=False, **conditions.inputs).logits


class Decoder(Storyteller):
    """Storytellers on ``GPT2LMHeadModel``: ``condition`` gives the embeddings of a prompt, padded on the left."""

    def logits(self, conditions: Conditions, targets: Tensor, mask: Tensor) -> Tensor:
        rest = dict(conditions.inputs)
        prompt, prompt_mask = rest.pop("inputs_embeds"), rest.pop("attention_mask")
        embeddings = torch.cat([prompt, self.get_input_embeddings()(targets)], dim=1)  # (batch, prompt + tokens, d)
        mask = torch.cat([prompt_mask, mask], dim=1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        keep = targets.shape[1] + 1  # a token is scored where the one before it stands, so the last column is of no use
        inputs = {"inputs_embeds": embeddings, "attention_mask": mask, "position_ids": positions, **rest}
        return self(**inputs, use_cache=False, logits_to_keep=keep).logits[:, :-1]
