"""Around the writer: plots from the shell, what it can do without preference training, text that other people wrote."""

from __future__ import annotations

import shutil
import string
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from plottwist import cli, dag, profiles, registry
from plottwist.corpora import storyworld
from plottwist.errors import PlotTwistError
from plottwist.generator import baselines, found, quantise, sampling, sft, tokens, writing
from plottwist.generator import model as models
from plottwist.generator.reward import PlotNetwork, PlotReward
from plottwist.generator.sampling import SamplingConfig
from plottwist.nqd import NQDS, NQDScores

SIZE = profiles.load("smoke").generator.model_copy(update={"context": 256})
STORIES = sft.storyworld_examples(30, "train", 0)
TOKENIZER = tokens.train_tokenizer([t for row in STORIES for t in (row["premise"], row["plot"])], 700)
PREMISES = [storyworld.simulate(n).premise for n in range(300)]
SHORT = min(PREMISES[:40], key=len)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    """A writer that has learnt nothing, and its reward model beside it."""
    folder = tmp_path_factory.mktemp("writer")
    models.build(SIZE, TOKENIZER, 0).save_pretrained(folder / "model")
    TOKENIZER.save_pretrained(folder / "model")
    torch.manual_seed(0)
    words = sorted({"", *string.ascii_lowercase, *string.punctuation, *(w for row in STORIES for w in row["plot"].lower().split())})
    PlotReward(PlotNetwork(len(words)), words, np.full(5, 5.0), np.ones(5)).save_pretrained(folder / "reward")
    return folder


