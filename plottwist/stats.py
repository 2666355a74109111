"""Estimates with their uncertainty: scipy behind plain names.

Every function that returns an ``Estimate`` gives a 95% interval from a seeded percentile bootstrap, so the same data
give the same numbers. ``groups`` names the unit that was really sampled (a premise, a film, a seed): whole groups are
drawn, so that seven variants of one premise do not count as seven independent observations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as scipy_stats

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its 95% interval and the number of independent units behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def estimate(statistic: Callable[..., float], *samples: ArrayLike, groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """``statistic(*samples)`` with a bootstrap interval; the samples are paired arrays of one length, resampled together.

    Raises:
        ValueError: no data, or arrays of different lengths.
    """
    arrays = [np.asarray(s) for s in samples]
    if not arrays or len({len(a) for a in arrays}) != 1 or len(arrays[0]) == 0:
        raise ValueError("estimate needs one or more non-empty arrays of the same length")
    members = _members(len(arrays[0]), groups)
    rng = np.random.default_rng(seed)
    draws = np.array([_resampled(statistic, arrays, members, rng) for _ in range(RESAMPLES)])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail]) if np.isfinite(draws).any() else (np.nan, np.nan)
    return Estimate(float(statistic(*arrays)), float(low), float(high), len(members))


def hierarchical(statistic: Callable[..., float], *samples: ArrayLike, outer: Sequence, inner: Sequence, seed: int = 0) -> Estimate:
    """As ``estimate``, where two things vary: whole ``outer`` units are drawn (seeds), then within each its ``inner`` ones (items).

    With one outer unit it is ``estimate(groups=inner)``. n counts inner units within outer ones.
    """
    arrays = [np.asarray(s) for s in samples]
    nests = [[rows[m] for m in _members(len(rows), np.asarray(inner)[rows])] for rows in _members(len(arrays[0]), outer)]
    rng = np.random.default_rng(seed)
    draws = np.array([_nested(statistic, arrays, nests, rng) for _ in range(RESAMPLES)])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return Estimate(float(statistic(*arrays)), float(low), float(high), sum(map(len, nests)))


def mean(values: ArrayLike, groups: Sequence | None = None, seed: int = 0) -> Estimate:
    return estimate(lambda v: float(v.mean()), np.asarray(values, dtype=float), groups=groups, seed=seed)


def share(hits: ArrayLike) -> Estimate:
    """Mean of independent hits (1), misses (0) and ties (0.5), with Wilson's interval: honest also where all are hits."""
    hits = np.asarray(hits, dtype=float)
    n, p, z = len(hits), float(hits.mean()), float(scipy_stats.norm.ppf(0.5 + CONFIDENCE / 2))
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Estimate(p, float(centre - half), float(centre + half), n)


