"""The prompts of Positive-Negative (PN) prompting and of its rival, the direct score.

Source: PlotTwist (arXiv 2603.16410). That a language model is asked twice, separately, once for a positive appraisal
and once for negative criticism, is the paper's; the wording and the merge rule are not published and are ours.

``rating_messages`` makes the very prompts that produced ``data/ratings`` and that a live backend sends. A request
holds one text or a small batch; a rater sees only the texts, never a title, a level, a label or another protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from plottwist.backends.fence import FENCE_RULE, fence
from plottwist.nqd import NAMES, NQDS, QUESTIONS

Protocol = Literal["direct", "positive", "negative"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

_STANCE: dict[Protocol, str] = {
    "direct": (
        "You rate story plots. Read each text and rate it on five dimensions, each from 1 (very weak) to 10 (outstanding). "
        "In `reason`, say in one short sentence of your own what decided your ratings."
    ),
    "positive": (
        "You are the reader who speaks for a story. For each text, look only for what works: first name, dimension by "
        "dimension, the strengths that are really there, then rate from 1 to 10 how much strength you found on that "
        "dimension (1: you found nothing to praise; 10: outstanding strength). Do not weigh failings. "
        "In `reason`, name the most telling strengths in one short sentence of your own."
    ),
    "negative": (
        "You are the reader who speaks against a story. For each text, look only for what fails: first name, dimension by "
        "dimension, the failings that are really there, then rate from 1 to 10 how well that dimension stands up to your "
        "criticism (1: the failings ruin it; 10: you looked hard and found no failing). Do not weigh strengths. "
        "In `reason`, name the most telling failings in one short sentence of your own."
    ),
}


class Rating(BaseModel):
    """One text's answer under one protocol: five ratings, 1-10, and a reason."""

    model_config = ConfigDict(extra="forbid")

    text: int = Field(ge=1, description="number of the text in the request")
    reason: str = Field(min_length=1)
    character: int = Field(ge=1, le=10)
    tone: int = Field(ge=1, le=10)
    pacing: int = Field(ge=1, le=10)
    coherence: int = Field(ge=1, le=10)
    emotion: int = Field(ge=1, le=10)


class RatingAnswer(BaseModel):
    """The answer to one request: a rating for every text in it."""

    model_config = ConfigDict(extra="forbid")

    ratings: list[Rating] = Field(min_length=1)


def rating_messages(protocol: Protocol, texts: Sequence[str]) -> list[dict[str, str]]:
    """The chat messages that ask for ratings of ``texts`` under one protocol."""
    dimensions = "\n".join(f"- {name} ({NAMES[name]}): {QUESTIONS[name]}" for name in NQDS)
    fields = ", ".join(f'"{name}": <1-10>' for name in NQDS)
    system = (
        f"{_STANCE[protocol]}\n\nThe dimensions:\n{dimensions}\n\nJudge each text on its own and the story itself, not its length. "
        f"Use the whole scale and whole numbers.\n{FENCE_RULE}\n\n"
        f'Answer with JSON only: {{"ratings": [{{"text": <number>, "reason": "...", {fields}}}, ...]}}, one entry per text, in order.'
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": fence(texts)}]


def recognition_messages(texts: Sequence[str]) -> list[dict[str, str]]:
    """Asked after the ratings are given: does the rater recognise a text as an existing film?"""
    system = (
        "For each text: do you recognise it as the story of a particular existing film? If so, give the film's title as you "
        f"remember it; if not, an empty string. Guess only where you are fairly sure.\n{FENCE_RULE}\n\n"
        'Answer with JSON only: {"guesses": [{"text": <number>, "title": "..."}, ...]}, one entry per text, in order.'
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": fence(texts)}]


def merge(positive: float, negative: float) -> tuple[float, float]:
    """PN score and its uncertainty, both in points of the 1-10 scale, from the two sides of one dimension.

    The score is the mean: the two framings push the same judge in opposite directions, so what is common to both
    stays and the push cancels. Half the gap between them says how far the framing alone could move the judge.
    """
    return (positive + negative) / 2, abs(positive - negative) / 2
