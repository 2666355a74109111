"""The panel at work: five critics, an editor, one report sent back, the record; and the jury of several minds.

PlotTwist's agentic evaluation (roles ours). The panel knows the text and nothing else. What a model cannot answer is
said in the record: a critic without a usable report has no rating, its dimension has no score, and the rest goes on.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.backends.replay import records, text_sha256
from plottwist.errors import PlotTwistError
from plottwist.evaluation.prompting import critic_messages, editor_messages
from plottwist.evaluation.records import Check, CriticName, CriticReport, Judgement, Report, ReportAnswer, Verdict, VerdictAnswer, unjudged
from plottwist.files import write_jsonl
from plottwist.nqd import NQDS


class Mind(Protocol):
    """Who judges whole texts by itself, without being asked critic by critic: ``analytic.Analytic``, ``Recorded``."""

    name: str

    def judge(self, texts: Mapping[str, str], date: str | None = None) -> list[Judgement]: ...


def judge(
    texts: Mapping[str, str],
    mind: Backend | Mind,
    sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
    *,
    attempts: int = 3,
    date: str | None = None,
) -> list[Judgement]:
    """Have the whole panel judge each text by its item, in order.

    A language model behind a backend is asked critic by critic, every critic on every text in a request of its own; the scores
    are the editor's, or the critics' ratings where the editor gave no usable verdict (the reason says so). Any other mind
    answers by itself, and ``sampling`` and ``attempts`` mean nothing to it.

    Raises:
        PlotTwistError: an empty text, or a backend that cannot be used at all (its own message).
    """
    cases = [_Case(item, checked_text(item, text)) for item, text in texts.items()]
    if not hasattr(mind, "complete"):
        return mind.judge(texts, date)
    panel = _Panel(mind, sampling, attempts)
    panel.criticise([(case, critic) for case in cases for critic in NQDS])
    panel.edit(cases, final=False)
    returned = [case for case in cases if isinstance(case.verdict, Verdict) and case.verdict.sent_back]
    for case in returned:
        case.take_back()
    panel.criticise([(case, case.sent_back) for case in returned])
    panel.edit(returned, final=True)
    return [case.judgement(mind.name, date) for case in cases]


class Recorded:
    """The mind that replays judgements: a text is known by its words alone, whatever item it is asked as.

    Raises:
        PlotTwistError: as ``judgements``, for each of the files.
    """

    name = "replay"

    def __init__(self, *paths: Path | str) -> None:
        self._of_text: dict[str, Check] = {}
        for path in paths:
            for judged in records(path, Check).values():
                self._of_text.setdefault(judged.text_sha256, judged)  # a text judged again answers with its first judgement

    def judge(self, texts: Mapping[str, str], date: str | None = None) -> list[Judgement]:
        """The recorded judgements, with their own mind and date; a text that was never judged has a record without scores."""
        known = {item: self._of_text.get(text_sha256(text)) for item, text in texts.items()}
        return [
            Judgement(**judged.model_dump(exclude={"variant", "text"}) | {"item": item})
            if judged
            else unjudged(item, texts[item], self.name, "no recorded judgement", date)
            for item, judged in known.items()
        ]


def judgements(path: Path | str) -> dict[str, Judgement]:
    """The recorded judgements of a JSON Lines file, by item; whether one is about a text says ``backends.replay.verify_text``.

    Raises:
        PlotTwistError: unreadable file; a line that is not a whole judgement, or an item that is there twice (with the line).
    """
    return records(path, Judgement)


def write(path: Path | str, judged: Iterable[Judgement]) -> None:
    """Write judgements as JSON Lines, whole or not at all."""
    write_jsonl(Path(path), (judgement.model_dump(mode="json") for judgement in judged))


@dataclass(frozen=True, slots=True)
class JuryVerdict:
    """One item judged by several minds, per dimension: median score, spread (highest less lowest) and how many minds scored it."""

    item: str
    scores: dict[str, float | None]
    spread: dict[str, float | None]
    minds: dict[str, int]


def jury(by_mind: Mapping[str, Iterable[Judgement]]) -> list[JuryVerdict]:
    """The verdict of several minds on every item that any of them judged, in the order of the first mind that did.

    A dimension that no mind scored has no score; one that a single mind scored has no spread.

    Raises:
        PlotTwistError: two minds judged different texts under one item.
    """
    of_item: dict[str, list[Judgement]] = {}
    for judged in by_mind.values():
        for judgement in judged:
            of_item.setdefault(judgement.item, []).append(judgement)
    return [_jury_verdict(item, panel) for item, panel in of_item.items()]


def occurs(quote: str, text: str) -> bool:
    """Whether a quote stands in a text word for word; blanks, case, kinds of quotes and dashes, and punctuation around it aside."""
    wanted = _plain(quote).strip(" '.,;:!?-")
    return bool(wanted) and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", _plain(text)) is not None


def checked_text(item: str, text: str) -> str:
    """The text. Raises: PlotTwistError if there is nothing to judge in it, or characters that cannot be encoded."""
    if not text.strip():
        raise PlotTwistError(f"the text of {item!r} is empty; there is nothing to judge")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PlotTwistError(
            f"the text of {item!r} holds half of a surrogate pair at {error.start}, which is no character; clean it"
        ) from error
    return text


@dataclass
class _Case:
    """One text on its way through the panel."""

    item: str
    text: str
    reports: dict[CriticName, CriticReport] = field(default_factory=dict)
    verdict: Verdict | Failure | None = None
    sent_back: CriticName | None = None
    objection: str = ""
    first_report: CriticReport | None = None

    def usable(self) -> dict[CriticName, Report]:
        """The reports with a rating, as the editor sees them: false quotes are gone already, so evidence may be empty."""
        return {
            name: Report.model_construct(
                text=1, evidence=report.evidence, strengths=report.strengths, failings=report.failings, rating=int(report.rating)
            )
            for name, report in self.reports.items()
            if report.rating is not None
        }

    def take_back(self) -> None:
        self.sent_back, self.objection = self.verdict.sent_back, self.verdict.objection
        self.first_report = self.reports.pop(self.sent_back)
        self.verdict = None

    def judgement(self, mind: str, date: str | None) -> Judgement:
        scores, reason = self._decision()
        missing = [name for name in NQDS if scores[name] is None]
        if missing:
            reason += f" No score for {', '.join(missing)}: there is no usable report."
        return Judgement(
            item=self.item,
            text_sha256=text_sha256(self.text),
            mind=mind,
            reports=[self.reports[name] for name in NQDS],
            sent_back=self.sent_back,
            objection=self.objection,
            first_report=self.first_report,
            scores=scores,
            reason=reason,
            date=date,
        )

    def _decision(self) -> tuple[dict[CriticName, float | None], str]:
        """Five scores and the reason. A dimension without a report has no score, whatever number the editor's form made it fill in."""
        if isinstance(self.verdict, Verdict):
            scores = {name: getattr(self.verdict, name) if self.reports[name].rating is not None else None for name in NQDS}
            return scores, self.verdict.reason
        ratings = {name: self.reports[name].rating for name in NQDS}
        failed = (
            f"The scores are the critics' own ratings, for the editor gave no verdict: {self.verdict.reason}."
            if self.verdict
            else "Nobody could judge."
        )
        return ratings, failed


