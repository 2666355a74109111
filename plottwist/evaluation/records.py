"""What a judgement of the critic panel is: the record that every mind writes and ``replay`` reads (JSONL, one per text)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plottwist.backends.replay import text_sha256
from plottwist.nqd import NQDS

CriticName = Literal["character", "tone", "pacing", "coherence", "emotion"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Report(_Strict):
    """One critic on one text, in the order in which it is written: evidence, then appraisal, then the rating (1-10)."""

    text: int = Field(ge=1, description="number of the text in the request")
    evidence: list[str] = Field(min_length=1, max_length=4, description="passages copied word for word from the text")
    strengths: list[str]
    failings: list[str]
    rating: int = Field(ge=1, le=10)


class ReportAnswer(_Strict):
    reports: list[Report] = Field(min_length=1)


class Verdict(_Strict):
    """The editor on one text: which report contradicts its own evidence (if one does), the five final scores, the reason."""

    text: int = Field(ge=1)
    sent_back: CriticName | None = None
    objection: str = ""
    character: int = Field(ge=1, le=10)
    tone: int = Field(ge=1, le=10)
    pacing: int = Field(ge=1, le=10)
    coherence: int = Field(ge=1, le=10)
    emotion: int = Field(ge=1, le=10)
    reason: str = Field(min_length=1)


class VerdictAnswer(_Strict):
    verdicts: list[Verdict] = Field(min_length=1)


class CriticReport(_Strict):
    """A report as it is kept: its false quotes thrown out and counted."""

    critic: CriticName
    evidence: list[str]
    false_quotes: int = Field(ge=0)
    strengths: list[str]
    failings: list[str]
    rating: float | None = Field(default=None, ge=1, le=10)
    error: str | None = Field(default=None, description="why there is no rating, if there is none")


class Judgement(_Strict):
    """One text judged by the whole panel. ``scores`` is None for a dimension that nobody could judge."""

    item: str
    text_sha256: str
    mind: str = Field(description="who judged: model name and version, 'analytic', or 'unknown'")
    reports: list[CriticReport]
    sent_back: CriticName | None = None
    objection: str = ""
    first_report: CriticReport | None = Field(default=None, description="the report as it was before it was sent back")
    scores: dict[CriticName, Annotated[float, Field(ge=1, le=10)] | None]
    reason: str
    date: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Judgement:
        """Five reports and five scores, also where a rating is missing: what nobody could judge is said, not left out."""
        if sorted(report.critic for report in self.reports) != sorted(NQDS) or set(self.scores) != set(NQDS):
            raise ValueError(f"needs one report and one score (or null) for each of {', '.join(NQDS)}")
        return self


class Check(Judgement):
    """A judgement of a text made for a check: which ``variant`` of a plot it is, and its words where nothing else holds them."""

    variant: str | None = None
    text: str | None = None


def unjudged(item: str, text: str, mind: str, why: str, date: str | None = None) -> Judgement:
    """The record of a text that a mind could not judge at all: no score by default, and the reason said."""
    reports = [CriticReport(critic=name, evidence=[], false_quotes=0, strengths=[], failings=[], error=why) for name in NQDS]
    digest = text_sha256(text.encode("utf-8", "replace").decode("utf-8"))
    return Judgement(
        item=item,
        text_sha256=digest,
        mind=mind,
        reports=reports,
        scores=dict.fromkeys(NQDS),
        reason=f"Nobody could judge: {why}.",
        date=date,
    )


class PreferenceAnswer(_Strict):
    """Which of two texts is the better story plot: the reason first, then 1, 2, or 0 for neither."""

    reason: str = Field(min_length=1)
    better: int = Field(ge=0, le=2)


Choice = Literal["a", "b", "tie"]


class Preference(_Strict):
    """Two texts compared in both orders. ``winner`` is None where an order has no answer; a choice that flips with the order is a tie."""

    item: str
    a_sha256: str
    b_sha256: str
    mind: str
    a_first: Choice | None = Field(description="the choice when a was shown first")
    b_first: Choice | None = Field(description="the choice when b was shown first")
    winner: Choice | None
    reasons: list[str] = Field(description="the reason of each answer there is, a first, then b first")
    error: str | None = Field(default=None, description="why there is no winner, if there is none")
    date: str | None = None

    @property
    def flipped(self) -> bool:
        """Whether the choice followed the place and not the text."""
        return {self.a_first, self.b_first} == {"a", "b"}
