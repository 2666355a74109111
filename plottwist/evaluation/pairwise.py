"""Which of two plots is better, asked in both orders: what flips with the order is a tie.

Language models prefer a place (often the first); asking twice turns that preference into ties instead of wins.
"""

from __future__ import annotations

from collections.abc import Mapping

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.backends.replay import text_sha256
from plottwist.evaluation.panel import checked_text
from plottwist.evaluation.prompting import pairwise_messages
from plottwist.evaluation.records import Choice, Preference, PreferenceAnswer


def pairwise(
    pairs: Mapping[str, tuple[str, str]],
    backend: Backend,
    sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
    *,
    attempts: int = 3,
    date: str | None = None,
) -> list[Preference]:
    """Compare the texts (a, b) of each item; two requests a pair.

    Raises:
        PlotTwistError: an empty text, or a backend that cannot be used at all (its own message).
    """
    checked = {item: (checked_text(item, a), checked_text(item, b)) for item, (a, b) in pairs.items()}
    requests = [pairwise_messages(*order) for a, b in checked.values() for order in ((a, b), (b, a))]
    answers = ask(backend, requests, PreferenceAnswer, sampling, attempts)
    return [
        _preference(item, texts, answers[2 * index], answers[2 * index + 1], backend.name, date)
        for index, (item, texts) in enumerate(checked.items())
    ]


def _preference(
    item: str,
    texts: tuple[str, str],
    a_first: PreferenceAnswer | Failure,
    b_first: PreferenceAnswer | Failure,
    mind: str,
    date: str | None,
) -> Preference:
    choices = _choice(a_first, ("tie", "a", "b")), _choice(b_first, ("tie", "b", "a"))
    failures = [answer.reason for answer in (a_first, b_first) if isinstance(answer, Failure)]
    agreed = choices[0] if choices[0] == choices[1] else "tie"
    return Preference(
        item=item,
        a_sha256=text_sha256(texts[0]),
        b_sha256=text_sha256(texts[1]),
        mind=mind,
        a_first=choices[0],
        b_first=choices[1],
        winner=None if failures else agreed,
        reasons=[answer.reason for answer in (a_first, b_first) if not isinstance(answer, Failure)],
        error="; ".join(failures) or None,
        date=date,
    )


def _choice(answer: PreferenceAnswer | Failure, names: tuple[Choice, Choice, Choice]) -> Choice | None:
    return None if isinstance(answer, Failure) else names[answer.better]
