"""Self-BLEU (Zhu et al. 2018, Texygen): how well each text is foretold by all the others as its references.

The score of a text is sacrebleu's sentence BLEU (13a tokens, exponential smoothing, effective order). sacrebleu reads all the
references anew for every text; here each text is read once, as only the two highest counts of an n-gram can matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from plottwist.metrics.text import ngrams


def self_bleu(texts: Sequence[str], orders: Sequence[int] = (4,)) -> NDArray[np.float64]:
    """BLEU-n of each text against all others, (texts, orders), 0 to 1. Needs two texts."""
    tokenize = Tokenizer13a()
    tokens = [tokenize(text.rstrip()).split() for text in texts]
    counts = [Counter(g for n in range(1, max(orders) + 1) for g in ngrams(t, n)) for t in tokens]
    lengths = [len(t) for t in tokens]
    highest = _two_highest(counts)
    return np.array([[_bleu(i, n, counts[i], lengths, highest) for n in orders] for i in range(len(texts))])


def _two_highest(counts: Sequence[Counter]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """For each n-gram: its highest count in a text, that text's number, and the highest count in another text."""
    found: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for i, counter in enumerate(counts):
        for gram, count in counter.items():
            first, holder, second = found.get(gram, (0, -1, 0))
            found[gram] = (count, i, first) if count > first else (first, holder, max(second, count))
    return found


def _bleu(i: int, order: int, counts: Counter, lengths: Sequence[int], highest: dict[tuple[str, ...], tuple[int, int, int]]) -> float:
    correct = [0] * order
    for gram, count in counts.items():
        if len(gram) <= order:
            first, holder, second = highest[gram]
            correct[len(gram) - 1] += min(count, second if holder == i else first)
    total = [max(0, lengths[i] - n) for n in range(order)]
    closest = min((abs(n - lengths[i]), n) for j, n in enumerate(lengths) if j != i)[1]
    score = BLEU.compute_bleu(correct, total, lengths[i], closest, smooth_method="exp", effective_order=True, max_ngram_order=order)
    return min(1.0, score.score / 100)
