"""Quality-adaptive refinement (PlotTwist; PAPERS.md, sections 1 and 4): measure, change as much as the measure asks, keep what is preferred.

A *rater* measures (a reward model; never the gold reader, never the jury that judges afterwards), a *mind* proposes new versions.
Strong plots are refined lightly, middling ones restructured, poor ones rewritten; a version replaces the original only where the rater
prefers it. The thresholds are not published: ours are quantiles of what the rater says of its training plots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS, NQDScores
from plottwist.studio import diff
from plottwist.studio.prompting import Band, RefinementAnswer, refine_messages

Rater = Callable[[Sequence[str]], list[NQDScores]]

LONGEST = 60_000  # characters; a plot, not a novel
_LENGTHS = (0.5, 2.0)  # a new version has from half to twice the words of the old one


@dataclass(frozen=True)
class Bands:
    """Where strong begins and poor ends, on the rater's overall score, and what is usual for each dimension.

    Attributes:
        poor, strong: overall scores below the first are poor, from the second on strong.
        usual: per dimension the rater's mean and spread: the weakest dimension is the one lowest against what is usual.
    """

    poor: float
    strong: float
    usual: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, scores: ArrayLike) -> Bands:
        """Thirds of a set of scores (texts, 5) in the order of ``NQDS``."""
        table = np.asarray(scores, dtype=float)
        poor, strong = np.quantile(table.mean(axis=1), [1 / 3, 2 / 3])
        return cls(float(poor), float(strong), {n: (float(c.mean()), float(c.std()) or 1.0) for n, c in zip(NQDS, table.T, strict=True)})

    def band(self, scores: NQDScores) -> Band:
        return "poor" if scores.overall < self.poor else "strong" if scores.overall >= self.strong else "middling"

    def weakest(self, scores: NQDScores) -> str:
        """The dimension lowest against what is usual for it."""
        return min(NQDS, key=lambda name: (getattr(scores, name) - self.usual[name][0]) / self.usual[name][1])


class Mind(Protocol):
    """Whatever proposes new versions; ``name`` is recorded with each."""

    name: str

    def propose(self, draft: Draft, seed: int) -> list[str | Failure]:
        """New versions of a draft, or why there is none."""
        ...


@dataclass(frozen=True)
class Draft:
    """A text with what was measured of it: what a mind gets to see."""

    text: str
    premise: str | None
    scores: NQDScores
    band: Band
    weakest: str


class Refinement(BaseModel):
    """What became of one text. ``text`` is the version to use: the new one where ``kept``, else the original, and ``reason`` says why."""

    model_config = ConfigDict(extra="forbid")
    original: str
    text: str
    premise: str | None
    band: Band
    weakest: str
    before: dict[str, float]
    after: dict[str, float]
    kept: bool
    reason: str
    share_rewritten: float = Field(ge=0, le=1)
    mind: str


def refine(text: str, mind: Mind, rater: Rater, bands: Bands, premise: str | None = None, margin: float = 0.0, seed: int = 0) -> Refinement:
    """Refine one plot.

    Args:
        margin: how many points overall the rater must prefer a new version by.

    Raises:
        PlotTwistError: a text without words, or one too long.
    """
    draft = measure(text, rater, bands, premise)
    proposed = mind.propose(draft, seed)
    usable = [p.strip() for p in proposed if isinstance(p, str) and _usable(p, draft.text)]
    if not usable:
        failures = [p.reason for p in proposed if isinstance(p, Failure)] or ["no new version differs from the original and is about as long"]
        return _record(draft, None, None, f"the original is kept: {failures[0]}", mind.name)
    scores = rater(usable)
    best = max(range(len(usable)), key=lambda i: scores[i].overall)
    gain = scores[best].overall - draft.scores.overall
    if gain <= margin:
        return _record(draft, None, None, f"the original is kept: the rater prefers no new version (best {gain:+.2f} points)", mind.name)
    return _record(draft, usable[best], scores[best], f"the rater prefers the new version by {gain:.2f} points", mind.name)


def measure(text: str, rater: Rater, bands: Bands, premise: str | None = None) -> Draft:
    """A text with its scores, its band and its weakest dimension. Raises PlotTwistError for one that is no plot."""
    text = checked(text)
    scores = rater([text])[0]
    return Draft(text, premise.strip() if premise and premise.strip() else None, scores, bands.band(scores), bands.weakest(scores))


def checked(text: str, what: str = "plot") -> str:
    """The text without white space around it. Raises PlotTwistError if there is nothing to read in it, or far too much."""
    if not any(c.isalpha() for c in text):
        raise PlotTwistError(f"the {what} has no words; write or paste one")
    if len(text) > LONGEST:
        raise PlotTwistError(f"the {what} has {len(text)} characters, over the {LONGEST} that are read; shorten it")
    return text.strip()


class LanguageModel:
    """A mind behind a backend (served or local), for free English: one new version per request, asked ``versions`` times."""

    def __init__(self, backend: Backend, versions: int = 2, max_tokens: int = 2048) -> None:
        self.name, self._backend, self._versions, self._max_tokens = backend.name, backend, versions, max_tokens

    def propose(self, draft: Draft, seed: int) -> list[str | Failure]:
        """What the model answers; an answer that is no new version is a ``Failure``."""
        messages = refine_messages(draft.text, draft.premise, draft.band, draft.weakest, draft.scores.as_dict())
        found: list[str | Failure] = []
        for version in range(self._versions):
            sampling = Sampling(temperature=0.7, max_tokens=self._max_tokens, seed=seed + version)
            found += [a if isinstance(a, Failure) else a.plot for a in ask(self._backend, [messages], RefinementAnswer, sampling, attempts=2)]
        return found


def _usable(version: str, original: str) -> bool:
    """Whether a version may be measured at all: other words than the original, and about as many."""
    length, usual = len(version.split()), len(original.split())
    return version.split() != original.split() and _LENGTHS[0] * usual <= length <= _LENGTHS[1] * usual and any(c.isalpha() for c in version)


def _record(draft: Draft, new: str | None, scores: NQDScores | None, reason: str, mind: str) -> Refinement:
    kept = new is not None and scores is not None
    return Refinement(
        original=draft.text,
        text=new if kept else draft.text,
        premise=draft.premise,
        band=draft.band,
        weakest=draft.weakest,
        before=draft.scores.as_dict(),
        after=(scores if kept else draft.scores).as_dict(),
        kept=kept,
        reason=reason,
        share_rewritten=diff.share_rewritten(draft.text, new) if kept else 0.0,
        mind=mind,
    )
