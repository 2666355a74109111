"""One split for the whole repository: a hash of what must not be seen twice.

A film, a prompt, a premise or an item has one key, and the key decides: 60% train, 15% validation, 25% test. So an item
that is test in one notebook is test in every other, on every machine, and a new row moves no old one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

Split = Literal["train", "validation", "test"]

TEST, VALIDATION = 0.25, 0.15
# Chosen among 2,000 before any rating or model existed, so that premises, both film lists and writing prompts, each few, come near the shares.
SALT = 624


def split(key: str) -> Split:
    """The split of everything that carries this key."""
    position = int.from_bytes(hashlib.sha256(f"{SALT}:{key}".encode()).digest()[:8]) / 2**64
    return "test" if position < TEST else "validation" if position < TEST + VALIDATION else "train"


def film_key(title: str) -> str:
    """A film by its title, whatever the table writes around it: ``The Sting (film)`` and ``Sting, The`` are ``film:sting``.

    The year is left out on purpose: tables disagree on it, and remakes had better move together.
    """
    return "film:" + _plain(re.sub(r"\(.*?\)", " ", title))


def prompt_key(prompt: str) -> str:
    """A writing prompt by its words, without tags such as ``[WP]``, case and punctuation."""
    return "prompt:" + _plain(re.sub(r"\[.*?\]", " ", prompt))


def premise_key(premise: str) -> str:
    """A premise by its words: all plots of one premise move together, also those a model writes for it."""
    return "premise:" + _plain(premise)


def together(pairs: Iterable[tuple[str, str]], anchors: Iterable[str] = ()) -> dict[str, str]:
    """Key -> the key that decides for its whole group, where each pair of keys must move together.

    A group is decided by its anchor (a key whose split is fixed elsewhere) if it has one, else by its first key in order.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            key = parent[key]
        return key

    for a, b in pairs:
        parent[root(a)] = root(b)
    groups: dict[str, list[str]] = {}
    for key in parent:
        groups.setdefault(root(key), []).append(key)
    fixed = set(anchors)
    return {key: min(members, key=lambda k: (k not in fixed, k)) for members in groups.values() for key in members}


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    words = re.findall(r"[a-z0-9]+", folded)
    articles = {"the", "a", "an"}
    if len(words) > 1 and words[0] in articles:
        words = words[1:]
    elif len(words) > 1 and words[-1] in articles:
        words = words[:-1]
    return "-".join(words)
