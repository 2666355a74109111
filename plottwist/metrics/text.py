"""Words, sentences, n-grams and ROUGE-L: what several metrics count.

Words are those of the ROUGE package (lower case, letters and digits, everything else parts them) for any alphabet, not ASCII alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from plottwist.errors import PlotTwistError

_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+")


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def sentence_lengths(text: str) -> list[int]:
    """Words of each sentence that has any; sentences end at their closing marks (abbreviations are not known)."""
    return [n for n in (len(words(s)) for s in _SENTENCE_END.split(text)) if n]


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def rouge_l(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L F1 of every text with every other one, (texts, others), 0 to 1; 0 where a side has no words (Lin 2004)."""
    rows, columns = [words(t) for t in texts], [words(t) for t in others]
    common = cdist(rows, columns, scorer=LCSseq.similarity, dtype=np.int32)
    lengths = np.add.outer([len(r) for r in rows], [len(c) for c in columns])
    return 2 * common / np.maximum(lengths, 1)


def check_texts(texts: Sequence[str], least: int, name: str = "text") -> None:
    """Raises: PlotTwistError if there are fewer texts than ``least``, or one has no words."""
    if len(texts) < least:
        raise PlotTwistError(f"{len(texts)} {name}s given; this metric needs at least {least}")
    for number, text in enumerate(texts, start=1):
        if not words(text):
            raise PlotTwistError(f"{name} {number} has no words; leave it out, and count it as a failure")
