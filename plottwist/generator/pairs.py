"""Preference pairs: samples of one premise, scored by the reward model, the clear cases kept.

The paper trains on *high-confidence* pairs and does not say by which rule (PAPERS.md section 1). Ours: a pair is kept where the difference
of the two rewards is in the upper part of all such differences, premises together. ``random`` and ``all`` are what it must beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from plottwist.errors import PlotTwistError

Rule = Literal["margin", "random", "all"]


def select(
    premises: Sequence[str],
    samples: Sequence[Sequence[str]],
    scores: NDArray,
    rule: Rule,
    quantile: float,
    seed: int,
    limit: int | None = None,
) -> Dataset:
    """Pairs of different plots of one premise, the better scored one chosen.

    Args:
        scores: (premises, n) rewards.
        rule: ``margin`` keeps pairs whose margin reaches the ``quantile`` of all margins; ``random`` keeps as many, drawn from all;
            ``all`` keeps every pair with a margin at all.
        limit: at most so many of these, drawn at random.

    Returns:
        columns prompt (a premise), chosen, rejected (plots), premise_id (its place in ``premises``), chosen_index, rejected_index, margin.

    Raises:
        PlotTwistError: no pair is left.
    """
    rng = np.random.default_rng(seed)
    candidates = _ordered(samples, np.asarray(scores, dtype=float))
    if not candidates:
        raise PlotTwistError("no pair of different plots with different scores; draw more samples per premise or raise the temperature")
    margins = np.array([m for *_, m in candidates])
    kept = np.flatnonzero(margins >= np.quantile(margins, quantile)) if rule != "all" else np.arange(len(candidates))
    if rule == "random":
        kept = rng.permutation(len(candidates))[: len(kept)]
    if limit is not None and limit < len(kept):
        kept = rng.permutation(kept)[:limit]
    return Dataset.from_list([_row(premises, samples, *candidates[k]) for k in sorted(kept)])


def _ordered(samples: Sequence[Sequence[str]], scores: NDArray) -> list[tuple[int, int, int, float]]:
    """(premise, chosen, rejected, margin) of every pair of different plots with different scores."""
    found = []
    for p, plots in enumerate(samples):
        for i, j in combinations(range(len(plots)), 2):
            better, worse = (i, j) if scores[p, i] > scores[p, j] else (j, i)
            margin = float(scores[p, better] - scores[p, worse])
            if margin > 0 and plots[i] != plots[j]:
                found.append((p, better, worse, margin))
    return found


def _row(premises: Sequence[str], samples: Sequence[Sequence[str]], p: int, chosen: int, rejected: int, margin: float) -> dict:
    return {
        "prompt": premises[p],
        "chosen": samples[p][chosen],
        "rejected": samples[p][rejected],
        "premise_id": p,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "margin": margin,
    }
