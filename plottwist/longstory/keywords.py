"""RAKE (Rose et al. 2010): the key phrases of a text, by which LongStory is told what a story is about.

A candidate is a run of words between stop words and punctuation. A word's score is its degree (how many words stand beside it
in candidates, itself included) over its frequency; a phrase's score is the sum over its words.
"""

from __future__ import annotations

import re
from collections import Counter

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_LONGEST = 4  # words; longer runs are sentences rather than phrases
_PIECE = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|\n")


def rake(text: str) -> tuple[str, ...]:
    """Key phrases in lower case, highest score first; equal scores in order of appearance. Empty if there is no content word."""
    phrases = _candidates(text)
    frequency, degree = Counter(), Counter()
    for words in phrases:
        for word in words:
            frequency[word] += 1
            degree[word] += len(words)
    score = {words: sum(degree[w] / frequency[w] for w in words) for words in phrases}
    return tuple(" ".join(words) for words in sorted(score, key=score.__getitem__, reverse=True))


def _candidates(text: str) -> list[tuple[str, ...]]:
    phrases, run = [], []
    for piece in [*_PIECE.findall(text.lower()), "\n"]:
        if piece[0].isalnum() and piece not in ENGLISH_STOP_WORDS:
            run.append(piece)
        else:
            phrases.append(tuple(run))
            run = []
    return [words for words in phrases if 1 <= len(words) <= _LONGEST]
