"""The backbone reward model on a tiny local checkpoint in the Hub format, in full and with LoRA."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from plottwist.errors import PlotTwistError
from plottwist.reward.backbone import BackboneRewardModel, BackboneTraining, fit_backbone

WORDS = ["the cook finds her brother", "the king loses a ship", "a storm takes the harbour", "nobody answers the letter"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Qwen3 of a few thousand weights, saved as the Hub would hold it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=400, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16
    )
    Qwen3ForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def rated():
    texts = [f"{a}. {b}." for a in WORDS for b in WORDS]
    ratings = np.array([[2.0 + 2 * i] * 5 for i in range(4) for _ in WORDS])
    return texts, ratings, np.array([i % 4 for i in range(16)])


@pytest.mark.parametrize("rank", [0, 4])
def test_it_learns_saves_and_loads(checkpoint, rated, tmp_path, rank):
    training = BackboneTraining(epochs=12, batch_size=8, learning_rate=5e-3, lora_rank=rank)
    model = fit_backbone(checkpoint, *rated, training, seed=0, folder=tmp_path / "run", max_tokens=32)
    scores, errors = model.predict(rated[0])
    assert np.corrcoef(scores[:, 0], rated[1][:, 0])[0, 1] > 0.8
    assert (errors > 0).all()
    loaded = BackboneRewardModel.from_pretrained(model.save_pretrained(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.predict(rated[0])[0], scores, atol=1e-4)
    assert not list((tmp_path / "saved").glob("*.bin"))


def test_a_long_text_is_read_in_windows(checkpoint, rated, tmp_path):
    model = fit_backbone(checkpoint, *rated, BackboneTraining(epochs=1, batch_size=8), seed=0, folder=tmp_path / "run", max_tokens=16)
    short = rated[0][0]
    once, _ = model.predict([short])
    batched, _ = model.predict([short, " ".join(rated[0])])
    np.testing.assert_allclose(once[0], batched[0], atol=1e-4)
    assert model.rate([" ".join(rated[0]) * 20])[0].scores.overall > 0


def test_what_another_run_left_is_not_gone_on_with(checkpoint, rated, tmp_path):
    texts, ratings, groups = rated
    training = BackboneTraining(epochs=2, batch_size=8, learning_rate=5e-3)
    fit_backbone(checkpoint, texts, ratings, groups, training, seed=0, folder=tmp_path / "run", max_tokens=32)
    turned = 11 - ratings
    again = fit_backbone(checkpoint, texts, turned, groups, training, seed=0, folder=tmp_path / "run", max_tokens=32)
    fresh = fit_backbone(checkpoint, texts, turned, groups, training, seed=0, folder=tmp_path / "fresh", max_tokens=32)
    np.testing.assert_array_equal(again.predict(texts)[0], fresh.predict(texts)[0])


def test_bad_input_is_one_line(checkpoint, rated, tmp_path):
    with pytest.raises(PlotTwistError, match="cannot load the backbone"):
        fit_backbone(tmp_path / "nothing", *rated, BackboneTraining(), seed=0, folder=tmp_path)
    with pytest.raises(PlotTwistError, match="cannot read"):
        BackboneRewardModel.from_pretrained(checkpoint)


def test_a_profile_with_a_backbone_trains_it_and_rates_with_it(checkpoint, tmp_path):
    from plottwist import profiles
    from plottwist.reward import experiments

    smoke = profiles.load("smoke")
    profile = smoke.model_copy(update={"reward": smoke.reward.model_copy(update={"backbone": str(checkpoint)})})
    experiments.make_artifact(profile, seed=0, folder=tmp_path)
    model = experiments.load(tmp_path)
    assert isinstance(model, BackboneRewardModel)
    scores = experiments.score(model, ["A cook loses her kitchen. She opens a stall."], ["a"])
    assert scores.loc["a"].between(1, 10).all()
