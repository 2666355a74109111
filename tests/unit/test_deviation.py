"""Deviation of real texts, DivPO's choice, and the weights of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from plottwist.corpora.storyworld import simulate
from plottwist.errors import PlotTwistError
from plottwist.generator import deviation, weights
from plottwist.metrics.vectors import pairwise_distances, semantic_vectors

SEA = ["The sailor crossed the sea to find her brother.", "A sailor sailed over the sea and found her brother."]
TAX = "Quarterly tax returns must be filed by the accountant."
SHOUT = "Run! Now! They are here! Oh, run! What? Run!"


def far(texts, kind):
    return deviation.deviation(deviation.embed(texts, kind))


def test_the_odd_one_out_in_meaning_deviates_most():
    assert far([*SEA, TAX], "semantic").argmax() == 2


def test_the_odd_one_out_in_style_deviates_most():
    assert far([*SEA, SHOUT], "style").argmax() == 2


def test_fast_semantic_vectors_give_the_distances_of_exact_ones():
    texts = [simulate(i).text for i in range(6)]
    exact, fast = (pairwise_distances(v) for v in (semantic_vectors(texts), deviation.embed(texts, "semantic")))
    np.testing.assert_allclose(exact, fast, atol=0.01)


def test_identical_responses_deviate_by_nothing_and_all_weigh_1():
    np.testing.assert_allclose(far([TAX] * 3, "style"), 0, atol=1e-6)
    np.testing.assert_array_equal(weights.response_weights(np.zeros(3)), 1)


def test_a_single_response_deviates_from_nothing():
    with pytest.raises(PlotTwistError, match="at least two"):
        far([TAX], "style")


def test_a_style_encoder_that_is_not_there_is_named():
    with pytest.raises(PlotTwistError, match="no/such-encoder"):
        deviation.embed(SEA, "style", style_encoder="no/such-encoder")


def test_weights_by_hand():
    """u_semantic = (0, .5, 1), u_style = (1, .5, 0): each alone, and both with floors of 0 and 0.2."""
    semantic, style = [0.1, 0.2, 0.3], [0.6, 0.4, 0.2]
    np.testing.assert_allclose(weights.response_weights(semantic), [0, 1, 2])
    np.testing.assert_allclose(weights.response_weights(semantic, style), [0, 3, 0])
    g = np.sqrt([0.2, 0.25, 0.2])
    np.testing.assert_allclose(weights.response_weights(semantic, style, floor=0.2), g / g.mean())


def test_two_responses_that_win_in_different_ways_weigh_the_same():
    """g is 0 for both: nothing to divide by, nobody is better."""
    np.testing.assert_array_equal(weights.response_weights([0.0, 1.0], [1.0, 0.0]), 1)


def test_a_pair_has_the_weight_of_its_chosen_response():
    pairs = Dataset.from_dict({"premise_id": [1, 0, 1], "chosen_index": [2, 1, 0]})
    kinds = [[0.0, 1.0], [0.0, 1.0, 3.0]]
    np.testing.assert_allclose(weights.pair_weights(pairs, kinds), [2.25, 2.0, 0.0])
    np.testing.assert_array_equal(weights.pair_weights(pairs, kinds, floor=1.0), 1)


def test_divpo_takes_the_most_diverse_of_the_good_and_the_least_diverse_of_the_bad():
    texts = list("abcdefgh")
    scores = [[1, 2, 3, 4, 5, 6, 7, 8]]
    far = [[0.9, 0.1, 0.5, 0.2, 0.3, 0.8, 0.4, 0.6]]
    one = deviation.divpo(["p"], [texts], scores, far, share=0.25)
    assert one.to_list() == [{"prompt": "p", "chosen": "h", "rejected": "b", "premise_id": 0, "chosen_index": 7, "rejected_index": 1}]
    two = deviation.divpo(["p"], [texts], scores, far, share=0.5, per_prompt=2)
    assert [(r["chosen"], r["rejected"]) for r in two] == [("f", "b"), ("h", "d")]


@pytest.mark.parametrize(("share", "per_prompt"), [(0.25, 3), (0.7, 1), (0.05, 1)])
def test_divpo_says_when_there_are_too_few(share, per_prompt):
    with pytest.raises(PlotTwistError, match="sample more"):
        deviation.divpo(["p"], [list("abcdefgh")], [range(8)], [range(8)], share, per_prompt)


@pytest.mark.parametrize(
    ("kinds", "floor", "message"),
    [
        ([[0.1, 0.2]], -0.1, "floor"),
        ([[0.1, 0.2]], 1.1, "floor"),
        ([[0.1, float("nan")]], 0, "finite"),
        ([[0.1], [0.1, 0.2]], 0, "one length"),
    ],
)
def test_bad_input_is_said(kinds, floor, message):
    with pytest.raises(PlotTwistError, match=message):
        weights.response_weights(*kinds, floor=floor)
