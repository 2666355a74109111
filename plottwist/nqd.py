"""The five Narrative Quality Dimensions (NQDs) of PlotTwist, their questions and their 1-10 scale.

Source: arXiv 2603.16410, second-hand for the wording of the questions and for the scale (see the paper notes in
the README). One plot scored is an ``NQDScores``; many are an array (plots, 5) or a table in the order of ``NQDS``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields

SCALE_MIN, SCALE_MAX = 1.0, 10.0

NAMES: dict[str, str] = {
    "character": "Character Development",
    "tone": "Tone Consistency",
    "pacing": "Pacing",
    "coherence": "Narrative Coherence",
    "emotion": "Emotional Turning Points",
}

QUESTIONS: dict[str, str] = {
    "character": "Do the characters have meaningful arcs, clear motives and believable relationships?",
    "tone": "Do atmosphere, style and mood hold together, with no abrupt shifts?",
    "pacing": "Is the rhythm right: are events balanced, does tension build and release?",
    "coherence": "Is the plot logical, without holes or contradictions; does the causal chain hold?",
    "emotion": "Are there strong emotional turns that resonate?",
}

NQDS: tuple[str, ...] = tuple(NAMES)


@dataclass(frozen=True, slots=True)
class NQDScores:
    """Five scores on the 1-10 scale.

    Raises:
        ValueError: if a score is outside 1-10 or not a number.
    """

    character: float
    tone: float
    pacing: float
    coherence: float
    emotion: float

    def __post_init__(self) -> None:
        for name, value in self.items():
            if not SCALE_MIN <= value <= SCALE_MAX:  # also refuses NaN
                raise ValueError(f"{NAMES[name]} is {value}, outside the scale {SCALE_MIN:g}-{SCALE_MAX:g}")

    @classmethod
    def from_levels(cls, levels: Mapping[str, float] | Iterable[float]) -> NQDScores:
        """Quality levels in [0, 1], by name or in the order of ``NQDS``, put on the 1-10 scale."""
        values = [levels[n] for n in NQDS] if isinstance(levels, Mapping) else list(levels)
        return cls(*(to_scale(v) for v in values))

    @property
    def overall(self) -> float:
        """Mean of the five scores."""
        return sum(astuple(self)) / len(NQDS)

    def items(self) -> Iterator[tuple[str, float]]:
        return ((f.name, getattr(self, f.name)) for f in fields(self))

    def as_dict(self) -> dict[str, float]:
        return dict(self.items())


def to_scale(level: float) -> float:
    """A level in [0, 1] as a score in [1, 10]."""
    return SCALE_MIN + (SCALE_MAX - SCALE_MIN) * level


def to_level(score: float) -> float:
    """A score in [1, 10] as a level in [0, 1]."""
    return (score - SCALE_MIN) / (SCALE_MAX - SCALE_MIN)
