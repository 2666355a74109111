"""Quality-adaptive refinement (PlotTwist; PAPERS.md, sections 1 and 4): measure, change as much as the measure asks, keep what is preferred.

A *rater* measures (a reward model; never the gold reader, never the jury that judges afterwards), a *mind* proposes new versions.
Strong plots are refined lightly, middling ones restructured, poor ones rewritten; a version replaces the original only where the rater
prefers it. The thresholds are not published: ours are quantiles of what the rater says of its training plots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS, NQDScores
from plottwist.studio import diff
from plottwist.studio.prompting import Band, RefinementAnswer, refine_messages

Rater = Callable[[Sequence[str]], list[NQDScores]]

LONGEST = 60_000  # characters; a plot, not a novel
BANDS = "bands.json"  # in the folder of a studio model
MAKE_ONE = "`plottwist run 07` makes one in build/artifacts/cpu/studio_model/seed0; name its folder with --model"
_LENGTHS = (0.5, 2.0)  # a new version has from half to twice the words of the old one


@dataclass(frozen=True)
class Bands:
    """Where strong begins and poor ends for a rater, and what is usual for it in each dimension.

    Raters spread some dimensions more than others, so quality is counted in spreads: the mean over the dimensions of how far a score
    is above what is usual.

    Attributes:
        poor, strong: plots of less quality than the first are poor, from the second on strong.
        usual: per dimension the rater's mean and spread.
    """

    poor: float
    strong: float
    usual: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, scores: ArrayLike) -> Bands:
        """Thirds of a set of scores (texts, 5) in the order of ``NQDS``."""
        table = np.asarray(scores, dtype=float)
        centre, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
        poor, strong = np.quantile(((table - centre) / spread).mean(axis=1), [1 / 3, 2 / 3])
        return cls(float(poor), float(strong), {n: (float(c), float(s)) for n, c, s in zip(NQDS, centre, spread, strict=True)})

    def above_usual(self, scores: NQDScores) -> dict[str, float]:
        """Each score in spreads above what is usual."""
        return {name: (value - self.usual[name][0]) / self.usual[name][1] for name, value in scores.items()}

    def quality(self, scores: NQDScores) -> float:
        return sum(self.above_usual(scores).values()) / len(NQDS)

    def band(self, scores: NQDScores) -> Band:
        quality = self.quality(scores)
        return "poor" if quality < self.poor else "strong" if quality >= self.strong else "middling"

    def weakest(self, scores: NQDScores) -> str:
        """The dimension lowest against what is usual for it."""
        above = self.above_usual(scores)
        return min(above, key=above.__getitem__)


@dataclass(frozen=True)
class Draft:
    """A text with what was measured of it: what a mind gets to see."""

    text: str
    premise: str | None
    scores: NQDScores
    band: Band
    weakest: str


class Reviser(Protocol):
    """Whatever proposes new versions; ``name`` is recorded with each."""

    name: str

    def propose(self, drafts: Sequence[Draft], seed: int) -> list[list[str | Failure]]:
        """For each draft its new versions, or why there is none."""
        ...


def _scored(scores: dict[str, float]) -> dict[str, float]:
    """Scores as they are, if they are the five on the scale."""
    if scores.keys() != set(NQDS):
        raise ValueError(f"needs a score for each of {', '.join(NQDS)}")
    return NQDScores(**scores).as_dict()


def _dimension(name: str) -> str:
    if name not in NQDS:
        raise ValueError(f"no dimension of that name; known: {', '.join(NQDS)}")
    return name


Scores = Annotated[dict[str, float], AfterValidator(_scored)]


class Refinement(BaseModel):
    """What became of one text. ``text`` is the version to use: the new one where ``kept``, else the original, and ``reason`` says why."""

    model_config = ConfigDict(extra="forbid")
    original: str = Field(max_length=LONGEST)
    text: str = Field(max_length=LONGEST)
    premise: str | None
    band: Band
    weakest: Annotated[str, AfterValidator(_dimension)]
    before: Scores
    after: Scores
    kept: bool
    reason: str
    share_rewritten: float = Field(ge=0, le=1)
    mind: str


def refine(
    texts: Sequence[str],
    mind: Reviser,
    rater: Rater,
    bands: Bands,
    premises: Sequence[str | None] | None = None,
    margin: float = 0.0,
    seed: int = 0,
) -> list[Refinement]:
    """Refine plots, each on its own.

    Args:
        margin: how many spreads of quality the rater must prefer a new version by.

    Raises:
        PlotTwistError: a text without words, or one too long.
    """
    drafts = measure(texts, rater, bands, premises)
    found = []
    for draft, proposed in zip(drafts, mind.propose(drafts, seed) if drafts else [], strict=True):
        usable = list(dict.fromkeys(p.strip() for p in proposed if isinstance(p, str) and _usable(p, draft.text)))
        found.append(_decide(draft, proposed, usable, rater(usable) if usable else [], bands, margin, mind.name))
    return found


def measure(texts: Sequence[str], rater: Rater, bands: Bands, premises: Sequence[str | None] | None = None) -> list[Draft]:
    """Texts with their scores, band and weakest dimension. Raises PlotTwistError for one that is no plot."""
    texts = [checked(text) for text in texts]
    given = [p.strip() if p and p.strip() else None for p in premises or [None] * len(texts)]
    rated = rater(texts) if texts else []
    return [Draft(t, p, s, bands.band(s), bands.weakest(s)) for t, p, s in zip(texts, given, rated, strict=True)]


def checked(text: str, what: str = "plot") -> str:
    """The text without white space around it. Raises PlotTwistError if there is nothing to read in it, or far too much."""
    if not any(c.isalpha() for c in text):
        raise PlotTwistError(f"the {what} has no words; write or paste one")
    return within(text.strip(), what)


def within(text: str, what: str) -> str:
    """The text. Raises PlotTwistError if there is far too much of it, or half a character in it."""
    if len(text) > LONGEST:
        raise PlotTwistError(f"the {what} has {len(text)} characters, over the {LONGEST} that are read; shorten it")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise PlotTwistError(f"the {what} holds half of a surrogate pair, which is no character; delete it and write it again")
    return text


class LanguageModel:
    """A mind behind a backend (served or local), for free English: one new version per request, asked ``versions`` times."""

    def __init__(self, backend: Backend, versions: int = 2, max_tokens: int = 2048) -> None:
        self.name, self._backend, self._versions, self._max_tokens = backend.name, backend, versions, max_tokens

    def propose(self, drafts: Sequence[Draft], seed: int) -> list[list[str | Failure]]:
        """What the model answers; an answer that is no new version is a ``Failure``."""
        requests = [refine_messages(d.text, d.premise, d.band, d.weakest, d.scores.as_dict()) for d in drafts]
        rounds = [
            ask(
                self._backend, requests, RefinementAnswer, Sampling(temperature=0.7, max_tokens=self._max_tokens, seed=seed + k), attempts=2
            )
            for k in range(self._versions)
        ]
        return [[a if isinstance(a, Failure) else a.plot for a in answers] for answers in zip(*rounds, strict=True)]


def _decide(
    draft: Draft, proposed: Sequence[str | Failure], usable: list[str], scores: list[NQDScores], bands: Bands, margin: float, mind: str
) -> Refinement:
    """Keep the version that the rater prefers, if it prefers one."""
    if not usable:
        failures = [p.reason for p in proposed if isinstance(p, Failure)]
        because = failures[0] if failures else "no new version differs from the original and is about as long"
        return _record(draft, None, None, f"the original is kept: {because}", mind)
    best = max(range(len(usable)), key=lambda i: bands.quality(scores[i]))
    gain = bands.quality(scores[best]) - bands.quality(draft.scores)
    if gain <= margin:
        return _record(draft, None, None, f"the original is kept: the rater prefers no new version (best {gain:+.2f} spreads)", mind)
    return _record(draft, usable[best], scores[best], f"the rater prefers the new version by {gain:.2f} spreads", mind)


def _usable(version: str, original: str) -> bool:
    """Whether a version may be measured at all: other words than the original, about as many, and no more than is read."""
    length, usual = len(version.split()), len(original.split())
    if version.split() == original.split() or len(version) > LONGEST:
        return False
    return _LENGTHS[0] * usual <= length <= _LENGTHS[1] * usual and any(c.isalpha() for c in version)


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
