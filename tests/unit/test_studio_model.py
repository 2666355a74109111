"""The studio model as a folder: whole, packed, missing or broken; and what the workshop says of texts it cannot read."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model

from plottwist import profiles
from plottwist.backends import Failure
from plottwist.corpora import storyworld as sw
from plottwist.errors import PlotTwistError
from plottwist.generator import model as models
from plottwist.generator import quantise, sft, tokens
from plottwist.generator.reward import fit_reward
from plottwist.generator.sampling import SamplingConfig, sample
from plottwist.nqd import NQDS
from plottwist.studio import shell, small, workshop
from plottwist.studio.refine import BANDS, Bands, Draft
from plottwist.studio.workshop import Workshop

STORY = sw.simulate(11)
FOREIGN = "Zbigniew's spreadsheet, alas, hyperventilated over quarterly Kubernetes invoices; nobody whatsoever reimbursed Xanthippe."


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with all its parts, as the artifact has them."""
    folder = tmp_path_factory.mktemp("studio") / "whole"
    rows = sft.storyworld_examples(40, "train", 0)
    tokenizer = tokens.train_tokenizer([text for row in rows for text in (row["premise"], row["plot"])], 700)
    model = models.build(profiles.load("smoke").generator, tokenizer, 0)
    model.config.max_position_embeddings = 2048
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model", save_jinja_files=False)
    ratings = np.random.default_rng(0).uniform(1, 10, size=(len(rows), len(NQDS)))
    fit_reward([row["plot"] for row in rows], ratings, 1, 1e-3, 0).save_pretrained(folder / "reward")
    (folder / BANDS).write_text(json.dumps(asdict(Bands(-0.5, 0.5, dict.fromkeys(NQDS, (5.0, 1.0))))))
    return folder


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.delenv("PLOTTWIST_API_BASE", raising=False)


def test_a_whole_folder_is_loaded_and_its_packed_copy_too(whole, tmp_path):
    own, rater = small.pack(whole, tmp_path)
    first, packed = small.load_studio(whole), small.load_studio(own)
    assert quantise.size(own) < 0.4 * quantise.size(whole / "model") and rater.is_dir()
    scores = [list(m.rate([STORY.text])[0].as_dict().values()) for m in (first, packed)]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_what_the_small_model_cannot_read_is_named(whole):
    model = small.load_studio(whole)
    assert model.unread(STORY.text) is None and model.knows(STORY.text)
    long = " ".join([STORY.text] * 12)
    assert "words of Storyworld" in model.unread(FOREIGN)
    assert "over the 1007 that the small model reads" in model.unread(long)
    drafts = [Draft(text, None, model.rate([text])[0], "poor", "tone") for text in (FOREIGN, long)]
    for (found,), why in zip(model.propose(drafts, 0), ("words of Storyworld", "over the 1007"), strict=True):
        assert isinstance(found, Failure) and why in found.reason


def test_a_named_folder_without_a_model_is_refused_at_once(tmp_path, offline):
    for make in (Workshop, lambda folder: shell.serve(1, True, False, folder)):
        with pytest.raises(PlotTwistError, match="none holds no studio model; `plottwist run 07`"):
            make(tmp_path / "none")
    with pytest.raises(PlotTwistError, match="holds no studio model"):
        small.load_studio(tmp_path)


def test_without_the_committed_model_a_story_is_not_called_foreign(tmp_path, monkeypatch, offline):
    monkeypatch.setattr(workshop, "COMMITTED", tmp_path / "none")
    bench = Workshop()
    assert not bench.is_story(STORY.text) and "no small model is installed" in bench.described()
    with pytest.raises(PlotTwistError, match=r"holds no studio model.*or for free English set PLOTTWIST_API_BASE"):
        bench.refine(STORY.text)
    with pytest.raises(PlotTwistError, match="holds no studio model"):
        bench.generate(STORY.premise)
    assert Workshop(backend=Server("A plot.")).generate(STORY.premise) == (["A plot."], "")
    found = bench.explain(STORY.text)
    assert found.measured.sentences and "holds no studio model" in found.note


def test_what_is_too_long_or_foreign_is_told_apart(whole, offline):
    bench = Workshop(whole)
    assert bench.is_story(STORY.text) and bench.rated_by(STORY.text) == "the Storyworld rater"
    with pytest.raises(PlotTwistError, match="over the 1007 that the small model reads; shorten it; or for free English"):
        bench.refine(" ".join([STORY.text] * 12))
    with pytest.raises(PlotTwistError, match="not in the words of Storyworld"):
        bench.refine(FOREIGN)
    assert "words of Storyworld" in bench.explain(FOREIGN).note and bench.explain(STORY.text).note == ""
    assert bench.rated_by(FOREIGN) == "the reward model of English plots"