def spearman(x: ArrayLike, y: ArrayLike, groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """Rank correlation; 0 where one side is constant (a score that never moves agrees with nothing)."""
    return estimate(_spearman, np.asarray(x, dtype=float), np.asarray(y, dtype=float), groups=groups, seed=seed)


def mean_spearman(xs: Sequence[ArrayLike], ys: Sequence[ArrayLike], groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """The mean of several rank correlations over the same items."""
    k = len(xs)
    columns = [np.asarray(c, dtype=float) for c in (*xs, *ys)]
    return estimate(lambda *c: float(np.mean([_spearman(c[i], c[k + i]) for i in range(k)])), *columns, groups=groups, seed=seed)


def lowest_spearman(xs: Sequence[ArrayLike], ys: Sequence[ArrayLike], groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """The lowest of several rank correlations, with an interval that knows it was picked."""
    k = len(xs)
    columns = [np.asarray(c, dtype=float) for c in (*xs, *ys)]
    return estimate(lambda *c: min(_spearman(c[i], c[k + i]) for i in range(k)), *columns, groups=groups, seed=seed)


def auc(scores: ArrayLike, labels: ArrayLike, groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """Probability that a positive item scores above a negative one, ties one half."""
    return estimate(_auc, np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool), groups=groups, seed=seed)


def auc_controlled(scores: ArrayLike, labels: ArrayLike, controls: ArrayLike, groups: Sequence | None = None, seed: int = 0) -> Estimate:
    """``auc`` of what a straight line in the controls, (items,) or (items, controls), leaves of the scores; refitted in every resample."""
    return estimate(
        lambda score, label, control: _auc(_residual(score, control), label),
        np.asarray(scores, dtype=float),
        np.asarray(labels, dtype=bool),
        np.asarray(controls, dtype=float),
        groups=groups,
        seed=seed,
    )


def contrast(statistic: Callable[[NDArray, NDArray], float], a: ArrayLike, b: ArrayLike, seed: int = 0) -> Estimate:
    """``statistic(a, b)`` of two independent samples, each resampled on its own."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    rng = np.random.default_rng(seed)
    draws = [statistic(rng.choice(a, len(a)), rng.choice(b, len(b))) for _ in range(RESAMPLES)]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(float(statistic(a, b)), float(low), float(high), len(a) + len(b))


def difference(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Estimate:
    """mean(a) - mean(b) of two independent samples."""
    return contrast(lambda x, y: x.mean() - y.mean(), a, b, seed)


def compare_groups(a: ArrayLike, b: ArrayLike, seed: int = 0) -> dict[str, float]:
    """a against b: ``difference`` of means with ``low`` and ``high``, Cohen's ``d``, permutation ``p``, ``auc``, ``n``."""
    gap = difference(a, b, seed=seed)
    labels = [True] * len(np.asarray(a)) + [False] * len(np.asarray(b))
    return {
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
        "d": cohens_d(a, b),
        "p": permutation_p(a, b, seed=seed),
        "auc": _auc(np.concatenate([a, b]).astype(float), np.array(labels)),
        "n": gap.n,
    }


def cohens_d(a: ArrayLike, b: ArrayLike, paired: bool = False) -> float:
    """Standardised difference of means; ``paired``: mean difference over the spread of differences. 0/0 is 0."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if paired:
        gap, spread = (a - b).mean(), (a - b).std(ddof=1)
    else:
        gap = a.mean() - b.mean()
        pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
        spread = np.sqrt(pooled)
    if spread == 0:
        return 0.0 if gap == 0 else float(np.copysign(np.inf, gap))
    return float(gap / spread)


def permutation_p(a: ArrayLike, b: ArrayLike, paired: bool = False, seed: int = 0, resamples: int = 9999) -> float:
    """Two-sided permutation test of equal means; ``paired`` swaps signs within pairs."""
    result = scipy_stats.permutation_test(
        (np.asarray(a, dtype=float), np.asarray(b, dtype=float)),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
        batch=1000,
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of several p-values, in the given order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rho alone, where an interval is not wanted; 0 if one side is constant."""
    return _spearman(np.asarray(x, dtype=float), np.asarray(y, dtype=float))


def _members(n: int, groups: Sequence | None) -> list[NDArray]:
    if groups is None:
        return [np.array([i]) for i in range(n)]
    labels = np.asarray(groups)
    if len(labels) != n:
        raise ValueError("groups must name one group per observation")
    _, codes = np.unique(labels, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _resampled(statistic: Callable[..., float], arrays: list[NDArray], members: list[NDArray], rng: np.random.Generator) -> float:
    drawn = rng.integers(len(members), size=len(members))
    rows = drawn if len(members) == len(arrays[0]) else np.concatenate([members[i] for i in drawn])
    return statistic(*(a[rows] for a in arrays))


def _nested(statistic: Callable[..., float], arrays: list[NDArray], nests: list[list[NDArray]], rng: np.random.Generator) -> float:
    drawn = [nests[i] for i in rng.integers(len(nests), size=len(nests))]
    rows = np.concatenate([nest[i] for nest in drawn for i in rng.integers(len(nest), size=len(nest))])
    return statistic(*(a[rows] for a in arrays))


def _spearman(x: NDArray, y: NDArray) -> float:
    rx, ry = scipy_stats.rankdata(x), scipy_stats.rankdata(y)
    rx, ry = rx - rx.mean(), ry - ry.mean()
    scale = np.sqrt((rx @ rx) * (ry @ ry))
    return float(rx @ ry / scale) if scale > 0 else 0.0


def _residual(values: NDArray, controls: NDArray) -> NDArray:
    design = np.column_stack([np.ones(len(values)), controls])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def _auc(scores: NDArray, labels: NDArray) -> float:
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = scipy_stats.rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))
