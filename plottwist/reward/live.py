"""PN prompting live: the two calls, on any backend, and their merge.

The prompts are those that made ``data/ratings``. Each text is asked about alone; a side that gets no usable answer leaves the
text without a rating and says why, the others stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plottwist.backends import Backend, Failure, Sampling, ask
from plottwist.nqd import NQDS, NQDScores
from plottwist.reward.prompting import Protocol, Rating, RatingAnswer, merge, rating_messages


@dataclass(frozen=True, slots=True)
class PNRating:
    """Five PN scores, for each half the gap between its sides, and the two answers."""

    scores: NQDScores
    gap: dict[str, float]
    positive: Rating
    negative: Rating


def rate(texts: Sequence[str], backend: Backend, protocol: Protocol, sampling: Sampling | None = None) -> list[Rating | Failure]:
    """Ratings of texts under one protocol, one request a text, in order."""
    requests = [rating_messages(protocol, [text]) for text in texts]
    answers = ask(backend, requests, RatingAnswer, sampling or Sampling(), valid=_is_about_one_text)
    return [answer if isinstance(answer, Failure) else answer.ratings[0] for answer in answers]


def rate_pn(texts: Sequence[str], backend: Backend, sampling: Sampling | None = None) -> list[PNRating | Failure]:
    """PN ratings: every text is asked about twice, separately, for what works and for what fails."""
    sides = [rate(texts, backend, protocol, sampling) for protocol in ("positive", "negative")]
    return [_merged(positive, negative) for positive, negative in zip(*sides, strict=True)]


def _merged(positive: Rating | Failure, negative: Rating | Failure) -> PNRating | Failure:
    for side in (positive, negative):
        if isinstance(side, Failure):
            return side
    both = {name: merge(getattr(positive, name), getattr(negative, name)) for name in NQDS}
    return PNRating(NQDScores(**{n: score for n, (score, _) in both.items()}), {n: gap for n, (_, gap) in both.items()}, positive, negative)


def _is_about_one_text(_: int, answer: RatingAnswer) -> str | None:
    return None if [rating.text for rating in answer.ratings] == [1] else "the answer must hold one rating, of text 1"