@dataclass(frozen=True)
class _Panel:
    """The two roles, each asked for many texts at once."""

    backend: Backend
    sampling: Sampling
    attempts: int

    def criticise(self, asked: Sequence[tuple[_Case, CriticName]]) -> None:
        """Put a report of each critic into its case; with the editor's objection where there is one.

        A report all of whose quotes are false goes back to its critic at once: it rests on nothing, and is not counted if that stays so.
        """
        requests = [critic_messages(critic, [case.text], [case.objection] if case.objection else None) for case, critic in asked]
        refused = [0] * len(asked)  # false quotes of the reports that went back

        def valid(index: int, answer: ReportAnswer) -> str | None:
            if wrong := _one_text(answer.reports):
                return wrong
            evidence = answer.reports[0].evidence
            if any(occurs(quote, asked[index][0].text) for quote in evidence):
                return None
            refused[index] += len(evidence)
            return "no passage in evidence stands in the text; copy passages word for word"

        answers = ask(self.backend, requests, ReportAnswer, self.sampling, self.attempts, valid)
        for (case, critic), answer, false in zip(asked, answers, refused, strict=True):
            report = _failed(critic, answer) if isinstance(answer, Failure) else _kept(critic, answer.reports[0], case.text)
            case.reports[critic] = report.model_copy(update={"false_quotes": report.false_quotes + false})

    def edit(self, cases: Sequence[_Case], final: bool) -> None:
        """Put the editor's verdict into each case that has a report to stand on."""
        cases = [case for case in cases if case.usable()]
        requests = [editor_messages([case.text], [case.usable()], final=final) for case in cases]

        def valid(index: int, answer: VerdictAnswer) -> str | None:
            return _one_text(answer.verdicts) or _returnable(answer.verdicts[0], cases[index], final)

        answers = ask(self.backend, requests, VerdictAnswer, self.sampling, self.attempts, valid)
        for case, answer in zip(cases, answers, strict=True):
            case.verdict = answer if isinstance(answer, Failure) else answer.verdicts[0]


def _one_text(entries: Sequence[Report] | Sequence[Verdict]) -> str | None:
    return None if [entry.text for entry in entries] == [1] else "give exactly one entry, with text 1"


def _returnable(verdict: Verdict, case: _Case, final: bool) -> str | None:
    """What is wrong with sending a report back, if anything is."""
    if verdict.sent_back is None:
        return None
    if final:
        return "sent_back must be null in the final round"
    if verdict.sent_back not in case.usable():
        return "sent_back names a critic that gave no report"
    return None if verdict.objection.strip() else "objection must say what is wrong with the report sent back"


def _kept(critic: CriticName, report: Report, text: str) -> CriticReport:
    true = [quote for quote in report.evidence if occurs(quote, text)]
    return CriticReport(
        critic=critic,
        evidence=true,
        false_quotes=len(report.evidence) - len(true),
        strengths=report.strengths,
        failings=report.failings,
        rating=report.rating,
    )


def _failed(critic: CriticName, failure: Failure) -> CriticReport:
    return CriticReport(critic=critic, evidence=[], false_quotes=0, strengths=[], failings=[], rating=None, error=failure.reason)


def _jury_verdict(item: str, panel: Sequence[Judgement]) -> JuryVerdict:
    if len({judgement.text_sha256 for judgement in panel}) > 1:
        raise PlotTwistError(f"the minds of the jury judged different texts as {item!r}; judge one text, or name them apart")
    given = {name: [j.scores[name] for j in panel if j.scores[name] is not None] for name in NQDS}
    return JuryVerdict(
        item,
        scores={name: statistics.median(values) if values else None for name, values in given.items()},
        spread={name: max(values) - min(values) if len(values) > 1 else None for name, values in given.items()},
        minds={name: len(values) for name, values in given.items()},
    )


_ALIKE = str.maketrans(dict.fromkeys('"‘’‚‛“”„«»‹›`´', "'") | dict.fromkeys("‐‑‒–—―", "-"))


def _plain(text: str) -> str:
    # Translated first: NFKC would take the acute accent that stands for an apostrophe apart into a blank and a mark.
    return " ".join(unicodedata.normalize("NFKC", text.translate(_ALIKE)).casefold().split())
