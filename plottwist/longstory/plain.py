"""The plain baselines: a BART and a GPT-2 that know a story by rereading it, as far back as their window reaches.

They get the same keywords and order tokens as LongStory; what differs is how the past is carried. Their cost a paragraph grows
with the story until the history fills its room, after which the beginning is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration, GPT2Config, GPT2LMHeadModel

from plottwist.longstory.contexts import Limits
from plottwist.longstory.order import MOST_PARAGRAPHS
from plottwist.longstory.storyteller import Conditions, Decoder, EncoderDecoder, Step


class HistoryParts(Limits):
    """Limits, and the room for the paragraphs so far; the oldest tokens are left out first."""

    history_tokens: int = Field(default=512, ge=1)


class PlainBartConfig(BartConfig):
    """BART's config and the values of ``HistoryParts``."""

    model_type = "plain_bart"
    parts: dict | None = None


class PlainGPT2Config(GPT2Config):
    """GPT-2's config and the values of ``HistoryParts``."""

    model_type = "plain_gpt2"
    parts: dict | None = None


class _Rereads:
    """No memory: the prompt is start, order tokens, keywords, separator, history."""

    @property
    def reads(self) -> int:
        return MOST_PARAGRAPHS

    def first_memory(self, keywords: Sequence[tuple[str, ...]]) -> Tensor:
        return torch.zeros(len(keywords), 0, 0, device=self.device)

    def prompts(self, steps: Sequence[Step], left: bool) -> tuple[Tensor, Tensor]:
        """Ids and mask, (batch, tokens)."""
        histories = self.tokenizer.texts([" ".join(s.earlier) for s in steps])
        room = self.parts.history_tokens
        rows = [
            [self.tokenizer.start, *self.source(s), self.tokenizer.separator, *history[-room:], self.tokenizer.separator]
            for s, history in zip(steps, histories, strict=True)
        ]
        return self.tokenizer.padded(rows, self.device, left=left)


class PlainEncoderDecoder(_Rereads, EncoderDecoder, BartForConditionalGeneration):
    """A BART as transformers has it."""

    config_class = PlainBartConfig

    def __init__(self, config: PlainBartConfig) -> None:
        super().__init__(config)
        self.limits = self.parts = HistoryParts.read(config.parts)

    def condition(self, steps: Sequence[Step], memory: Tensor) -> Conditions:
        ids, mask = self.prompts(steps, left=False)
        encoded = self.model.encoder(input_ids=ids, attention_mask=mask)
        return Conditions({"encoder_outputs": encoded, "attention_mask": mask}, memory)


class PlainDecoder(_Rereads, Decoder, GPT2LMHeadModel):
    """A GPT-2 as transformers has it."""

    config_class = PlainGPT2Config

    def __init__(self, config: PlainGPT2Config) -> None:
        super().__init__(config)
        self.limits = self.parts = HistoryParts.read(config.parts)

    def condition(self, steps: Sequence[Step], memory: Tensor) -> Conditions:
        ids, mask = self.prompts(steps, left=True)
        return Conditions({"inputs_embeds": self.get_input_embeddings()(ids), "attention_mask": mask}, memory)
