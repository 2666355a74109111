"""The writer: its tokenizer, its two shapes, fine-tuning that resumes and accumulates exactly, sampling that ignores the batch."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plottwist import profiles
from plottwist.errors import PlotTwistError
from plottwist.generator import model as models
from plottwist.generator import sampling, sft, tokens
from plottwist.generator.sampling import SamplingConfig

SIZE = profiles.load("smoke").generator
STORIES = sft.storyworld_examples(40, "train", 0)
TOKENIZER = tokens.train_tokenizer([t for row in STORIES for t in (row["premise"], row["plot"])], 700)
SHORT = SamplingConfig(max_tokens=24, batch_size=64)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def writer(dense: int = 0):
    """A new model with sharp distributions, so that a wrong logit shows in the text."""
    network = models.build(SIZE, TOKENIZER, 0, dense).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return network


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back_from_its_tokens(text):
    assert TOKENIZER.decode(TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]) == text


def test_the_tokenizer_survives_saving_with_its_chat_form(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    again = tokens.load_tokenizer(tmp_path)
    premises = [STORIES[0]["premise"], "Ünïcode, und mehr."]
    assert tokens.prompt_ids(again, premises) == tokens.prompt_ids(TOKENIZER, premises)
    assert again.decode(tokens.prompt_ids(again, premises)[0]).endswith("<|im_start|>assistant\n")


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(PlotTwistError, match="cannot load a tokenizer"):
        tokens.load_tokenizer(tmp_path / "none")


def test_counts_of_parameters():
    mixture, dense = models.build(SIZE, TOKENIZER, 0), models.build(SIZE, TOKENIZER, 0, 1)
    active, total = models.parameter_counts(mixture)
    assert active < total == sum(p.numel() for p in mixture.parameters())
    assert models.parameter_counts(dense) == (sum(p.numel() for p in dense.parameters()),) * 2
    assert models.parameter_counts(dense)[0] == pytest.approx(active, rel=0.1)


def test_a_plot_does_not_depend_on_the_batch_or_the_order():
    network, premises = writer(), [row["premise"] for row in STORIES.select(range(12))]
    together = sampling.sample(network, TOKENIZER, premises, 2, 5, SHORT)
    alone = [sampling.sample(network, TOKENIZER, [p], 2, 5, SHORT)[0] for p in premises[:4]]
    backwards = sampling.sample(network, TOKENIZER, premises[::-1], 2, 5, SHORT.model_copy(update={"batch_size": 5}))[::-1]
    assert together[:4] == alone and together == backwards
    assert together[0][0] != together[0][1], "two samples of one premise draw from streams of their own"
    assert together != sampling.sample(network, TOKENIZER, premises, 2, 6, SHORT)
    more = sampling.sample(network, TOKENIZER, premises[:2], 1, 5, SHORT, first=1)
    assert more == [[own[1]] for own in together[:2]], "a pool can be added to later"


def test_the_cache_gives_what_reading_anew_gives():
    network, prompt = writer(), tokens.prompt_ids(TOKENIZER, [STORIES[0]["premise"]])[0]
    greedy = SamplingConfig(temperature=0, max_tokens=10)
    told = sampling.continue_prompts(network, [prompt], torch.zeros(1, 10), TOKENIZER, greedy)[0]
    ids = list(prompt)
    for token in told:
        assert int(network(torch.tensor([ids])).logits[0, -1].argmax()) == token
        ids.append(token)


def test_top_p_and_top_k_leave_only_the_likeliest():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    drawn = {int(sampling.pick(logits, torch.tensor([u]), SamplingConfig(top_p=0.7))) for u in (0.0, 0.4, 0.7, 0.999)}
    assert drawn == {0, 1}
    assert {int(sampling.pick(logits, torch.tensor([u]), SamplingConfig(top_k=1, top_p=1.0))) for u in (0.0, 0.999)} == {0}


@pytest.mark.parametrize("premise", ["", "  ...  "])
def test_an_empty_premise_is_refused(premise):
    with pytest.raises(PlotTwistError, match="premise 2 is empty"):
        sampling.sample(writer(), TOKENIZER, ["Ana sings.", premise], 1, 0, SHORT)


def test_a_premise_that_leaves_no_room_is_refused():
    with pytest.raises(PlotTwistError, match="shorten it"):
        sampling.sample(writer(), TOKENIZER, ["word " * SIZE.context], 1, 0, SHORT)


def test_only_the_plot_is_learnt():
    row = sft.encode(TOKENIZER, STORIES, SIZE.context)[0]
    told = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != sft.IGNORED]
    assert TOKENIZER.decode(told) == STORIES[0]["plot"] + "<|im_end|>"


def test_accumulation_changes_nothing(tmp_path):
    """1 x 8 = 8 x 1, the load-balancing term included."""
    network, few = models.build(SIZE, TOKENIZER, 0), STORIES.select(range(16))
    logs = []
    for size, times in ((8, 1), (1, 8)):
        config = sft.SftConfig(batch_size=size, accumulation=times, learning_rate=1e-3, evaluations=1, balance=0.1)
        _, log = sft.finetune(copy.deepcopy(network), TOKENIZER, few, few, config, 0, tmp_path / f"{size}")
        logs.append([row["loss"] for row in log if "loss" in row])
    assert logs[0] == pytest.approx(logs[1], rel=1e-4) and len(logs[0]) == 2


@pytest.mark.parametrize("dense", [0, 1])
def test_a_checkpoint_in_bfloat16_has_the_losses_of_float32(tmp_path, dense):
    """As the Hub's writers are kept: the trainer runs such a model under autocast and hands its outputs out in float32."""
    few, losses = STORIES.select(range(8)), {}
    for dtype in (torch.float32, torch.bfloat16):
        network = models.build(SIZE, TOKENIZER, 0, dense).to(dtype)
        config = sft.SftConfig(batch_size=4, learning_rate=3e-3, evaluations=1, bf16=dtype is torch.bfloat16)
        _, log = sft.finetune(network, TOKENIZER, few, few, config, 0, tmp_path / str(dtype))
        losses[dtype] = [row["loss"] for row in log if "loss" in row]
    assert len(losses[torch.float32]) == 2
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=0.01)


