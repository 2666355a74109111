"""What notebook 07 counts: intervals of what is compared, pair by pair, and what its figure of adaptive refinement shows."""

from __future__ import annotations

import operator

import numpy as np
import pandas as pd
import pytest

from plottwist.figures import studio as pictures
from plottwist.studio import experiments
from plottwist.studio.reading import LABELS


def explanations(told: np.ndarray) -> pd.DataFrame:
    """Explanations of plots with ten main facts each, of which so many are told."""
    n = len(told)
    return pd.DataFrame({"true": told, "stated": told + 1, "told": told, "main": np.full(n, 10), "bleu": told / 10, "rouge_l": told / 10})


def test_two_ways_are_compared_plot_by_plot():
    rng = np.random.default_rng(0)
    told = rng.integers(2, 9, size=60)
    one, other = explanations(told + 1), explanations(told)
    gap = experiments.told_against(one, other, operator.sub)
    assert (gap.value, gap.low, gap.high, gap.n) == pytest.approx((0.1, 0.1, 0.1, 60))  # every plot gains the same: nothing is unsure
    shuffled = explanations(rng.permutation(told))
    apart = experiments.told_against(one, shuffled, operator.sub)
    assert apart.value == pytest.approx(0.1) and apart.high - apart.low > 0.05
    over = experiments.told_against(one, other, operator.truediv)
    assert over.value == pytest.approx((told.sum() + 60) / told.sum()) and over.low < over.value < over.high


def test_every_number_of_an_explanation_has_an_interval():
    found = experiments.fidelity(explanations(np.random.default_rng(1).integers(2, 9, size=40)))
    assert list(found) == ["true", "told", "bleu", "rouge_l"]
    assert all(e.low < e.value < e.high and e.n == 40 for e in found.values())
    assert found["told"].value == pytest.approx(found["bleu"].value)


def test_the_gain_of_a_labeller_is_the_difference_of_the_two_scores_shown():
    rng = np.random.default_rng(2)
    true = [list(rng.choice(LABELS, size=n)) for n in rng.integers(4, 9, size=50)]
    noisy = [[label if rng.random() < 0.8 else str(rng.choice(LABELS)) for label in own] for own in true]
    worse = [[label if rng.random() < 0.4 else str(rng.choice(LABELS)) for label in own] for own in true]
    gain = experiments.label_f1_gain(noisy, worse, true)
    scores = [experiments.label_f1(said, true) for said in (noisy, worse)]
    assert gain.value == pytest.approx(scores[0][0].value - scores[1][0].value) and gain.low > 0 and gain.n == 50
    assert scores[0][0].value == pytest.approx(np.mean(list(scores[0][1].values())))
    assert experiments.label_f1(true, true)[1] == dict.fromkeys(LABELS, 1.0)


def test_adaptive_refinement_is_drawn_against_gold():
    table = pd.DataFrame({"quality": [9.0, -9.0], "gold_before": [3.0, 7.0], "share": [0.8, 0.2], "band": ["strong", "poor"]})
    (axis,) = pictures.adaptive(table).axes
    drawn = {series.get_label(): series.get_offsets().data.tolist() for series in axis.collections}
    assert drawn == {"poor": [[7.0, 0.2]], "middling": [], "strong": [[3.0, 0.8]]}
    assert "gold" in axis.get_xlabel()
