"""Recursive writing: paragraph after paragraph, at the same cost however long the story gets, stopped and resumed at will.

All that has to be kept between two paragraphs is a ``Telling``: keywords, position, seed, the memory and the last paragraphs.
A telling goes through text and plain numbers even within one call, so a resumed story is the same story. Randomness belongs to
(seed, paragraph): a story does not depend on what else is written beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.longstory.order import check_paragraphs
from plottwist.longstory.storyteller import Step, Storyteller


class Decoding(BaseModel):
    """How paragraphs are sampled; the defaults are the paper's. They look at the paragraph alone, never at its prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    top_k: int = Field(default=50, ge=1)
    top_p: float = Field(default=0.95, gt=0, le=1)
    no_repeat: int = Field(default=3, ge=1, description="no n-gram of so many tokens twice in a paragraph")
    repetition_penalty: float = Field(default=1.4, gt=0)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph as written: its tokens, whether it came to its end, and (alpha, beta, gamma) if its model has them."""

    text: str
    tokens: int
    ended: bool
    weights: tuple[float, float, float] | None


@dataclass(frozen=True)
class Telling:
    """A story under way, before its paragraph ``position`` (from 0) of ``paragraphs``; ``last`` is the one just written."""

    keywords: tuple[str, ...]
    paragraphs: int
    seed: int
    memory: tuple[tuple[float, ...], ...]
    position: int = 0
    earlier: tuple[str, ...] = ()
    last: Paragraph | None = None

    @property
    def done(self) -> bool:
        return self.position >= self.paragraphs

    def save(self, path: str | Path) -> None:
        """As JSON; its size does not grow with the story, unless the model rereads it."""
        files.write_json(Path(path), asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Telling:
        """Raises: PlotTwistError if the file is not a saved telling."""
        try:
            return TypeAdapter(cls).validate_python(files.read_json(Path(path)))
        except ValidationError as error:
            first = error.errors()[0]
            raise PlotTwistError(f"{path} is not a saved story ({'.'.join(map(str, first['loc']))}: {first['msg']})") from error


def begin(model: Storyteller, keywords: Sequence[str], paragraphs: int, seed: int = 0) -> Telling:
    """A story not yet started.

    Raises:
        PlotTwistError: no keywords, more than the model reads, or a number of paragraphs outside 1-1000.
    """
    check_paragraphs(paragraphs)
    keywords = tuple(k.strip() for k in keywords)
    model.tokenizer.keywords(keywords, model.limits.source_tokens)
    with torch.inference_mode():
        memory = model.first_memory([keywords])[0]
    return Telling(keywords, paragraphs, seed, _numbers(memory))


def tell(model: Storyteller, telling: Telling, decoding: Decoding | None = None) -> Iterator[Telling]:
    """Write on to the end: the telling after each paragraph, whose text is ``telling.last.text``, as soon as it is written."""
    for (after,) in tell_many(model, [telling], decoding):
        yield after


def tell_many(model: Storyteller, tellings: Sequence[Telling], decoding: Decoding | None = None) -> Iterator[list[Telling]]:
    """As ``tell`` for stories side by side: after each round, those that got a paragraph. Much faster than one by one.

    Raises:
        PlotTwistError: a telling that another kind or size of model began.
    """
    _fits(model, tellings)
    underway = [t for t in tellings if not t.done]
    while underway:
        written = write(model, underway, decoding or Decoding())
        yield written
        underway = [t for t in written if not t.done]


@torch.inference_mode()
def write(model: Storyteller, tellings: Sequence[Telling], decoding: Decoding) -> list[Telling]:
    """One paragraph more of each story."""
    model.eval()
    steps = [Step.at(t.keywords, t.position, t.paragraphs, t.earlier) for t in tellings]
    conditions = model.condition(steps, torch.tensor([t.memory for t in tellings], device=model.device, dtype=model.dtype))
    sampling = SeededSampling(decoding, [(t.seed, t.position) for t in tellings], prompt=int(model.config.is_encoder_decoder))
    ids = model.generate(
        **conditions.inputs, max_new_tokens=model.limits.paragraph_tokens, logits_processor=LogitsProcessorList([sampling]), do_sample=False
    )
    weights = [None] * len(steps) if conditions.weights is None else [tuple(w) for w in conditions.weights.tolist()]
    made = [_paragraph(model, row, w) for row, w in zip(ids[:, sampling.prompt :].tolist(), weights, strict=True)]
    return [_after(model, t, p, _numbers(m)) for t, p, m in zip(tellings, made, conditions.memory, strict=True)]


class SeededSampling(LogitsProcessor):
    """Sampling as an argmax: after the usual filters, argmax(log p + Gumbel noise) is a draw from p.

    Each row has a random generator of its own, which ``generate`` with ``do_sample`` cannot give.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[tuple[int, int]], prompt: int) -> None:
        self.prompt = prompt  # tokens before the paragraph: BART's decoder start is its end token, and must not be penalised
        self.filters = [
            RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty),
            NoRepeatNGramLogitsProcessor(decoding.no_repeat),
            TopKLogitsWarper(decoding.top_k),
            TopPLogitsWarper(decoding.top_p),
        ]
        self.generators = [torch.Generator().manual_seed(_number(*seed)) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Both (batch, ...): ids so far, and scores over the vocabulary."""
        scores = scores.float()
        for apply in self.filters:
            scores = apply(input_ids[:, self.prompt :], scores)
        uniform = torch.stack([torch.rand(scores.shape[1], generator=g, dtype=torch.float64) for g in self.generators])
        gumbel = -torch.log(-torch.log(uniform.clamp(min=1e-300)))  # (batch, vocabulary)
        return scores + gumbel.to(scores)


def _paragraph(model: Storyteller, ids: list[int], weights: tuple[float, float, float] | None) -> Paragraph:
    ended = model.tokenizer.end in ids
    kept = ids[: ids.index(model.tokenizer.end)] if ended else ids
    return Paragraph(model.tokenizer.decode(kept), len(kept), ended, weights)


def _after(model: Storyteller, telling: Telling, paragraph: Paragraph, memory: tuple[tuple[float, ...], ...]) -> Telling:
    earlier = (*telling.earlier, paragraph.text)[-model.reads :]
    return replace(telling, memory=memory, position=telling.position + 1, earlier=earlier, last=paragraph)


def _fits(model: Storyteller, tellings: Sequence[Telling]) -> None:
    for telling in tellings:
        shape = tuple(model.first_memory([telling.keywords])[0].shape)
        found = (len(telling.memory), len(telling.memory[0]) if telling.memory else 0)
        if found != shape:
            raise PlotTwistError(f"this story was begun by another model: its memory is {found}, not {shape}; use that model or begin anew")


def _numbers(memory: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in memory.float().tolist())


def _number(seed: int, position: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {position}".encode()).digest()[:8]) >> 1
