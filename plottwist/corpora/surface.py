"""What can be seen of a set of texts without reading them: lengths, vocabulary, readability, duplicates, and how far
a surface reader (TF-IDF, length) tells two groups apart. The data cards and the baselines of the notebooks use it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NEAR_DUPLICATE = 0.3  # share of the shorter text's word 5-grams that stand in the other

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9])")


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Sentences by their closing marks: enough for synopses, blind to abbreviations."""
    return [s for s in _SENTENCE_END.split(text.strip()) if s.strip()]


def word_counts(texts: Sequence[str]) -> NDArray:
    return np.array([len(t.split()) for t in texts])


def reading_ease(text: str) -> float:
    """Flesch reading ease (higher is easier; plain English is about 60), with syllables counted by vowel groups."""
    tokens = words(text)
    if not tokens:
        return 0.0
    syllables = sum(
        max(1, len(re.findall(r"[aeiouy]+", w.lower())) - (w.lower().endswith("e") and not w.lower().endswith("le"))) for w in tokens
    )
    return 206.835 - 1.015 * len(tokens) / max(1, len(sentences(text))) - 84.6 * syllables / len(tokens)


def near_duplicates(texts: Sequence[str], groups: Sequence[str]) -> list[tuple[int, int, float]]:
    """Pairs of texts of different groups that share more than ``NEAR_DUPLICATE`` of their word 5-grams."""
    grams = CountVectorizer(ngram_range=(5, 5), binary=True, token_pattern=r"\w+").fit_transform(texts)
    shared = sparse.coo_matrix(grams @ grams.T)
    sizes = np.asarray(grams.sum(axis=1)).ravel()
    found = []
    for i, j, count in zip(shared.row, shared.col, shared.data, strict=True):
        share = count / max(1, min(sizes[i], sizes[j]))
        if i < j and groups[i] != groups[j] and share > NEAR_DUPLICATE:
            found.append((int(i), int(j), float(share)))
    return found


def tfidf_scores(texts: Sequence[str], labels: Sequence[bool], groups: Sequence[str]) -> NDArray:
    """Held-out probability of the label by TF-IDF (words and pairs of words) and logistic regression; groups stay together."""
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    return _held_out(model, np.asarray(texts, dtype=object), labels, groups)


def length_scores(texts: Sequence[str], labels: Sequence[bool], groups: Sequence[str]) -> NDArray:
    """Held-out probability of the label from the number of words and of sentences."""
    features = np.array([[len(t.split()), len(sentences(t))] for t in texts], dtype=float)
    return _held_out(make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)), features, labels, groups)


def _held_out(model: object, features: NDArray, labels: Sequence[bool], groups: Sequence[str]) -> NDArray:
    folds = min(10, len(set(groups)))
    return cross_val_predict(
        model, features, np.asarray(labels, dtype=bool), groups=np.asarray(groups), cv=GroupKFold(folds), method="predict_proba"
    )[:, 1]
