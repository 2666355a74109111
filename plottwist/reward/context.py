"""Sentence vectors in context: the encoder reads a stretch of the story at once, and a sentence's vector is the mean over its tokens.

A frozen encoder reads each sentence alone and cannot know that the key was melted down three sentences ago. Here MiniLM reads windows of
whole sentences and is adapted by LoRA while the reward head is trained; only the adapter (a few megabytes) is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from plottwist.metrics.encoder import load_encoder, precision

_WINDOW = 400  # tokens: a plot of 200 words is read at once
_TOKENS_A_BATCH = 8192


@dataclass(frozen=True)
class Window:
    """Consecutive sentences of one document as one row of tokens; ``sentence`` numbers each token's sentence, -1 for none."""

    document: int
    tokens: list[int]
    sentence: list[int]


class ContextEncoder(nn.Module):
    """MiniLM with a LoRA adapter that turns documents (lists of sentences) into sentence vectors."""

    def __init__(self, source: str, rank: int, seed: int = 0) -> None:
        super().__init__()
        self.tokenizer, base = load_encoder(source)
        torch.manual_seed(seed)
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=["query", "key", "value", "dense"])
        self.model = get_peft_model(base, lora)
        self._merged: nn.Module | None = None

    def train(self, mode: bool = True) -> ContextEncoder:
        """Without dropout in the encoder: with it, attention on a CPU takes a path several times slower."""
        super().train(mode)
        self.model.eval()
        return self

    def windows(self, documents: Sequence[Sequence[str]]) -> list[Window]:
        """Cut documents between sentences into rows of at most about 400 tokens; a longer sentence is cut."""
        found = []
        for number, document in enumerate(documents):
            tokens, owner = [self.tokenizer.cls_token_id], [-1]
            for index, ids in enumerate(
                self.tokenizer(list(document), add_special_tokens=False, truncation=True, max_length=_WINDOW)["input_ids"]
            ):
                if len(tokens) + len(ids) > _WINDOW and len(tokens) > 1:
                    found.append(Window(number, [*tokens, self.tokenizer.sep_token_id], [*owner, -1]))
                    tokens, owner = [self.tokenizer.cls_token_id], [-1]
                ids = ids or [self.tokenizer.unk_token_id]
                tokens, owner = tokens + ids, owner + [index] * len(ids)
            found.append(Window(number, [*tokens, self.tokenizer.sep_token_id], [*owner, -1]))
        return found

    def forward(self, documents: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Sentence vectors of several documents with gradients: (documents, sentences, d) and a mask (documents, sentences)."""
        rows = self.windows(documents)
        hidden = self._hidden(self.model, rows)  # (windows, tokens, d)
        longest = max(map(len, documents))
        sums = torch.zeros(len(documents) * longest, hidden.shape[-1])
        counts = torch.zeros(len(documents) * longest)
        for row, states in zip(rows, hidden, strict=True):
            _add(sums, counts, states, row, row.document * longest)
        vectors = (sums / counts.clamp(min=1)[:, None]).view(len(documents), longest, -1)
        return vectors, (counts > 0).float().view(len(documents), longest)

    @torch.inference_mode()
    def encode(self, documents: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """Sentence vectors of any number of documents, each (sentences, d), fast: adapter merged, bfloat16 where the processor has it."""
        if self._merged is None:
            self._merged = _merged(self.model)
        rows = self.windows(documents)
        sums = [torch.zeros(len(d), self.model.config.hidden_size) for d in documents]
        counts = [torch.zeros(len(d)) for d in documents]
        for batch in _batches(rows):
            for row, states in zip(batch, self._hidden(self._merged, batch), strict=True):
                _add(sums[row.document], counts[row.document], states, row, 0)
        return [(s / c.clamp(min=1)[:, None]).numpy() for s, c in zip(sums, counts, strict=True)]

    def adapter(self) -> dict[str, Tensor]:
        """The adapter's tensors, to be saved."""
        return {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(self.model).items()}

    def load_adapter(self, tensors: dict[str, Tensor]) -> None:
        set_peft_model_state_dict(self.model, tensors)
        self.changed()

    def changed(self) -> None:
        """To be called when the adapter has changed: ``encode`` merges it anew."""
        self._merged = None

    def _hidden(self, model: nn.Module, rows: Sequence[Window]) -> Tensor:
        longest = max(len(r.tokens) for r in rows)
        ids = torch.tensor([r.tokens + [self.tokenizer.pad_token_id] * (longest - len(r.tokens)) for r in rows])  # (windows, tokens)
        mask = torch.tensor([[1] * len(r.tokens) + [0] * (longest - len(r.tokens)) for r in rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=model is self.model and precision() is torch.bfloat16):
            return model(input_ids=ids, attention_mask=mask).last_hidden_state.float()


def _add(sums: Tensor, counts: Tensor, states: Tensor, row: Window, offset: int) -> None:
    owner = torch.tensor(row.sentence)
    real = owner >= 0
    place = owner[real] + offset
    sums.index_add_(0, place, states[: len(owner)][real])
    counts.index_add_(0, place, torch.ones(len(place)))


def _batches(rows: list[Window]) -> list[list[Window]]:
    batches: list[list[Window]] = []
    for row in sorted(rows, key=lambda r: (len(r.tokens), r.document)):
        if not batches or len(row.tokens) * (len(batches[-1]) + 1) > _TOKENS_A_BATCH:
            batches.append([])
        batches[-1].append(row)
    return batches


def _merged(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).merge_and_unload().to(precision()).eval()
