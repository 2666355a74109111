"""What changed between two versions, word by word: as text for a terminal, as HTML for a page, as one number.

A run of one or two equal words between two changes ("the", "of a") is chance, not something kept: it counts as changed, which also
keeps the picture readable.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator
from typing import Literal, NamedTuple

KEPT_RUN = 3  # so many equal words in a row, or the run touches an end of the text, to count as kept

Kind = Literal["same", "removed", "added"]


class Piece(NamedTuple):
    """Consecutive words of one kind."""

    kind: Kind
    text: str


def pieces(before: str, after: str) -> list[Piece]:
    """The two versions as one sequence: words kept, removed, added. All but the added ones make ``before``, all but the removed ``after``."""
    old, new = before.split(), after.split()
    found: list[Piece] = []
    for same, i, j, k, l in _runs(old, new):  # noqa: E741
        if same:
            found.append(Piece("same", " ".join(old[i:j])))
            continue
        found += [Piece(kind, " ".join(words)) for kind, words in (("removed", old[i:j]), ("added", new[k:l])) if words]
    return found


def share_rewritten(before: str, after: str) -> float:
    """Share of the words of both versions that the other one does not keep: 0 for equal texts, 1 where nothing is kept."""
    total = len(before.split()) + len(after.split())
    kept = sum(len(piece.text.split()) for piece in pieces(before, after) if piece.kind == "same")
    return 1 - 2 * kept / total if total else 0.0


def as_text(before: str, after: str) -> str:
    """``[-removed-]`` and ``{+added+}`` in the running text, as ``git diff --word-diff`` writes it."""
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return " ".join(marks[piece.kind].format(piece.text) for piece in pieces(before, after))


def as_html(before: str, after: str) -> str:
    """``<del>`` and ``<ins>`` in the running text; whatever the texts hold is escaped."""
    marks = {"same": "{}", "removed": "<del>{}</del>", "added": "<ins>{}</ins>"}
    return " ".join(marks[piece.kind].format(html.escape(piece.text)) for piece in pieces(before, after))


def _runs(old: list[str], new: list[str]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Alternating runs (same or not, old from-to, new from-to), short equal runs inside the text joined to the changes around them."""
    start = (0, 0)
    for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        touches_end = (block.a, block.b) == (0, 0) or (block.a + block.size, block.b + block.size) == (len(old), len(new))
        if block.size and block.size < KEPT_RUN and not touches_end:
            continue
        if start != (block.a, block.b):
            yield False, start[0], block.a, start[1], block.b
        if block.size:
            yield True, block.a, block.a + block.size, block.b, block.b + block.size
        start = (block.a + block.size, block.b + block.size)
