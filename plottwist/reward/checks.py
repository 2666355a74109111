"""Does a set of scores see the weakness that was written into a plot? For ratings and for models alike.

``scores`` is a frame with index plot_id and one column per NQD (1-10); ``plots`` the shipped plots as a frame. Every interval
draws whole premises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pandas as pd

from plottwist import stats
from plottwist.corpora import perturb
from plottwist.corpora.surface import sentences
from plottwist.nqd import NQDS
from plottwist.stats import Estimate

_COLUMNS = list(NQDS)


def strong_beats_weak(scores: pd.DataFrame, plots: pd.DataFrame, weak: str = "weak_all", column: str = "overall") -> Estimate:
    """Share of premises in which the strong plot scores above the ``weak`` one (a tie counts one half)."""
    values = _with_overall(scores)[column]
    by_premise = (
        plots[plots.plot_id.isin(values.index)]
        .pivot(index="premise_id", columns="variant", values="plot_id")
        .dropna(subset=["strong", weak])
    )
    gap = values[by_premise["strong"]].to_numpy() - values[by_premise[weak]].to_numpy()
    return stats.share((np.sign(gap) + 1) / 2)


def target_is_lowest(scores: pd.DataFrame, plots: pd.DataFrame) -> Estimate:
    """Share of one-weak plots whose targeted dimension is the lowest of the five, each relative to its own mean over all scored plots.

    Chance is 20%; a tie for the lowest place is shared.
    """
    hits = _target_hits(scores, plots)
    return stats.mean(hits.to_numpy(), groups=plots.set_index("plot_id").premise_id[hits.index])


def margin(scores: pd.DataFrame, plots: pd.DataFrame, weak: str = "weak_all") -> pd.Series:
    """Index premise_id: overall score of the strong plot minus the ``weak`` one, in standard deviations of all overall scores."""
    overall = _with_overall(scores).overall
    by_premise = (
        plots[plots.plot_id.isin(overall.index)]
        .pivot(index="premise_id", columns="variant", values="plot_id")
        .dropna(subset=["strong", weak])
    )
    gap = overall[by_premise["strong"]].to_numpy() - overall[by_premise[weak]].to_numpy()
    return pd.Series(gap / overall.std(), index=by_premise.index)


def target_gain(better: pd.DataFrame, rival: pd.DataFrame, plots: pd.DataFrame) -> Estimate:
    """By how much more often the targeted dimension is the lowest under ``better`` than under ``rival``, on the same plots."""
    weak = plots[plots.plot_id.isin(better.index)]
    hits = [_target_hits(scores, weak) for scores in (better, rival)]
    return stats.mean(hits[0].to_numpy() - hits[1].to_numpy(), groups=plots.set_index("plot_id").premise_id[hits[0].index])


def mean_by_variant(scores: pd.DataFrame, plots: pd.DataFrame) -> pd.DataFrame:
    """Long table ``variant, nqd, value``: mean score of each kind of plot, relative to the mean of that dimension over all plots."""
    relative = (scores[_COLUMNS] - scores[_COLUMNS].mean()).assign(variant=plots.set_index("plot_id").variant[scores.index])
    return relative.groupby("variant")[_COLUMNS].mean().stack().rename("value").rename_axis(["variant", "nqd"]).reset_index()


def spread(scores: pd.DataFrame) -> dict[str, float]:
    """Positivity bias and bunching: mean, standard deviation, share of scores at 9 or above."""
    values = scores[_COLUMNS].to_numpy(dtype=float)
    return {"mean": values.mean(), "sd": values.std(), "ceiling": (values >= 9).mean()}


def discrimination(scores: pd.DataFrame, plots: pd.DataFrame) -> pd.DataFrame:
    """Per NQD: how often the strong plot beats the plot weak on that dimension, on that dimension's own score."""
    rows = [{"nqd": n, **_fields(strong_beats_weak(scores, plots, f"weak_{n}", n))} for n in NQDS]
    return pd.DataFrame([*rows, {"nqd": "overall", **_fields(strong_beats_weak(scores, plots))}])


def shift(
    rate: Callable[[Sequence[str]], pd.DataFrame], texts: Sequence[str], change: Callable[[str, Random], str], seed: int = 0
) -> np.ndarray:
    """Absolute change of every score under a neutral change of the text, (texts, 5)."""
    rng = Random(seed)
    return np.abs(rate([change(t, rng) for t in texts]).to_numpy() - rate(list(texts)).to_numpy())


def damage_is_seen(rate: Callable[[Sequence[str]], pd.DataFrame], texts: Sequence[str], kind: str, seed: int = 0) -> Estimate:
    """Share of texts (of eight sentences and more) whose damaged version scores below its control of equal length, overall."""
    rng = Random(seed)
    split = [s for s in map(sentences, texts) if len(s) >= 8]
    pairs = [perturb.damage(kind, own, split[(i + 1) % len(split)], rng) for i, own in enumerate(split)]
    control, damaged = (rate([pair[side] for pair in pairs])[_COLUMNS].mean(axis=1).to_numpy() for side in (0, 1))
    return stats.share((np.sign(control - damaged) + 1) / 2)


def _target_hits(scores: pd.DataFrame, plots: pd.DataFrame) -> pd.Series:
    """Index plot_id of the one-weak plots: 1 if the target is the lowest relative score, 1/k in a tie of k, else 0."""
    relative = scores[_COLUMNS] - scores[_COLUMNS].mean()
    weak = plots[plots.variant.isin([f"weak_{n}" for n in NQDS]) & plots.plot_id.isin(scores.index)]
    hits = {}
    for plot_id, variant in zip(weak.plot_id, weak.variant, strict=True):
        row = relative.loc[plot_id]
        lowest = row[row <= row.min() + 1e-9].index
        hits[plot_id] = (variant.removeprefix("weak_") in lowest) / len(lowest)
    return pd.Series(hits)


def by_length(texts: Sequence[str]) -> pd.DataFrame:
    """A rival that reads nothing: fewer words score higher."""
    words = np.array([len(t.split()) for t in texts], dtype=float)
    return pd.DataFrame(dict.fromkeys(NQDS, -words))


def _with_overall(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.assign(overall=scores[_COLUMNS].mean(axis=1))


def _fields(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