def test_the_balance_term_is_one_where_experts_are_used_alike():
    config = models.build(SIZE, TOKENIZER, 0).config
    n = config.num_experts
    turns = torch.eye(n).repeat(4, 1) * 1e-3  # every expert is first choice as often; gates all but equal
    assert float(sft.imbalance([turns], torch.ones(1, len(turns)), config)) == pytest.approx(1, abs=0.01)
    same = torch.zeros(8, n)
    same[:, : config.num_experts_per_tok] = 20.0
    assert float(sft.imbalance([same], torch.ones(1, 8), config)) == pytest.approx(n / config.num_experts_per_tok, rel=0.01)


_RUN = """
import sys, json, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_generator_writer import STORIES, TOKENIZER, SIZE, models, sft
torch.set_num_threads(1)
config = sft.SftConfig(batch_size=4, learning_rate=3e-3, evaluations=5)
_, log = sft.finetune(models.build(SIZE, TOKENIZER, 0), TOKENIZER, STORIES, STORIES.select(range(4)), config, 0, Path(sys.argv[1]))
print("LOSSES", json.dumps([row["loss"] for row in log if "loss" in row]))
"""


@pytest.mark.slow
def test_a_killed_run_continues_the_same_loss_curve(tmp_path):
    program = _RUN.format(tests=str(Path(__file__).parent))

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    whole = start(tmp_path / "whole").communicate(timeout=300)[0].split("LOSSES")[1]
    killed = start(tmp_path / "killed")
    while not list((tmp_path / "killed").glob("checkpoint-*/trainer_state.json")) and killed.poll() is None:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    (tmp_path / "killed" / "checkpoint-9999").mkdir()  # one that was not written to its end
    resumed = start(tmp_path / "killed").communicate(timeout=300)[0].split("LOSSES")[1]
    assert eval(resumed) == pytest.approx(eval(whole), abs=1e-6)


@pytest.mark.parametrize("dense", [0, 2])
def test_attention_begins_by_copying(dense):
    layer = models.build(SIZE, TOKENIZER, 0, dense).model.layers[0].self_attn
    carried = (layer.o_proj.weight @ layer.v_proj.weight).detach()
    assert float((carried - torch.eye(len(carried))).abs().max()) < 0.2


def fine_tuned(folder: Path, rate: float, lora: int = 0) -> list[float]:
    """Losses of a short fine-tuning whose checkpoints lie in ``folder``."""
    network = writer()
    if lora:
        network.save_pretrained(folder / "base")
        network = models.load(folder / "base", lora)
    config = sft.SftConfig(epochs=1, batch_size=8, learning_rate=rate, evaluations=2)
    _, log = sft.finetune(network, TOKENIZER, STORIES, STORIES.select(range(4)), config, 0, folder / "checkpoints")
    return [row["loss"] for row in log if "loss" in row]


def test_other_settings_do_not_go_on_from_an_old_checkpoint(tmp_path):
    slow = fine_tuned(tmp_path, 1e-4)
    assert fine_tuned(tmp_path, 1e-4) == slow
    again = fine_tuned(tmp_path, 1e-2)
    assert again[-1] != slow[-1] and again == fine_tuned(tmp_path / "fresh", 1e-2)


def test_with_lora_only_the_adapter_learns(tmp_path):
    losses = fine_tuned(tmp_path, 1e-2, lora=4)
    assert len(losses) == 5 and losses[-1] < losses[0]
    saved = next((tmp_path / "checkpoints").glob("checkpoint-*/adapter_model.safetensors")).parent
    assert any(w.requires_grad for w in models.load(saved).parameters())  # preference training goes on from there


def test_two_processes_make_the_artifact_of_one(tmp_path):
    """As ``accelerate launch`` does, which starts several CPU processes through MPI alone; two batches of 6 are one of 12."""
    text = (profiles.path("smoke")).read_text(encoding="utf-8").replace("batch_size: 16", "batch_size: {batch}", 1)
    for processes, batch in ((1, 12), (2, 6)):
        profile = tmp_path / f"p{processes}.yaml"
        profile.write_text(text.replace("{batch}", str(batch)).replace("name: smoke", f"name: p{processes}"), encoding="utf-8")
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone", "-m", "plottwist"]
        command = [*start, "artifact", "writer", "--profile", str(profile), "--out", str(tmp_path)]
        subprocess.run(command, check=True, env={**os.environ, "ACCELERATE_USE_CPU": "true"}, timeout=300)
    one, two = (tmp_path / "artifacts" / name / "writer" / "seed0" for name in ("p1", "p2"))
    assert (two / "done").is_file()
    one_log, two_log = (pd.read_csv(folder / "sft.csv") for folder in (one, two))
    np.testing.assert_allclose(two_log.loss, one_log.loss, atol=2e-4)
    np.testing.assert_allclose(two_log.eval_loss, one_log.eval_loss, rtol=5e-3)  # a mean over batches, which are smaller
    assert [p.name for p in sorted(two.iterdir())] == [p.name for p in sorted(one.iterdir())]
