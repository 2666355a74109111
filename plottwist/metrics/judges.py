"""Judges of long stories (LongStory, 2311.15208): two small classifiers trained from scratch, apart from every storyteller.

*Coherence* tells the true next paragraph from a wrong one; *completeness* a last paragraph from the others. The paper's negatives
are joined by degenerate ones (words shuffled, the paragraph before once more), so that a right vocabulary in no order, or an echo,
earns nothing. A judge sees hashed words and pairs of words of each paragraph, what the two share, and a few counts: it has no part in
common with the encoders of the models it judges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from plottwist.errors import PlotTwistError
from plottwist.metrics.text import ngrams, words

Kind = Literal["coherence", "completeness"]
KINDS: tuple[Kind, ...] = ("coherence", "completeness")

_BUCKETS, _WIDTH, _COUNTS, _BATCH = 1 << 14, 48, 6, 128
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")  # a word with a capital that does not begin a sentence


@dataclass(frozen=True)
class Example:
    """A paragraph with the one before it ("" for completeness), and whether it is the right one; ``why`` names a kind of negative."""

    before: str
    text: str
    right: bool
    why: str


class Judge(nn.Module):
    """Probability that a paragraph is the right one, from bags of hashed features of both and of what they share."""

    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(_BUCKETS, _WIDTH, mode="mean", padding_idx=0) for _ in range(3))
        self.counts = nn.BatchNorm1d(_COUNTS)
        self.head = nn.Sequential(nn.Linear(4 * _WIDTH + _COUNTS, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 1))

    def forward(self, bags: Sequence[tuple[Tensor, Tensor]], counts: Tensor) -> Tensor:
        """Scores (batch,) from three bags as (ids, offsets) and counts (batch, 6)."""
        before, text, shared = (bag(ids, offsets) for bag, (ids, offsets) in zip(self.bags, bags, strict=True))  # (batch, d) each
        return self.head(torch.cat([before, text, shared, before * text, self.counts(counts)], dim=1)).squeeze(1)

    @torch.inference_mode()
    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """For each (paragraph before, paragraph): the probability that it is right, (pairs,)."""
        self.eval()
        parts = [self(*_inputs([_features(*pair) for pair in pairs[i : i + 512]])) for i in range(0, len(pairs), 512)]
        return torch.sigmoid(torch.cat(parts)).numpy() if parts else np.zeros(0)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: str | Path) -> Judge:
        """Raises: PlotTwistError if the file does not hold a judge."""
        judge = cls()
        try:
            judge.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise PlotTwistError(f"{path} is not a judge of stories; make it with `plottwist artifact story_classifiers`") from error
        return judge.eval()


def train_judge(kind: Kind, stories: Sequence[Sequence[str]], epochs: int, seed: int) -> Judge:
    """A judge trained on stories (paragraphs of each), with fresh negatives every epoch.

    Raises:
        PlotTwistError: fewer than two stories of two paragraphs.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge()
        optimiser = torch.optim.Adam(judge.parameters(), lr=3e-3)
        for epoch in range(epochs):
            rows = examples(kind, stories, Random(f"{seed} {epoch}"))
            order = torch.randperm(len(rows)).tolist()
            featured = [(_features(rows[i].before, rows[i].text), float(rows[i].right)) for i in order]
            judge.train()
            for start in range(0, len(featured) - 1, _BATCH):
                batch = featured[start : start + _BATCH]
                labels = torch.tensor([label for _, label in batch])
                loss = F.binary_cross_entropy_with_logits(judge(*_inputs([f for f, _ in batch])), labels, _balance(labels))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return judge.eval()


def examples(kind: Kind, stories: Sequence[Sequence[str]], rng: Random) -> list[Example]:
    """Right and wrong paragraphs.

    Coherence, for each paragraph but the first: the true one; one of another story; one of another place of the same story; the true
    one with its words shuffled; the one before once more. Completeness: the last paragraph; all others; the last one shuffled.
    """
    stories = [s for s in stories if len(s) >= 2]
    if len(stories) < 2:
        raise PlotTwistError("a judge needs at least two stories of two paragraphs; give more")
    return [e for i in range(len(stories)) for e in (_next if kind == "coherence" else _last)(stories, i, rng)]