@pytest.mark.parametrize(
    "breaks",
    [
        lambda f: (f / BANDS).write_text("{}"),
        lambda f: (f / BANDS).write_text('{"poor": 1, "strong": 2, "usual": {"tone": [1, 2]}}'),
        lambda f: (f / BANDS).write_text("{no json"),
        lambda f: (f / BANDS).write_text("[]"),
        lambda f: (f / "model" / "model.safetensors").unlink(),
        lambda f: (f / "model" / "model.safetensors").write_bytes(b"garbage"),
        lambda f: (f / "model" / "config.json").write_text("{}"),
        lambda f: (f / "model" / "tokenizer.json").unlink(),
        lambda f: shutil.rmtree(f / "model"),
        lambda f: shutil.rmtree(f / "reward"),
    ],
    ids=["no bands", "one band", "no JSON", "a list", "no weights", "garbage", "empty config", "no tokenizer", "no model", "no rater"],
)
def test_a_broken_folder_is_one_line_that_names_it(whole, tmp_path, breaks, offline):
    folder = tmp_path / "broken"
    shutil.copytree(whole, folder)
    breaks(folder)
    with pytest.raises(PlotTwistError) as error:
        Workshop(folder).refine(STORY.text)
    assert str(error.value).startswith(f"the studio model in {folder} is broken (") and "\n" not in str(error.value)


def test_a_writer_with_lora_weights_is_merged_before_it_learns_three_jobs(whole, tmp_path):
    tuned = models.load(whole / "model", lora_rank=2)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)  # as if trained
    tuned.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / quantise.WEIGHTS).exists(), "an adapter alone"
    merged, ids = small.base(tmp_path, 2048), torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.allclose(merged(ids).logits, tuned.eval()(ids).logits, atol=1e-4)
        assert not torch.allclose(merged(ids).logits, models.load(whole / "model")(ids).logits, atol=1e-2)
    merged.save_pretrained(tmp_path / "merged", max_shard_size="1TB")
    quantise.shrink(tmp_path / "merged", tmp_path / "int8")
    assert type(quantise.restored(tmp_path / "int8", models.load)) is type(models.load(whole / "model"))


@torch.inference_mode()
def test_a_prompt_tuned_model_writes_with_its_virtual_tokens_once_before_the_prompt(whole, tmp_path):
    """As PEFT itself, asked anew for each token without cache and padding."""
    base = models.load(whole / "model")
    tuned = get_peft_model(base, PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=5)).eval()
    for parameter in tuned.parameters():
        parameter.mul_(4 if parameter.ndim > 1 else 1)  # sharp, so that a wrong logit shows
    tuned.save_pretrained(tmp_path / "methods" / "prompt_tuning")
    base.save_pretrained(tmp_path / "model")
    tokenizer = tokens.load_tokenizer(whole / "model")
    tokenizer.save_pretrained(tmp_path / "model", save_jinja_files=False)
    premises = ["Anna wants a shop.", STORY.premise, "A long winter comes to the old mill by the river, and the miller leaves."]
    expected = []
    for ids in tokens.prompt_ids(tokenizer, premises):
        written = list(ids)
        for _ in range(12):
            written.append(int(tuned(input_ids=torch.tensor([written])).logits[0, -1].argmax()))
        expected.append(tokenizer.decode(written[len(ids) :], skip_special_tokens=True).strip())
    loaded, _ = small.load_method("prompt tuning", tmp_path, tmp_path, 2048)
    found = sample(loaded, tokenizer, premises, 1, 0, SamplingConfig(temperature=0, max_tokens=12))
    assert [plots[0] for plots in found] == expected and len(set(expected)) > 1


class Server:
    """A backend with one answer."""

    name = "server"

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def complete(self, requests, sampling):
        return [self.answer for _ in requests]


def test_a_served_plot_comes_without_thoughts_and_an_empty_one_is_the_servers_fault(whole):
    assert Workshop(whole, Server("<think>hm</think>\nA plot.")).generate(FOREIGN) == (["A plot."], "")
    with pytest.raises(PlotTwistError, match="server wrote no plot: its answer has no words"):
        Workshop(whole, Server("<think>hm</think> ...")).generate(FOREIGN)


def test_a_version_with_half_words_or_said_twice_is_not_offered_to_the_rater(whole):
    model = small.load_studio(whole)
    model.reward.vocabulary = (*model.reward.vocabulary, *STORY.text.lower().replace(".", " ").replace(",", " ").split())
    assert model._sound(STORY.text, STORY.text) == STORY.text
    twice, half = f"{STORY.text} {STORY.text.split('. ')[0]}.", STORY.text.replace(" the ", " thegrk ", 1)
    assert "a sentence twice" in model._sound(twice, STORY.text).reason
    assert "'thegrk'" in model._sound(half, STORY.text).reason
