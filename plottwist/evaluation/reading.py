"""What the analytic critics see of a text: sentences, words, who is named, feeling and meaning of each sentence. English, no training.

Valence is VADER's (Hutto & Gilbert 2014), meaning the vectors of the frozen MiniLM; neither knows a word of what is judged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from plottwist.corpora.surface import sentences
from plottwist.metrics.encoder import shared
from plottwist.metrics.vectors import FUNCTION_WORDS

MAX_SENTENCES = 400  # what stands behind is not read: the reason of the judgement says so

_WORD = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?")
_ENDINGS = ("ing", "ied", "ies", "ed", "es", "s", "e")


@dataclass(frozen=True)
class Reading:
    """One text as the critics see it; every list and array has one row per sentence.

    Attributes:
        words: as written.
        people: names in it, in order of mention.
        content: stems of its words that are neither names nor function words.
        valence: (sentences,), -1 to 1.
        vectors: unit length, (sentences, 384).
        cut: whether the text went on after the last sentence here.
    """

    sentences: list[str]
    words: list[list[str]]
    people: list[list[str]]
    content: list[set[str]]
    valence: NDArray[np.float64]
    vectors: NDArray[np.float32]
    cut: bool

    def __len__(self) -> int:
        return len(self.sentences)


def read(texts: Sequence[str]) -> list[Reading]:
    """Readings of texts, in order; a sentence without a word is passed over, so a text without words is an empty reading."""
    whole = [[s for s in sentences(text) if _WORD.search(s)] for text in texts]
    kept = [split[:MAX_SENTENCES] for split in whole]
    vectors = shared().encode([s for split in kept for s in split])
    ends = np.cumsum([len(split) for split in kept])
    return [
        _reading(split, vectors[end - len(split) : end], cut=len(all_of_it) > len(split))
        for split, all_of_it, end in zip(kept, whole, ends, strict=True)
    ]


def valence(split: Sequence[str]) -> NDArray[np.float64]:
    """VADER's compound valence of each sentence, -1 to 1."""
    return np.array([_vader().polarity_scores(sentence)["compound"] for sentence in split], dtype=float)


def arc(valences: NDArray) -> NDArray[np.float64]:
    """The emotional arc (Reagan et al. 2016): valence averaged over a tenth of the text on either side, at least one sentence."""
    width = max(1, len(valences) // 10)
    padded = np.pad(valences, width, mode="edge")
    return np.convolve(padded, np.full(2 * width + 1, 1 / (2 * width + 1)), "valid")


def turning_points(valences: NDArray, k: int = 5) -> list[int]:
    """The k sentences (fewer in a short text) where feeling before and after differs most, in order; no two within a tenth of the text.

    Before and after are means over a fifth of the text.
    """
    n, width, apart = len(valences), max(1, len(valences) // 5), max(1, len(valences) // 10)
    turn = np.array([abs(valences[i : i + width].mean() - valences[max(0, i - width) : i].mean()) if i else 0.0 for i in range(n)])
    chosen: list[int] = []
    for place in np.argsort(-turn, kind="stable").tolist():
        if len(chosen) < k and turn[place] > 0 and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    return sorted(chosen)


def _reading(split: list[str], vectors: NDArray[np.float32], cut: bool) -> Reading:
    words = [_WORD.findall(sentence) for sentence in split]
    names = _names(words)
    return Reading(
        sentences=split,
        words=words,
        people=[[w for w in row if w in names] for row in words],
        content=[{_stem(w.lower()) for w in row if len(w) > 2 and w not in names} - _function_stems() for row in words],
        valence=valence(split),
        vectors=vectors,
        cut=cut,
    )


def _names(words: list[list[str]]) -> set[str]:
    """Words written with a capital inside a sentence, and never without one."""
    inside = {w for row in words for w in row[1:] if w[0].isupper() and w != "I"}
    small = Counter(w for row in words for w in row if w[0].islower())
    return {w for w in inside if not small[w.lower()]}


def _stem(word: str) -> str:
    """A light stemmer: enough to see that 'raked' and 'rakes' are one."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@cache
def _function_stems() -> frozenset[str]:
    return frozenset(_stem(w) for w in FUNCTION_WORDS)


@cache
def _vader() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