def shell(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``plottwist generate ...``."""
    monkeypatch.setattr(sys, "argv", ["plottwist", "generate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


def test_plots_come_best_first_and_again_with_the_seed(artifact):
    own = writing.write(SHORT, 3, 4, artifact / "model")
    assert own == writing.write(SHORT, 3, 4, artifact / "model") != writing.write(SHORT, 3, 5, artifact / "model")
    means = [w.scores.overall for w in own]
    assert means == sorted(means, reverse=True) and len(set(means)) > 1
    assert writing.as_line(own[0]).startswith("character ") and f"mean {means[0]:.1f}" in writing.as_line(own[0])


def test_a_writer_alone_writes_without_scores(artifact, tmp_path):
    shutil.copytree(artifact / "model", tmp_path / "model")
    assert "not scored" in writing.as_line(writing.write(SHORT, 1, 0, tmp_path / "model")[0])


def test_a_committed_writer_is_read_from_int8_and_scored_by_the_rater_beside_it(artifact, tmp_path):
    committed = tmp_path / "07_refine_and_explain.studio"
    quantise.shrink(artifact / "model", committed)
    quantise.shrink(artifact / "reward", tmp_path / "07_refine_and_explain.studio_rater")
    written = writing.write(SHORT, 1, 0, committed)[0]
    again = PlotReward.from_pretrained(artifact / "reward").score([written.plot])[0]
    assert [getattr(written.scores, n) for n in NQDS] == pytest.approx(again.tolist(), abs=0.3)


def test_the_shell_prints_the_plots_and_warns_outside_storyworld(artifact, monkeypatch, capsys):
    code, out, err = shell(monkeypatch, capsys, SHORT, "--n", 2, "--model", artifact / "model")
    assert code == 0 and out.count("| mean ") == 2 and not err
    monkeypatch.setattr(writing, "COMMITTED", artifact / "model")
    code, out, err = shell(monkeypatch, capsys, "A rocket lands on Mars.")
    assert code == 0 and out.count("| mean ") == 1
    assert err.count("\n") == 1 and "outside what the small writer knows" in err and "rocket" in err


def test_a_form_that_the_small_writer_does_not_know_is_a_warning(artifact, monkeypatch, capsys):
    monkeypatch.setattr(writing, "COMMITTED", artifact / "model")
    code, out, err = shell(monkeypatch, capsys, "--premise", SHORT, "--form", "fable")
    assert code == 0 and out.count("| mean ") == 1 and err.count("\n") == 1 and "a fable" in err
    assert shell(monkeypatch, capsys, "--premise", SHORT, "--profile", "cpu", "--form", "synopsis")[1]


def test_a_chat_model_of_others_is_told_the_form_and_rated_by_the_reward_model_of_english(tmp_path, monkeypatch, capsys):
    models.build(SIZE.model_copy(update={"context": 1024}), TOKENIZER, 0).save_pretrained(tmp_path)
    other = tokens.train_tokenizer([t for row in STORIES for t in (row["premise"], row["plot"])], 700)
    other.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}[assistant] "
    other.save_pretrained(tmp_path)
    fable, lesson = (writing.write(SHORT, 2, 0, tmp_path, form) for form in ("fable", "lesson"))
    assert fable != lesson and all(w.scores is None for w in fable), "another instruction, another answer; no rater, no scores"
    code, out, err = shell(monkeypatch, capsys, SHORT, "-n", 2, "--model", tmp_path, "--form", "fable")
    means = [float(line.rpartition(" ")[2].rstrip("]")) for line in out.splitlines() if "| mean " in line]
    assert code == 0 and not err and len(means) == 2 and means == sorted(means, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "say once"),
        ((SHORT, "--premise", SHORT), "say once"),
        ((SHORT, "--form", "epic"), "known: synopsis, fable"),
        ((SHORT, "--api", "--model", "x"), "choose one"),
        ((SHORT, "--profile", "none"), "unknown profile"),
    ],
)
def test_what_cannot_be_asked_is_one_line(artifact, monkeypatch, capsys, arguments, word):
    monkeypatch.setattr(writing, "COMMITTED", artifact / "model")
    code, out, err = shell(monkeypatch, capsys, *arguments)
    assert code == 2 and not out and err.count("\n") == 1 and word in err


@pytest.mark.parametrize(("premise", "folder", "word"), [(" ... ", "model", "premise 1 is empty"), (SHORT, "none", "cannot load a writer")])
def test_bad_input_is_one_line(artifact, monkeypatch, capsys, premise, folder, word):
    code, out, err = shell(monkeypatch, capsys, premise, "--model", artifact / folder)
    assert code == 2 and not out and err.count("\n") == 1 and word in err


def test_no_premise_of_this_world_is_foreign_to_it():
    assert {writing.warning(p) for p in PREMISES} == {""}


def sharp(context: int = SIZE.context):
    """A new model with sharp distributions, so that a wrong logit shows in the text."""
    network = models.build(SIZE.model_copy(update={"context": context}), TOKENIZER, 0).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return network


def test_best_of_takes_the_highest_reward():
    assert baselines.best_of([["a", "b"], ["c", "d"]], np.array([[0.1, 0.2], [5.0, -1.0]])) == ["b", "c"]


def test_the_critic_reads_nats_per_token():
    network, prompts = sharp(), tokens.prompt_ids(TOKENIZER, PREMISES[:2])
    rows = [(0, [40, 50, 60]), (1, [70, 80]), (0, [90])]
    told = baselines.mean_log_probability(network, TOKENIZER, rows, prompts)
    for value, (i, ids) in zip(told, rows, strict=True):
        logits = network(torch.tensor([prompts[i] + ids])).logits[0, len(prompts[i]) - 1 : -1].log_softmax(-1)
        assert value == pytest.approx(float(logits[range(len(ids)), ids].mean().detach()), abs=1e-3)


def test_one_greedy_plan_and_its_ending_are_one_greedy_plot():
    network, greedy = sharp(), SamplingConfig(temperature=0, max_tokens=24)
    piped = baselines.plan_write_critique(network, TOKENIZER, PREMISES[:3], 1, 0, greedy, 10)
    assert piped == [own[0] for own in sampling.sample(network, TOKENIZER, PREMISES[:3], 1, 0, greedy)]


def test_the_pipeline_does_not_depend_on_the_batch():
    network, wide = sharp(), SamplingConfig(max_tokens=16, batch_size=64)
    narrow = wide.model_copy(update={"batch_size": 3})
    first, again = (baselines.plan_write_critique(network, TOKENIZER, PREMISES[:4], 2, 0, c, 8) for c in (wide, narrow))
    assert first == again != baselines.plan_write_critique(network, TOKENIZER, PREMISES[:4], 2, 1, wide, 8)


def test_perplexity_of_a_model_that_knows_nothing():
    """All logits alike: every token costs log(vocabulary), and tokens per word do the rest."""
    network, held_out = sharp(1024), STORIES.select(range(3))
    with torch.no_grad():
        network.get_input_embeddings().weight.zero_()
    count = sum(len(TOKENIZER(p)["input_ids"]) + 1 for p in held_out["plot"])
    words = sum(len(p.split()) for p in held_out["plot"])
    assert np.log(found.word_perplexity(network, TOKENIZER, held_out)) == pytest.approx(count / words * np.log(len(TOKENIZER)), rel=1e-5)


def test_found_text_is_cut_at_sentence_ends():
    assert found._cut("One two. Three four!\n Five six.", 4) == "One two. Three four!"
    assert found._cut("One two three four five. Six.", 3) == "One two three"


@pytest.mark.slow
def test_found_examples_fit_and_their_splits_are_apart(public_data):
    train, validation = (found.examples(which, 200) for which in ("train", "validation"))
    assert len(train) == 200 and not set(train["plot"]) & set(validation["plot"])
    for row in train:
        assert len(row["premise"].split()) <= found.PREMISE_WORDS and 20 <= len(row["plot"].split()) <= found.PLOT_WORDS
        assert row["completion"] == tokens.answer(row["plot"])


@pytest.mark.slow
def test_notebook_02_declares_what_its_found_text_reads(public_data):
    found.examples("train", 5)
    read = {name.split("/")[0] for name in registry.used() if not name.startswith(registry.THIRD_PARTY)}
    assert read <= set(dag.declared(dag.notebooks()["02_dpo_generator"]).data)


def test_a_folder_without_a_reward_is_named(artifact):
    with pytest.raises(PlotTwistError):
        PlotReward.from_pretrained(artifact / "model")


class _Server:
    """Answers with a thought and the end of what it was asked; keeps what came."""

    name = "a server"

    def __init__(self):
        self.asked = []

    def complete(self, requests, sampling):
        self.asked.append((requests, sampling))
        return [f"<think>hm</think> Plot {sampling.seed} of: {messages[-1]['content']}" for messages in requests]


def test_a_served_chat_model_is_told_what_a_plot_is_and_its_thoughts_are_left_out():
    server = _Server()
    first, second = (w.plot for w in writing.write_served("A cook lost her spoon.", 2, 0, server))
    assert first.startswith("Plot ") and first.endswith("A cook lost her spoon.") and first != second
    requests, sampling = server.asked[0]
    assert requests[0][0]["role"] == "system" and "plot" in requests[0][0]["content"]
    writing.write_served("A cook lost her spoon.", 1, 0, server, "screenplay")
    assert "screenplay" in server.asked[-1][0][0][0]["content"]
    best = writing.write_served("A cook.", 2, 0, server, rater=lambda texts: [NQDScores(*[float(3 + k)] * 5) for k in range(len(texts))])
    assert [w.scores.overall for w in best] == [4.0, 3.0]
    assert sampling.top_k is None  # refused by servers that follow OpenAI's schema


def test_a_served_writer_of_ours_is_asked_as_it_was_trained():
    server = _Server()
    sampling.sample_served(server, ["A cook lost her spoon."], 1, 0, sampling.SamplingConfig())
    assert server.asked[0][0] == [[{"role": "user", "content": "A cook lost her spoon."}]]
