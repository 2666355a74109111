"""DPO and ORPO on TRL, and their weighted kin: the equations, TRL's own numbers, accumulation, resuming."""

from __future__ import annotations

import copy
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.generator import preference
from plottwist.generator.preference import PreferenceConfig, train
from plottwist.generator.tokens import train_tokenizer

PREMISES = [
    f"{name}, a {role}, wants to {want}." for name in ("Ana", "Bo", "Cy") for role in ("piper", "smith") for want in ("sing", "sail")
]
GOOD = ["She left home, lost a friend and found the sea.", "He broke a promise. He mended it at last, and all was well."]
BAD = ["She ate. She ate. She ate.", "Nothing came of it, and then again nothing came of it, and the rain fell on the empty road."]
STEPS = {"batch_size": 4, "epochs": 1, "learning_rate": 3e-3, "warmup": 0.0}
DPO, ORPO = PreferenceConfig(loss="dpo", **STEPS), PreferenceConfig(loss="orpo", beta=0.25, **STEPS)
BOTH = pytest.mark.parametrize("config", [DPO, ORPO], ids=["dpo", "orpo"])
UNEVEN = np.tile([0.0, 0.5, 2.5, 1.0], 3)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def pairs(n=12):
    rows = [{"prompt": p, "chosen": GOOD[i % 2], "rejected": BAD[i // 2 % 2]} for i, p in enumerate(PREMISES[:n])]
    return Dataset.from_list(rows)


def swapped():
    return pairs().rename_columns({"chosen": "rejected", "rejected": "chosen"})


def tokenizer():
    return train_tokenizer([*PREMISES, *GOOD, *BAD], 330)


def writer(seed=0, moe=False, scale=0.2):
    torch.manual_seed(seed)
    size = {"vocab_size": len(tokenizer()), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    size |= {"head_dim": 16, "tie_word_embeddings": True, "initializer_range": scale, "eos_token_id": 2, "pad_token_id": 0}
    if moe:
        return Qwen3MoeForCausalLM(Qwen3MoeConfig(**size, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16))
    return Qwen3ForCausalLM(Qwen3Config(**size, intermediate_size=32))


def run(folder, config, weights=None, data=None, model=None, seed=0):
    trained = train(model or writer(), tokenizer(), data or pairs(), config, seed, folder, weights)
    return trained, files.read_json(folder / "history.json")


def curve(history, key="loss"):
    return [row[key] for row in history]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def of_trl(config, folder, moe=False):
    """What TRL's own trainer logs of each step, and its weights, used as its users do."""
    model, words = writer(moe=moe), tokenizer()
    data = preference.prepared(words, pairs(), None)
    common = {
        "output_dir": str(folder),
        "beta": config.beta,
        "learning_rate": config.learning_rate,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_strategy": "no",
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "seed": 0,
        "report_to": [],
        "disable_tqdm": True,
    }
    if config.loss == "dpo":
        trainer = DPOTrainer(model, copy.deepcopy(model), DPOConfig(**common), processing_class=words, train_dataset=data)
    else:
        trainer = ORPOTrainer(model, ORPOConfig(**common), processing_class=words, train_dataset=data)
    trainer.train()
    return model, [row for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize(("config", "moe"), [(DPO, False), (DPO, True), (ORPO, False)], ids=["dpo", "dpo of a mixture", "orpo"])
@pytest.mark.parametrize("weights", [None, np.ones(12)], ids=["unweighted", "ones"])
def test_without_weights_or_with_ones_it_is_trl(config, moe, weights, tmp_path):
    theirs, logged = of_trl(config, tmp_path / "trl", moe)
    ours, history = run(tmp_path / "ours", config, weights, model=writer(moe=moe))
    assert len(logged) == 3
    assert curve(history) == pytest.approx(curve(logged), abs=1e-5)
    if config is DPO:
        assert {"entropy", "mean_token_accuracy", "logits/chosen", "logits/rejected", "rewards/margins"} <= logged[0].keys()
    for row, their in zip(history, logged, strict=True):
        assert row == pytest.approx(their, rel=1e-3, abs=1e-4)
    start, a, b = (torch.nn.utils.parameters_to_vector(m.parameters()) for m in (writer(moe=moe), ours, theirs))
    assert (a - b).norm() <= 1e-4 * (b - start).norm()  # as a whole: AdamW makes much of the rounding of a single gradient near zero


def test_dpo_begins_at_log_2(tmp_path):
    _, history = run(tmp_path, DPO)
    assert history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert history[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_a_mixture_of_experts_begins_at_log_2_and_its_load_balancing_term(tmp_path):
    _, history = run(tmp_path, DPO, model=writer(moe=True))
    assert history[0]["loss"] == pytest.approx(math.log(2) + 0.001 * history[0]["aux_loss"], abs=1e-6)


@pytest.mark.parametrize(("config", "key"), [(DPO, "rewards/margins"), (ORPO, "log_odds_chosen")], ids=["dpo", "orpo"])
def test_swapping_chosen_and_rejected_negates_the_margin(config, key, tmp_path):
    found = []
    for name, data in (("as it is", pairs()), ("swapped", swapped())):
        trainer = preference.build_trainer(writer(0), tokenizer(), preference.prepared(tokenizer(), data, None), config, 0, tmp_path / name)
        trainer.model.load_state_dict(writer(1).state_dict())  # the reference was read from the other one
        trainer.train()
        found.append(trainer.state.log_history[0][key])
    assert abs(found[0]) > 0.01
    assert found[1] == pytest.approx(-found[0], abs=1e-5)


def test_a_pair_that_alone_has_weight_is_as_if_it_were_alone(tmp_path):
    """Also: what it is padded with changes nothing."""
    config = DPO.model_copy(update={"batch_size": 12})
    for i in (0, 2):
        alone, first = run(tmp_path / f"alone {i}", config, data=pairs().select([i]))
        weighted, second = run(tmp_path / f"weighted {i}", config, 12 * np.eye(12)[i])
        assert first[0]["grad_norm"] == pytest.approx(second[0]["grad_norm"], rel=1e-4)
        for a, b in zip(alone.parameters(), weighted.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@BOTH
def test_each_pair_counts_by_its_weight_in_both_terms(config, tmp_path):
    config = config.model_copy(update={"batch_size": 12})
    reading = tokenizer()
    rows = preference.prepared(reading, pairs(), None)
    tokens = [len(reading(r["prompt"] + r["chosen"])["input_ids"]) - 1 for r in rows]
    single = [run(tmp_path / str(i), config, data=pairs().select([i]))[1][0] for i in range(3)]
    history = run(tmp_path / "all", config, UNEVEN[:3], data=pairs(3))[1][0]
    if config.loss == "dpo":
        assert history["loss"] == pytest.approx(np.mean(UNEVEN[:3] * [row["loss"] for row in single]), abs=1e-5)
    else:
        nll = np.sum(UNEVEN[:3] * [row["nll_loss"] for row in single] * np.array(tokens[:3])) / sum(tokens[:3])
        odds = np.mean(UNEVEN[:3] * [row["log_odds_ratio"] for row in single])
        assert history["loss"] == pytest.approx(nll - config.beta * odds, abs=1e-4)


@BOTH
@pytest.mark.parametrize(("n", "whole", "micro"), [(12, (8, 1), (1, 8)), (7, (8, 1), (4, 2))], ids=["1x8", "unequal"])
def test_accumulation_changes_nothing(config, n, whole, micro, tmp_path):
    results = []
    for size, times in (whole, micro):
        cut = config.model_copy(update={"batch_size": size, "accumulation": times, "learning_rate": 3e-4})
        results.append(run(tmp_path / f"{size}x{times}", cut, UNEVEN[:n], pairs(n)))
    assert curve(results[0][1]) == pytest.approx(curve(results[1][1]), abs=1e-5)
    for a, b in zip(results[0][0].parameters(), results[1][0].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_the_reference_is_never_a_stale_one(tmp_path):
    """Pairs that lie in a file: `datasets` keeps what it computed of them beside it, under their fingerprint."""
    pairs().save_to_disk(tmp_path / "pairs")
    stored = Dataset.load_from_disk(tmp_path / "pairs")
    model = writer(0)
    for number, length in enumerate([1024, 1024, 24]):
        _, history = run(tmp_path / str(number), DPO.model_copy(update={"max_length": length}), data=stored, model=model)
        assert history[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
        with torch.no_grad():
            next(model.parameters()).mul_(1.1)


def test_the_model_given_is_left_alone_and_copies_of_the_trained_one_stand_on_their_own(tmp_path):
    model, before = writer(), writer()
    trained, _ = run(tmp_path, DPO, model=model)
    ids = torch.tensor([[5, 6, 7]])
    assert same(model, before) and not same(model, trained)
    twin = copy.deepcopy(trained)
    logits = trained(ids).logits
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert not torch.equal(twin(ids).logits, logits) and torch.equal(trained(ids).logits, logits)
    trained.save_pretrained(tmp_path / "saved")
    assert torch.equal(Qwen3ForCausalLM.from_pretrained(tmp_path / "saved")(ids).logits, logits)


def test_lora_begins_at_log_2_in_each_round_and_leaves_the_base_alone(tmp_path):
    base = writer()
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"]))
    weights = {name: w.clone() for name, w in model.named_parameters()}
    given = model
    for round_ in ("first", "second"):
        model, history = run(tmp_path / round_, DPO, UNEVEN / UNEVEN.mean(), model=model)
        assert model is not given and model.base_model.model.lm_head.weight is given.base_model.model.lm_head.weight
        assert all(torch.equal(w, weights[name]) for name, w in given.named_parameters())
        assert history[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
        assert history[-1]["rewards/margins"] > 0
    changed = {name for name, w in model.named_parameters() if not torch.equal(w, weights[name])}
    assert changed and all("lora_" in name for name in changed)
    assert list(model.peft_config) == ["default"]


@BOTH
def test_training_raises_the_margin_and_one_seed_gives_one_curve(config, tmp_path):
    config = config.model_copy(update={"epochs": 2})
    key = "rewards/margins" if config.loss == "dpo" else "log_odds_chosen"
    model, history = run(tmp_path / "a", config, UNEVEN)
    again, same_history = run(tmp_path / "b", config, UNEVEN)
    assert history[-1][key] > history[0][key]
    assert history == same_history and same(model, again)
    assert curve(run(tmp_path / "c", config, UNEVEN, seed=1)[1]) != curve(history)


_SCRIPT = """
import torch; torch.set_num_threads(1)
from pathlib import Path
import test_preference_training as t
t.run(Path({folder!r}), t.LONG, t.UNEVEN, model=t.writer(moe=True))
"""
LONG = DPO.model_copy(update={"epochs": 20, "checkpoints": 20, "learning_rate": 3e-4})


def test_a_killed_run_continues_the_same_curve(tmp_path):
    model, whole = run(tmp_path / "whole", LONG, UNEVEN, model=writer(moe=True))
    folder = tmp_path / "killed"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT.format(folder=str(folder))], env={**os.environ, "PYTHONPATH": path})
    while not list(folder.glob("checkpoint-*/trainer_state.json")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder / "checkpoint-9999").mkdir()  # one that was not written to its end
    resumed, history = run(folder, LONG, UNEVEN, model=writer(moe=True))
    assert curve(history) == curve(whole)
    assert same(model, resumed)


@pytest.mark.slow
@BOTH
def test_two_processes_give_the_curve_of_one(config, tmp_path):
    """Two batches of 2 are one of 4. (``accelerate launch`` itself starts several CPU processes through MPI alone.)"""
    config = config.model_copy(update={"learning_rate": 3e-4})
    _, whole = run(tmp_path / "one", config, UNEVEN)
    script = tmp_path / "two.py"
    config = config.model_copy(update={"batch_size": 2})
    script.write_text(_TWO.format(folder=str(tmp_path / "two"), config=config.model_dump()))
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
    environment = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true"}
    subprocess.run(launch, check=True, env=environment, timeout=300)
    history = files.read_json(tmp_path / "two" / "history.json")
    assert curve(history) == pytest.approx(curve(whole), abs=1e-4)


_TWO = """
import torch; torch.set_num_threads(1)
from pathlib import Path
import test_preference_training as t
t.train(t.writer(), t.tokenizer(), t.pairs(), t.PreferenceConfig(**{config!r}), 0, Path({folder!r}), t.UNEVEN)
"""


def test_a_finished_run_is_not_trained_again(tmp_path):
    model, history = run(tmp_path, DPO)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("checkpoint-*/*")}
    again, same_history = run(tmp_path, DPO)
    assert same(model, again) and history == same_history
    assert stamps == {p: p.stat().st_mtime_ns for p in tmp_path.glob("checkpoint-*/*")}


def test_what_another_run_left_is_not_used(tmp_path):
    for number, other in enumerate(({}, {"seed": 1}, {"weights": UNEVEN}, {"data": swapped()}, {"model": writer(1)})):
        model, history = run(tmp_path / "shared", DPO, **other)
        fresh, expected = run(tmp_path / str(number), DPO, **other)
        assert same(model, fresh) and history == expected


@pytest.mark.parametrize(
    ("data", "weights", "message"),
    [
        (pairs().remove_columns("rejected"), None, "lack the column rejected"),
        (pairs().select([]), None, "no pairs"),
        (pairs(), [1.0], "give one weight to each pair"),
        (pairs(), [-1.0] * 12, "at least 0"),
        (pairs(), [math.nan] * 12, "finite"),
        (pairs(), [0.0] * 12, "not all 0"),
    ],
)
def test_what_cannot_be_trained_on_is_said(data, weights, message, tmp_path):
    with pytest.raises(PlotTwistError, match=message):
        train(writer(), tokenizer(), data, DPO, 0, tmp_path, weights)
