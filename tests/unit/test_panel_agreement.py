"""Agreement of the panel: known answers, chance, ties, and whether a change of a text is the change it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plottwist.corpora.surface import sentences
from plottwist.evaluation import agreement
from plottwist.nqd import NQDS

VARIANTS = ["strong", *(f"weak_{n}" for n in NQDS), "weak_all"]
PLOTS = pd.DataFrame([{"plot_id": f"{p}-{v}", "premise_id": p, "variant": v} for p in "abcdefgh" for v in VARIANTS])


def perfect(noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """A panel that gives the weak dimension of every plot 2 and the rest 8 (3 where all is weak), give or take."""
    rows = [{n: 2.0 if v == f"weak_{n}" else 3.0 if v == "weak_all" else 8.0 for n in NQDS} for v in PLOTS.variant]
    frame = pd.DataFrame(rows, index=PLOTS.plot_id)
    return frame + noise * np.random.default_rng(seed).normal(size=frame.shape)


def test_a_perfect_panel_finds_every_weakness_and_a_constant_one_is_at_chance():
    assert agreement.weak_is_lowest(perfect(), PLOTS).hit.mean() == 1
    assert agreement.weak_is_lowest(perfect() * 0 + 5, PLOTS).hit.mean() == pytest.approx(1 / 7)
    flipped = agreement.weak_is_lowest(-perfect(), PLOTS)
    assert flipped.hit.max() == 0 and len(flipped) == 8 * 5


def test_strong_against_weak_is_paired_and_corrected():
    table = agreement.strong_against_weak(perfect(0.5), PLOTS).set_index("nqd")
    assert (table.value.between(5, 7)).all() and (table.low > 4).all() and (table.d > 2).all()
    assert (table.p_holm >= table.p).all() and (table.p_holm < 0.05).all()


def test_agreement_with_gold_is_per_dimension_and_overall():
    own = perfect(0.1)
    table = agreement.with_gold(own, own**3).set_index("nqd")
    assert list(table.index) == [*NQDS, "overall"]
    assert (table.value[list(NQDS)] > 0.99).all()


def test_who_is_right_where_two_differ():
    gold = np.arange(30.0)
    rng = np.random.default_rng(0)
    assert agreement.right_where_they_differ(gold, rng.permutation(gold), gold).value == 1
    assert agreement.right_where_they_differ(-gold, gold, gold).value == 0
    chance = agreement.right_where_they_differ(rng.normal(size=200), rng.normal(size=200), rng.normal(size=200))
    assert chance.low < 0.5 < chance.high
    assert np.isnan(agreement.right_where_they_differ(gold, gold, gold).value)


def test_minds_that_rank_alike_agree_whatever_their_scales():
    own = perfect(0.3)
    alone = {item: item for item in own.index}
    table = agreement.minds_agree({"one": own, "other": own**2 * 10}, alone)
    assert table.value.to_numpy() == pytest.approx(1.0)
    mixed = agreement.minds_agree({"one": own, "other": own.sample(frac=1, random_state=0).set_axis(own.index)}, alone)
    assert (mixed.value < 0.6).all()


def test_the_two_sentences_put_in_have_the_same_length_and_stand_in_the_middle():
    assert len(agreement.INSTRUCTION.split()) == len(agreement.NEUTRAL_SENTENCE.split()) == 20
    text = "One. Two. Three. Four."
    assert sentences(agreement.inserted(text, "Here!")) == ["One.", "Two.", "Here!", "Three.", "Four."]
    wordy = agreement.wordier(text)
    assert len(sentences(wordy)) == 4 and len(wordy.split()) > 2 * len(text.split())


def test_the_resolution_is_that_of_a_mean():
    own = perfect(1.0)
    spread = own.mean(axis=1).std(ddof=1)
    assert agreement.resolution(own, 160).value == pytest.approx(1.96 * spread / 160**0.5)
