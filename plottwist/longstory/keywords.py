"""RAKE (Rose et al. 2010): the key phrases of a text, by which LongStory is told what a story is about.

A candidate is a run of words between stop words and punctuation. A word's score is its degree (how many words stand beside it
in candidates, itself included) over its frequency; a phrase's score is the sum over its words. Names keep their capital: to a small
tokenizer ``greta`` is no more like ``Greta`` than any other word.
"""

from __future__ import annotations

import re
from collections import Counter

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_LONGEST = 4  # words; longer runs are sentences rather than phrases
_PIECE = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|\n")
_INSIDE = re.compile(r"(?<=[^\W_] )[^\W_]+|(?<=[,;] )[^\W_]+")  # a word that does not begin a sentence


def rake(text: str) -> tuple[str, ...]:
    """Key phrases, highest score first, equal scores in order of appearance; in lower case but for names. Empty without content words."""
    phrases, names = _candidates(text), _names(text)
    frequency, degree = Counter(), Counter()
    for words in phrases:
        for word in words:
            frequency[word] += 1
            degree[word] += len(words)
    score = {words: sum(degree[w] / frequency[w] for w in words) for words in phrases}
    return tuple(" ".join(names.get(w, w) for w in words) for words in sorted(score, key=score.__getitem__, reverse=True))


def _candidates(text: str) -> list[tuple[str, ...]]:
    phrases, run = [], []
    for piece in [*_PIECE.findall(text.lower()), "\n"]:
        if piece[0].isalnum() and piece not in ENGLISH_STOP_WORDS:
            run.append(piece)
        else:
            phrases.append(tuple(run))
            run = []
    return [words for words in phrases if 1 <= len(words) <= _LONGEST]


def _names(text: str) -> dict[str, str]:
    """Words, in lower case, that stand inside a sentence only with a capital; and how they are written there."""
    inside = dict.fromkeys(_INSIDE.findall(text))
    return {word.lower(): word for word in inside if word[0].isupper() and word.lower() not in inside}
