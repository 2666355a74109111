"""Elucidation (PAPERS.md, section 4): what the text says of itself, and, where a language model is at hand, why each turn happens.

The measured part (``reading``) needs no model and is always there. A language model adds wishes and reasons; each reason must quote the
text, and a quote that does not occur in it is thrown out and counted, as the critic panel does. Garbage for an answer leaves the
measured part alone, and the record says so.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.evaluation.panel import occurs
from plottwist.studio import reading
from plottwist.studio.prompting import ExplanationAnswer, TurnAnswer, Wish, explain_messages
from plottwist.studio.refine import LONGEST, checked


class Explanation(BaseModel):
    """What was measured, and what a model says: ``facts`` (the small Storyworld model) or ``wishes`` and ``turns`` (a language model)."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=LONGEST)
    measured: reading.Reading
    facts: list[str] = []
    wishes: list[Wish] = []
    turns: list[TurnAnswer] = []
    false_quotes: int = Field(default=0, ge=0)
    mind: str | None = None
    note: str = ""

    @property
    def left_out(self) -> str:
        """What became of reasons whose quotes are false ("" where there are none)."""
        return f"Left out: {self.false_quotes} of the model's reasons, whose quotes do not occur in the text." if self.false_quotes else ""


def explain(text: str, backend: Backend | None = None) -> Explanation:
    """Explain one plot. Raises PlotTwistError for a text without words, or one too long."""
    text = checked(text)
    measured = reading.read(text)
    if backend is None:
        return Explanation(text=text, measured=measured)
    answer = ask(backend, [explain_messages(text)], ExplanationAnswer, Sampling(max_tokens=2048), attempts=2)[0]
    if isinstance(answer, Failure):
        return Explanation(text=text, measured=measured, mind=backend.name, note=f"measured part only: {answer.reason}")
    true = [turn for turn in answer.turns if occurs(turn.quote, text)]
    return Explanation(
        text=text, measured=measured, wishes=answer.wishes, turns=true, false_quotes=len(answer.turns) - len(true), mind=backend.name
    )


def as_text(explanation: Explanation) -> str:
    """The explanation for a terminal."""
    measured = explanation.measured
    lines = [f"Emotional arc: {measured.shape}", "", "Sentences:"]
    lines += [
        f"  {label:<8} {value:+.2f}  {part}" for label, value, part in zip(measured.labels, measured.arc, measured.sentences, strict=True)
    ]
    turning = [f"  {point.name}: {point.text}" for point in measured.turning_points]
    lines += ["", "Turning points:", *(turning or ["  none are told: the text has fewer than five sentences"])]
    lines += ["", "Cast:", *(f"  {_person(person)}" for person in measured.cast)]
    for title, rows in (
        ("What happens, by the small model:", explanation.facts),
        (
            "Who wants what:",
            [f"{w.who} wants {w.wants}" + (f"; in the way: {w.obstacle}" if w.obstacle else "") for w in explanation.wishes],
        ),
        ("Why it turns:", [f'"{t.quote}": {t.why}' for t in explanation.turns]),
    ):
        lines += ["", title, *(f"  {row}" for row in rows)] if rows else []
    said = [line for line in (explanation.left_out, explanation.note) if line]
    return "\n".join([*lines, "", *said] if said else lines)


def _person(person: reading.Person) -> str:
    wish = f", wants {person.wants}" if person.wants else ""
    against = f"; against it: {person.against}" if person.against else ""
    return f"{person.name} (named {person.mentions} times{wish}{against})"
