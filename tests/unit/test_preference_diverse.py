"""What notebook 06 compares: the methods, their pairs, the line to reach, the figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_generator_writer import TOKENIZER, writer

from plottwist import figures, profiles
from plottwist.corpora.storyworld import reader
from plottwist.generator import diverse
from plottwist.generator.experiments import Pool, Writer, draw_pool
from plottwist.generator.reward import fit_reward

SMOKE = profiles.load("smoke")


def pool(n=8, each=4):
    premises, plots = diverse.held_out_stories(n, each)
    scores = np.random.default_rng(0).normal(size=(n, each, 5))
    return Pool(premises, plots, scores)


def test_the_same_pairs_for_all_but_divpo():
    """Those with fewer responses choose among the first ones alone."""
    own = pool()
    far = {kind: list(np.random.default_rng(1).random((8, 4))) for kind in diverse.KINDS}
    found = {name: diverse.chosen_pairs(m, own, far, SMOKE, 0) for name, m in diverse.methods(SMOKE.diverse).items() if not m.responses}
    assert {len(data) for data in found.values()} == {SMOKE.diverse.pairs}
    same = [data.to_list() for name, data in found.items() if name != "DivPO"]
    assert all(data == same[0] for data in same)
    assert all(row["chosen_index"] != row["rejected_index"] for row in found["DivPO"])
    few = diverse.chosen_pairs(diverse.Method(responses=2), own.head(8, 2), {k: [d[:2] for d in far[k]] for k in far}, SMOKE, 0)
    assert set(few["chosen_index"]) <= {0, 1}


def test_a_pool_that_is_too_small_grows_and_its_scores_stay_with_their_plots():
    torch.set_num_threads(1)
    premises, plots = diverse.held_out_stories(3, 4)
    reward = fit_reward([p for own in plots for p in own], np.random.default_rng(0).normal(5, 1, size=(12, 5)), 1, 1e-3, 0)
    profile = SMOKE.model_copy(update={"generator": SMOKE.generator.model_copy(update={"samples": 2, "context": 96})})
    profile = profile.model_copy(update={"diverse": SMOKE.diverse.model_copy(update={"responses": (2, 5)})})
    small, five = (draw_pool(writer(), TOKENIZER, reward, premises, profile.generator, 0, n) for n in (2, 5))
    grown = diverse.with_responses(Writer(writer(), TOKENIZER, reward, small, pd.DataFrame()), profile, 0).pool
    assert grown.plots == five.plots and grown.scores.shape == (3, 5, 5)
    np.testing.assert_allclose(grown.scores, five.scores, atol=1e-5)
    enough = profile.model_copy(update={"diverse": SMOKE.diverse.model_copy(update={"responses": (2,)})})
    assert diverse.with_responses(Writer(writer(), TOKENIZER, reward, small, pd.DataFrame()), enough, 0).pool is small


def test_methods_differ_in_one_thing_each():
    methods = diverse.methods(SMOKE.diverse)
    assert {name.split(",")[0] for name in methods} == {
        "DPO", "DDPO-semantic", "DDPO-style", "DDPO-both", "DivPO", "ORPO", "DORPO-both", "DDPO-both with floor"
    }  # fmt: skip
    assert [n for n in methods if n.endswith("2 responses")] == ["DPO, 2 responses"], "two are equally far from each other"
    assert {m.floor for name, m in methods.items() if "floor" in name} == {SMOKE.diverse.floor}
    assert not any(m.floor for name, m in methods.items() if "floor" not in name)
    assert {diverse.config(m, SMOKE).loss for m in methods.values()} == {"dpo", "orpo"}


def test_the_line_to_reach_tells_of_the_same_matters_in_other_words():
    premises, told = diverse.held_out_stories(3, 4)
    for premise, own in zip(premises, told, strict=True):
        assert len(set(own)) == 4
        assert all(reader.read(text, premise).premise_kept == 1 for text in own)


def test_all_alike_is_1_and_order_does_not_matter():
    assert diverse.alike([["A storm came."], ["A storm came."]]) == 1
    plots = [["A storm came.", "The fox ran."], ["A storm of foxes came.", "Nothing."]]
    assert diverse.alike(plots) == pytest.approx(diverse.alike(plots[::-1]))


def test_a_plot_without_words_is_kept_as_one_word():
    assert diverse.worded("... !") == "nothing" and diverse.worded("A fox.") == "A fox."


def test_figures_are_drawn_from_their_tables(tmp_path):
    rng = np.random.default_rng(0)
    names = ["SFT", "DPO", "DDPO-semantic", "DDPO-style", "DDPO-both", "DivPO", "ORPO", "DORPO-both", "training text"]
    few = ["DDPO-both, 4 responses", "DDPO-both with floor, 4 responses"]
    for figure, methods in (("front", names), ("few", few)):
        rows = [
            {
                "method": m,
                "measure": k,
                "value": (v := rng.normal(5 if k == "gold" else 0.3, 0.1)),
                "low": v - 0.05,
                "high": v + 0.05,
                "n": 9,
            }
            for m in methods
            for k in ("gold", "semantic", "style")
        ]
        (tmp_path / "tables").mkdir(exist_ok=True)
        pd.DataFrame(rows).to_csv(tmp_path / "tables" / f"06_diverse_post_training.{figure}.csv", index=False)
        figures.draw(f"06_diverse_post_training.{figure}", tmp_path, tmp_path)
        assert (tmp_path / f"06_diverse_post_training.{figure}.png").stat().st_size > 10_000
