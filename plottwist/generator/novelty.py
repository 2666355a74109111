"""Is a plot copied from the training text? The longest run of words that it shares with any training plot."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_BASE, _MIX = np.uint64(1_000_003), np.uint64(0x9E3779B97F4A7C15)


def longest_common_run(texts: Sequence[str], training: Sequence[str]) -> NDArray:
    """Words (texts,) of the longest run that stands word for word in one training text; case and punctuation do not count.

    Runs are compared by 64-bit hashes, so a longer one than there is has a chance of about one in a billion.
    """
    ids: dict[str, int] = {}
    own, owner = _joined(texts, ids)
    known, _ = _joined(training, ids)
    longest = np.zeros(len(texts), dtype=int)
    mine, theirs, length = np.zeros_like(own), np.zeros_like(known), 0
    while True:
        mine, theirs = _longer(mine, own, length), _longer(theirs, known, length)
        stock = np.unique(mine)
        common = np.unique(stock[_places(stock, theirs)])
        found = np.isin(mine, common)
        if not found.any():
            return longest
        length += 1
        longest[owner[: len(mine)][found]] = length


def _joined(texts: Sequence[str], ids: dict[str, int]) -> tuple[NDArray, NDArray]:
    """All words as random-looking numbers, with a mark of its own after each text, and the text that each belongs to."""
    rows = [
        [*(ids.setdefault(w.lower(), len(ids) + 1) for w in _WORD.findall(t)), ids.setdefault(f" {len(ids)}", len(ids) + 1)] for t in texts
    ]
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    return np.array([i for r in rows for i in r], dtype=np.uint64) * _MIX, owner


def _longer(runs: NDArray, words: NDArray, length: int) -> NDArray:
    """Hashes of the runs of ``length + 1`` words, from those of ``length``."""
    count = max(0, len(words) - length)
    return runs[:count] * _BASE + (words[length:] ^ (words[length:] >> np.uint64(29)))


def _places(stock: NDArray, values: NDArray) -> NDArray:
    """Places in the sorted ``stock`` of those values that stand in it."""
    if not len(stock):
        return np.zeros(0, dtype=int)
    places = np.minimum(np.searchsorted(stock, values), len(stock) - 1)
    return places[stock[places] == values]
