"""Diversity of a set of texts (2503.17126; Shaib et al. 2024, "Standardizing the measurement of text diversity")."""

from __future__ import annotations

import gzip

import datasets
import evaluate

from plottwist.errors import PlotTwistError
from plottwist.metrics.text import check_texts, ngrams, words
from plottwist.metrics.vectors import mean_pairwise_distance, semantic_vectors, style_vectors

_ORDERS = (1, 2, 3, 4)
_DESCRIPTION = "How much the texts of a set differ: in their words, their meaning and their style."
_INPUTS = """
Args:
    predictions: texts, at least two, each with words; their order does not matter.
    vectors: optional, (texts, d), one embedding per text for semantic_distance; all-MiniLM-L6-v2 (first 256 tokens) otherwise.
Returns:
    distinct_1 .. distinct_4: different n-grams / n-grams, in [0, 1] (Li et al. 2016, who divide by the words); 0 without n-grams.
    ngram_diversity: their sum, in (0, 4] (Shaib et al. 2024). No n-gram reaches from one text into the next.
    compression_ratio: bytes / gzip bytes of the sorted texts, compressed once; above 0, higher is less diverse (Shaib et al. 2024).
    semantic_distance: mean 1 - cosine over all pairs of texts, in [0, 2] (2503.17126).
    style_distance: the same of function words, punctuation and sentence lengths, in [0, 1]; see plottwist.metrics.vectors.
"""
_CITATION = "arXiv:2503.17126; arXiv:2403.00553; Li et al. 2016, A diversity-promoting objective function (distinct-n)"


class Diversity(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions, vectors=None):
        check_texts(predictions, 2)
        if vectors is not None and len(vectors) != len(predictions):
            raise PlotTwistError(f"{len(vectors)} vectors for {len(predictions)} texts; give one vector per text")
        distinct = {f"distinct_{n}": _distinct(predictions, n) for n in _ORDERS}
        return {
            **distinct,
            "ngram_diversity": sum(distinct.values()),
            "compression_ratio": _compression_ratio(predictions),
            "semantic_distance": mean_pairwise_distance(semantic_vectors(predictions) if vectors is None else vectors),
            "style_distance": mean_pairwise_distance(style_vectors(predictions)),
        }


def _distinct(texts, n):
    grams = [g for text in texts for g in ngrams(words(text), n)]
    return len(set(grams)) / max(1, len(grams))


def _compression_ratio(texts):
    joined = "\n".join(sorted(texts)).encode()  # sorted, as what gzip finds depends on the order
    return len(joined) / len(gzip.compress(joined))
