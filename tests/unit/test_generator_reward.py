"""The reward model of plots: it learns what a simulated rater says, from what the sentences do together."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from plottwist import profiles
from plottwist.corpora import storyworld
from plottwist.errors import PlotTwistError
from plottwist.generator import experiments, quantise
from plottwist.generator.rater import damaged
from plottwist.generator.reward import HIDDEN, WIDTH, PlotNetwork, PlotReward, _company, fit_reward
from plottwist.nqd import NQDS

TRAIN, UNSEEN = storyworld.plots(1500, 2_000_000), storyworld.plots(200, 3_000_000)


def levels(plots) -> np.ndarray:
    return np.column_stack([plots[f"level_{n}"] for n in NQDS])


@pytest.fixture(scope="module")
def reward() -> PlotReward:
    torch.set_num_threads(1)
    settings = profiles.load("smoke").generator.model_copy(update={"rated": 3000, "reward_epochs": 3})
    return experiments.train_reward(settings, 0)


def test_it_follows_true_levels_it_was_never_told(reward):
    scores, true = reward.standard(UNSEEN["text"]), levels(UNSEEN)
    agreement = [np.corrcoef(scores[:, i], true[:, i])[0, 1] for i in range(len(NQDS))]
    assert agreement[NQDS.index("tone")] > 0.4 and agreement[NQDS.index("pacing")] > 0.25


def test_a_damaged_plot_is_worth_less_to_it(reward):
    spoilt = [damaged(text, Random(i))[0] for i, text in enumerate(UNSEEN["text"])]
    assert (reward.standard(UNSEEN["text"]).mean(1) > reward.standard(spoilt).mean(1)).mean() > 0.6


def test_a_plot_is_scored_alike_in_any_company(reward):
    texts = list(UNSEEN["text"][:5])
    together = reward.standard([*texts, " ".join(texts)])[:5]
    alone = np.concatenate([reward.standard([t]) for t in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_same_seed_gives_the_same_network():
    texts, ratings = list(TRAIN["text"][:80]), np.random.default_rng(0).normal(6, 1, (80, len(NQDS)))
    one, same, other = (fit_reward(texts, ratings, 1, 3e-3, seed).standard(texts[:3]) for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_order_counts_where_it_should_and_likeness_does_not_see_it():
    torch.manual_seed(0)
    network = PlotNetwork(10).eval()
    x = torch.randn(2, 6, WIDTH + 1)
    mask = torch.ones(2, 6)
    turned = x.flip(1)
    torch.testing.assert_close(network.read_likeness(x, mask), network.read_likeness(turned, mask))
    assert not torch.allclose(network.read_order(x, mask), network.read_order(turned, mask))
    assert not torch.allclose(network.read_turns(x, mask), network.read_turns(turned[:, [0, 2, 1, 3, 4, 5]], mask))


def test_words_of_the_same_company_begin_alike():
    families = [(("proud", "haughty"), ("humble", "modest")), (("greedy", "grasping"), ("generous", "giving"))]
    plots = [f"So {ask} a miller. Then {reply} deeds." for asks, replies in families for ask in asks for reply in replies] * 10
    words, place = _company(plots, 0)
    at = {word: row / np.linalg.norm(row) for word, row in zip(words, place, strict=True) if np.linalg.norm(row) > 1e-6}
    assert at["proud"] @ at["haughty"] > 0.9 > at["proud"] @ at["greedy"]
    assert "miller" in words and np.isfinite(place).all()


def test_an_answer_is_the_product_of_a_sentence_with_those_before_it():
    torch.manual_seed(0)
    network = PlotNetwork(10).eval()
    with torch.no_grad():
        for weight in (network.ask.weight, network.answer.weight, network.by_answers):
            weight.zero_()
        network.ask.weight[0, 0] = network.answer.weight[0, 1] = network.by_answers[0, 0] = 1
    x = torch.zeros(2, 3, WIDTH + 1)
    x[0, 0, 0] = x[0, 2, 1] = 2  # asked, then answered
    x[1, 0, 1] = x[1, 2, 0] = 2  # the other way round
    torch.testing.assert_close(network.read_answers(x, torch.ones(2, 3))[:, 0], torch.tensor([4.0, 0.0]))


def test_a_turn_is_the_product_of_a_sentence_with_what_came_before():
    torch.manual_seed(0)
    network = PlotNetwork(10).eval()
    with torch.no_grad():  # fortune is one component, every sentence is remembered whole
        network.fortune.weight.zero_(), network.fortune.bias.zero_(), network.keep.weight.zero_(), network.keep.bias.fill_(50)
        network.fortune.weight[0, -1] = 9
        network.by_turns.zero_()
        network.by_turns[0, :, 0] = 1
    x = torch.zeros(2, 4, WIDTH + 1)
    x[0, :, -1], x[1, :, -1] = torch.tensor([1.0, 1, 1, 1]), torch.tensor([1.0, -1, 1, -1])
    found = network.read_turns(x, torch.ones(2, 4))[:, 0]
    torch.testing.assert_close(found, torch.tensor([3.0, -3.0]), atol=1e-3, rtol=0)
    assert network.by_turns.shape == (len(NQDS), 5, HIDDEN)


def test_odd_texts_are_scored_and_finite(reward):
    scores = reward.score(["", "???", "zzzz qqqq", "One."])
    assert scores.shape == (4, len(NQDS)) and np.isfinite(scores).all() and (scores >= 1).all() and (scores <= 10).all()


def test_saved_and_loaded_it_scores_alike(reward, tmp_path):
    reward.save_pretrained(tmp_path / "whole")
    quantise.shrink(tmp_path / "whole", tmp_path / "small")
    texts = UNSEEN["text"][:20]
    np.testing.assert_allclose(PlotReward.from_pretrained(tmp_path / "whole").score(texts), reward.score(texts), atol=1e-6)
    small = quantise.restored(tmp_path / "small", PlotReward.from_pretrained)
    np.testing.assert_allclose(small.score(texts), reward.score(texts), atol=0.3)


@pytest.mark.parametrize("damage", ["no config", "no weights", "other weights"])
def test_what_is_not_a_reward_model_is_refused(reward, tmp_path, damage):
    reward.save_pretrained(tmp_path)
    if damage == "no config":
        (tmp_path / "reward_config.json").unlink()
    elif damage == "no weights":
        (tmp_path / "model.safetensors").write_bytes(b"nothing")
    else:
        (tmp_path / "reward_config.json").write_text('{"centre": [5], "spread": [1], "vocabulary": ["a"]}')
    with pytest.raises(PlotTwistError, match="does not hold a reward model of plots"):
        PlotReward.from_pretrained(tmp_path)
