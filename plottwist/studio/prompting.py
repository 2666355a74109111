"""What a language model is asked when it refines or explains free English (wording ours; none is published).

The text is material and stands behind a fence; the answer is JSON, so that chatter, refusals and garbage are told from a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plottwist.backends import Messages
from plottwist.backends.fence import FENCE_RULE, fence
from plottwist.nqd import NAMES, QUESTIONS

Band = Literal["strong", "middling", "poor"]

_HOW_MUCH: dict[Band, str] = {
    "strong": "The plot is good. Refine it lightly: touch only the few sentences that hold it back, and leave every other word as it stands.",
    "middling": "The plot is middling. Restructure it: keep its people, their wishes and its best passages, but move, cut, join or add events where "
    "the structure fails.",
    "poor": "The plot is poor. Rewrite it: keep the premise, the people and what they want, and write the plot anew.",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RefinementAnswer(_Strict):
    """A new version: first what was wrong, then the plot."""

    diagnosis: str = Field(min_length=1, max_length=2000)
    plot: str = Field(min_length=1)


class Wish(_Strict):
    who: str = Field(min_length=1, max_length=200)
    wants: str = Field(min_length=1, max_length=400)
    obstacle: str = Field(max_length=400)


class TurnAnswer(_Strict):
    quote: str = Field(min_length=1, max_length=600, description="copied word for word from the text")
    why: str = Field(min_length=1, max_length=800)


class ExplanationAnswer(_Strict):
    """Who wants what and what stands in the way; why each turn happens."""

    wishes: list[Wish] = Field(min_length=1, max_length=8)
    turns: list[TurnAnswer] = Field(min_length=1, max_length=8)


def refine_messages(text: str, premise: str | None, band: Band, weakest: str, scores: Mapping[str, float]) -> Messages:
    """The chat that asks for a new version of a plot; scores are those of the rater, on 1-10."""
    rated = ", ".join(f"{NAMES[name]} {value:.1f}" for name, value in scores.items())
    system = (
        "You edit story plots. "
        f"{_HOW_MUCH[band]} A reader's measure (1-10): {rated}. The weakest dimension is {NAMES[weakest]}: {QUESTIONS[weakest]} Improve that one first, "
        "and do no harm to the others. Keep the language, the point of view and about the length.\n"
        f"{FENCE_RULE}\n\n"
        'Answer with JSON only: {"diagnosis": "<what holds it back, in one or two sentences>", "plot": "<the whole new version>"}.'
    )
    user = fence([text]) + (f"\n\nThe premise it was written for, material too:\n\n{fence([premise], 'PREMISE')}" if premise else "")
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def explain_messages(text: str) -> Messages:
    """The chat that asks why a plot goes as it goes."""
    system = (
        "You explain the logic of a story plainly. First `wishes`: for each important person who wants something, what they want and what stands in the way "
        "(an empty string if nothing does). Then `turns`: for each turn of the plot, in order, a short passage copied word for word from the text (4 to 25 words) "
        "and why it happens, from what the text says and nothing else.\n"
        f"{FENCE_RULE}\n\n"
        'Answer with JSON only: {"wishes": [{"who": "...", "wants": "...", "obstacle": "..."}, ...], "turns": [{"quote": "...", "why": "..."}, ...]}.'
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": fence([text])}]
