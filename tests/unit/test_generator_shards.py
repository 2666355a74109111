"""Sharded weights (FSDP): two processes, stopped and started again, give the losses and the weights of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from shards_on_cpu import launch
from test_generator_writer import SIZE, STORIES, TOKENIZER
from test_preference_training import DPO, UNEVEN, pairs, tokenizer, writer
from transformers import PreTrainedModel, Trainer

from plottwist import files
from plottwist.checkpoints import WholeCheckpoints
from plottwist.errors import PlotTwistError
from plottwist.generator import model as models
from plottwist.generator import preference, sft
from plottwist.reproducible import first_process

Trained = tuple[PreTrainedModel, list[float]]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def fine_tuned(folder: Path, processes: int) -> Trained:
    config = sft.SftConfig(batch_size=8 // processes, learning_rate=1e-3, evaluations=2, balance=0.1)
    network = models.build(SIZE, TOKENIZER, 0)
    model, log = sft.finetune(network, TOKENIZER, STORIES.select(range(32)), STORIES.select(range(4)), config, 0, folder / "run")
    return model, [row["loss"] for row in log if "loss" in row]


def preferred(folder: Path, processes: int, weights: list[float] | None = None) -> Trained:
    """With an adapter that is no longer new: its first values are the reference."""
    torch.manual_seed(0)
    network = models.load(folder.parent / "base", 4)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    config = DPO.model_copy(update={"batch_size": 4 // processes, "learning_rate": 3e-4, "checkpoints": 3})
    model = preference.train(network, tokenizer(), pairs(), config, 0, folder / "run", weights)
    history = files.read_json(folder / "run" / "history.json") if first_process() else []
    return model, [row["loss"] for row in history]


def weighted(folder: Path, processes: int) -> Trained:
    return preferred(folder, processes, UNEVEN)


TRAININGS: list[Callable[[Path, int], Trained]] = [fine_tuned, preferred, weighted]


class Stopped(Exception):
    pass


def stopped_and_resumed(training: Callable[[Path, int], Trained], folder: Path) -> None:
    """In each of two processes; the first one saves as ``make_artifact`` does."""
    save, step, taken = Trainer._save_checkpoint, Trainer.training_step, []

    def counted_step(self: Trainer, *arguments: object, **keywords: object) -> torch.Tensor:
        taken.append(self.state.global_step)
        return step(self, *arguments, **keywords)

    def save_and_stop(self: Trainer, *arguments: object) -> None:
        save(self, *arguments)
        self.accelerator.wait_for_everyone()
        raise Stopped

    Trainer._save_checkpoint = save_and_stop
    with pytest.raises(Stopped):
        training(folder, 2)
    Trainer._save_checkpoint, Trainer.training_step = save, counted_step
    model, losses = training(folder, 2)
    Trainer.training_step = step
    if first_process():
        model.save_pretrained(folder / "model")
        files.write_json(folder / "losses.json", losses)
        files.write_json(folder / "taken.json", len(taken))


_TWO = """
import torch; torch.set_num_threads(1)
from pathlib import Path
import test_generator_shards as t
for training in t.TRAININGS:
    t.stopped_and_resumed(training, Path({folder!r}) / training.__name__)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    writer(moe=True).save_pretrained(folder / "base")
    launch(_TWO.format(folder=str(folder)), folder)
    return folder


@pytest.mark.parametrize("training", TRAININGS)
def test_two_processes_with_shards_give_the_losses_and_the_weights_of_one(training, two):
    model, losses = training(two / f"{training.__name__} alone", 1)
    folder = two / training.__name__
    assert list(folder.glob("run/checkpoint-*/pytorch_model_fsdp_0")), "the weights were not sharded"
    assert files.read_json(folder / "losses.json") == pytest.approx(losses, abs=1e-4)
    assert 0 < files.read_json(folder / "taken.json") < len(losses), "it did not go on from its checkpoint"
    saved = models.load(folder / "model").state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(saved[name], weight, atol=1e-4, rtol=0)


def test_what_cannot_be_sharded_is_said(monkeypatch, tmp_path):
    trainer = WholeCheckpoints()
    trainer.is_fsdp_enabled, trainer.accelerator = True, SimpleNamespace(is_fsdp2=False)
    with pytest.raises(PlotTwistError, match="set fsdp_version: 2"):
        trainer.train()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(PlotTwistError, match="needs LoRA"):
        preference.train(writer(), tokenizer(), pairs(), DPO, 0, tmp_path)
