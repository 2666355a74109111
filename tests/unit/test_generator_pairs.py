"""The simulated rater, the pairs, the reward's scale, novelty: what preference training stands on."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from plottwist.corpora import storyworld
from plottwist.errors import PlotTwistError
from plottwist.generator import novelty, pairs, rater
from plottwist.generator.rater import damaged
from plottwist.generator.reward import overall
from plottwist.nqd import NQDS

PREMISES = ["a", "b", "c"]
PLOTS = [[f"{p}{i}" for i in range(4)] for p in PREMISES]
SCORES = np.array([[0.0, 1.0, 2.0, 10.0], [0.0, 0.1, 0.2, 0.3], [3.0, 2.0, 1.0, 0.0]])


def test_margin_keeps_the_clear_pairs_only():
    kept = pairs.select(PREMISES, PLOTS, SCORES, "margin", 0.8, 0)
    assert min(kept["margin"]) >= 2.0 and set(kept["premise_id"]) == {0, 2}
    for row in kept:
        assert SCORES[row["premise_id"], row["chosen_index"]] > SCORES[row["premise_id"], row["rejected_index"]]
        assert row["prompt"] == PREMISES[row["premise_id"]]
        assert row["chosen"] == PLOTS[row["premise_id"]][row["chosen_index"]]


def test_random_keeps_as_many_and_all_keeps_all():
    margin, random, every = (pairs.select(PREMISES, PLOTS, SCORES, rule, 0.8, 0) for rule in ("margin", "random", "all"))
    assert len(random) == len(margin) < len(every) == 18
    assert len(pairs.select(PREMISES, PLOTS, SCORES, "all", 0.8, 0, limit=5)) == 5
    assert random["margin"] == pairs.select(PREMISES, PLOTS, SCORES, "random", 0.8, 0)["margin"]


def test_equal_plots_and_equal_scores_make_no_pair():
    with pytest.raises(PlotTwistError, match="no pair"):
        pairs.select(["a"], [["x", "x", "y"]], np.zeros((1, 3)), "all", 0.5, 0)
    only = pairs.select(["a"], [["x", "x", "y"]], np.array([[1.0, 2.0, 0.0]]), "all", 0.5, 0)
    assert {(r["chosen"], r["rejected"]) for r in only} == {("x", "y")}


def test_overall_gives_every_dimension_the_same_say():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 4, len(NQDS))) * [0.1, 1, 5, 1, 1]
    flat, reward = scores.reshape(-1, len(NQDS)), overall(scores).ravel()
    shares = [np.corrcoef(flat[:, i], reward)[0, 1] for i in range(len(NQDS))]
    assert min(shares) > 0.3 and overall(scores * 7 + 3) == pytest.approx(overall(scores))


def test_the_rater_is_what_the_ratings_say():
    """Coefficients come back from ratings made with them, and other ratings give other ones."""
    stories = storyworld.plots(400)
    levels = np.column_stack([stories[f"level_{n}"] for n in NQDS])
    people = rater.fitted()
    clean = rater.SimulatedRater(people.coefficients, np.zeros_like(people.covariance))
    said = clean.rate(stories["text"], levels, 0)
    again = rater.fit(stories["text"], levels, np.stack([said[p] for p in rater.PROTOCOLS]))
    assert again.coefficients[0, :, :3] == pytest.approx(people.coefficients[0, :, :3], abs=0.5)  # ratings are whole points
    other = rater.fit(stories["text"], levels, np.stack([11 - said[p] for p in rater.PROTOCOLS]))
    assert other.coefficients[..., 1] == pytest.approx(-again.coefficients[..., 1], abs=1e-6)


def test_the_fitted_rater_follows_the_level_and_is_kinder_when_it_praises():
    stories = storyworld.plots(400)
    levels = np.column_stack([stories[f"level_{n}"] for n in NQDS])
    said = rater.fitted().rate(stories["text"], levels, 0)
    assert rater.fitted().coefficients[..., 1].min() > 0
    assert said["positive"].mean() > said["direct"].mean() > said["negative"].mean()
    assert said["pn"] == pytest.approx((said["positive"] + said["negative"]) / 2)
    assert said["direct"].min() >= 1 and said["direct"].max() <= 10
    assert (said["direct"] == rater.fitted().rate(stories["text"], levels, 0)["direct"]).all()


def test_levels_of_the_shipped_variants():
    assert rater.written_levels("strong") == [1.0] * 5 and rater.written_levels("weak_all") == [0.0] * 5
    assert rater.written_levels("weak_tone") == [1.0, 0.0, 1.0, 1.0, 1.0]


def test_longest_common_run():
    training = ["And the cat sat on the mat.", "Nothing; nothing at all, on a mat"]
    found = novelty.longest_common_run(["THE CAT sat on a mat!", "the dog", "x y z", "", "the mat nothing at all"], training)
    assert found.tolist() == [4, 1, 0, 0, 3]
    assert novelty.longest_common_run(training, training).tolist() == [7, 7]


def test_a_damaged_plot_is_worth_less_by_what_was_spoilt():
    text = storyworld.simulate(3).text
    found = [damaged(text, Random(seed)) for seed in range(40)]
    assert found == [damaged(text, Random(seed)) for seed in range(40)]
    assert all((changed == text) == (left == 1) for changed, left in found)
    assert all(0 <= left <= 1 for _, left in found) and len({left for _, left in found}) > 5
    known = set(text.replace(".", " ").replace(",", " ").split())
    assert all(set(changed.replace(".", " ").replace(",", " ").split()) <= known for changed, _ in found)  # nothing comes from elsewhere
    assert damaged("", Random(0)) == ("", 1.0)