def accuracy(judge: Judge, rows: Sequence[Example]) -> dict[str, float]:
    """Share of examples on the right side of one half: of right ones, of each kind of wrong ones, and ``balanced``, the mean of
    right ones and the paper's wrong ones (degenerate ones are told apart more easily, and left out)."""
    hits = (judge.probabilities([(r.before, r.text) for r in rows]) > 0.5) == np.array([r.right for r in rows])
    kinds = np.array([r.why for r in rows])
    found = {why: float(hits[kinds == why].mean()) for why in dict.fromkeys(kinds.tolist())}
    wrong = np.isin(kinds, ["another story", "another place", "not the last"])
    return {**found, "balanced": float((hits[kinds == "right"].mean() + hits[wrong].mean()) / 2)}


def shuffled(text: str, rng: Random) -> str:
    """The same words in no order."""
    parts = text.split()
    rng.shuffle(parts)
    return " ".join(parts)


def _next(stories: Sequence[Sequence[str]], i: int, rng: Random) -> list[Example]:
    story, found = stories[i], []
    for t in range(1, len(story)):
        other = stories[(i + rng.randrange(1, len(stories))) % len(stories)]
        before, elsewhere = story[t - 1], [p for p in range(len(story)) if p not in (t - 1, t)]
        found += [Example(before, story[t], True, "right"), Example(before, rng.choice(other), False, "another story")]
        if elsewhere:
            found.append(Example(before, story[rng.choice(elsewhere)], False, "another place"))
        found.append(Example(before, shuffled(story[t], rng), False, "shuffled") if t % 2 else Example(before, before, False, "repeated"))
    return found


def _last(stories: Sequence[Sequence[str]], i: int, rng: Random) -> list[Example]:
    *others, last = stories[i]
    wrong = [Example("", p, False, "not the last") for p in others]
    return [Example("", last, True, "right"), *wrong, Example("", shuffled(last, rng), False, "shuffled")]


def _balance(labels: Tensor) -> Tensor:
    """Weights under which right and wrong ones count alike in a batch."""
    right = labels.sum().clamp(min=1)
    return torch.where(labels > 0, len(labels) / (2 * right), len(labels) / (2 * (len(labels) - right).clamp(min=1)))


Features = tuple[list[int], list[int], list[int], list[float]]


@dataclass(frozen=True, eq=False)
class _Parsed:
    """What is counted in one paragraph."""

    tokens: frozenset[str]
    pairs: frozenset[tuple[str, ...]]
    names: frozenset[str]
    length: int
    hashed: list[int]


@lru_cache(maxsize=1 << 15)
def _parsed(text: str) -> _Parsed:
    tokens = words(text)
    pairs = ngrams(tokens, 2)
    return _Parsed(frozenset(tokens), frozenset(pairs), frozenset(_NAME.findall(text)), len(tokens), _hashed(tokens, pairs))


def _features(before: str, text: str) -> Features:
    """Hashed features of the paragraph before, of the paragraph and of the words they share; and counts."""
    a, b = _parsed(before), _parsed(text)
    shared, names = sorted(a.tokens & b.tokens), len(a.names & b.names)
    counts = [
        names / max(1, len(b.names)),
        names / max(1, len(a.names)),
        len(a.pairs & b.pairs) / max(1, len(b.pairs)),
        len(shared) / max(1, len(b.tokens)),
        float(np.log1p(b.length)),
        len(b.tokens) / max(1, b.length),
    ]
    return a.hashed, b.hashed, _hashed(shared, []), counts


def _hashed(tokens: Sequence[str], pairs: Sequence[tuple[str, ...]]) -> list[int]:
    return [1 + crc32(g.encode()) % (_BUCKETS - 1) for g in (*tokens, *map(" ".join, pairs))] or [0]


def _inputs(rows: Sequence[Features]) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Three bags as (ids, offsets), and counts (batch, 6)."""
    bags = []
    for part in range(3):
        lists = [row[part] for row in rows]
        offsets = np.cumsum([0, *map(len, lists)])[:-1]
        bags.append((torch.tensor([i for ids in lists for i in ids]), torch.tensor(offsets)))
    return bags, torch.tensor([row[3] for row in rows])
