"""A mixture of experts survives the trainer's checkpoints, a run goes on from its own alone, and sharded weights come back whole.

Qwen3-MoE keeps its experts in one tensor in memory and writes them one by one; only ``from_pretrained`` knows the way back. The trainer
of transformers 5.23 loads a checkpoint's file as it is, reports "missing keys" in passing and goes on with experts that were never
restored: a resumed run would start with random experts, and the "best model" would keep the last ones. The mixin below reads
checkpoints through ``from_pretrained``; put it before any trainer.

Sharded weights (FSDP 2, ``accelerate launch --config_file docs/accelerate/fsdp.yaml``) are kept and read by accelerate, shard by shard.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from plottwist.errors import PlotTwistError
from plottwist.paths import ROOT


class WholeCheckpoints:
    """For a class that also derives from ``transformers.Trainer``. The model it is given is whole again after ``train``, in every process."""

    model: PreTrainedModel
    state: Any

    def train(self, *arguments: Any, **keywords: Any) -> Any:
        if not self.is_fsdp_enabled:
            return super().train(*arguments, **keywords)
        if not self.accelerator.is_fsdp2:
            raise PlotTwistError("only version 2 of FSDP is supported; set fsdp_version: 2, as in docs/accelerate/fsdp.yaml")
        plugin = self.accelerator.state.fsdp_plugin
        plugin.cpu_ram_efficient_loading = True  # cuts shards from the first process's weights; otherwise the given model moved to the GPU
        if plugin.mixed_precision_policy:  # which would round log-probabilities to 8 bits on their way out
            plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, output_dtype=None)
        whole = self.model
        frozen = {id(weight): weight for weight in whole.parameters() if not weight.requires_grad}
        self.model = self.model_wrapped = copy.deepcopy(whole, frozen)  # accelerate makes what is trained float32, where it lies
        result = super().train(*arguments, **keywords)
        shards = self.model.state_dict()
        with torch.no_grad():
            for name, weight in whole.named_parameters():
                if weight.requires_grad:
                    weight.copy_(shards[name].full_tensor())
        self.model = self.model_wrapped = whole
        return result

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if self.is_fsdp_enabled and output_dir:  # shards are written later, and transformers 5.23 takes no missing folder for the best
            Path(output_dir).mkdir(parents=True, exist_ok=True)
        super().save_model(output_dir, _internal_call)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if isinstance(self.model, PeftModel) or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore(self.model, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        if isinstance(self.model, PeftModel) or self.is_fsdp_enabled:
            super()._load_best_model()
        else:
            restore(self.model, self.state.best_model_checkpoint)


def body(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The model under its head, LoRA or not."""
    return (model.get_base_model() if isinstance(model, PeftModel) else model).base_model


def sharded() -> bool:
    """Whether ``accelerate launch`` was told to shard the weights."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def identity(package: str, model: PreTrainedModel, *told: object) -> str:
    """Two runs of one identity (weights to begin with, settings, seed, data, the code of the package) have the same loss curve and can
    read each other's checkpoints."""
    digest = hashlib.sha256(repr(told).encode())
    for source in sorted(ROOT.joinpath(*package.split(".")).glob("*.py")):
        digest.update(source.read_bytes())
    if sharded():
        digest.update(f"shards: {os.environ.get('WORLD_SIZE')}".encode())
    for name, weight in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def of_another_run(folder: Path, identity: str) -> bool:
    """Whether a folder is not yet of this run; what another run left there (checkpoints, pairs, history) is removed. Mark it by ``run.txt``."""
    owner = folder / "run.txt"
    if owner.is_file() and owner.read_text(encoding="utf-8") == identity:
        return False
    for left in (*folder.glob("checkpoint-*"), folder / "pairs"):
        shutil.rmtree(left, ignore_errors=True)
    (folder / "history.json").unlink(missing_ok=True)
    return True


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: the trainer's state is its last file."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda p: int(p.name.split("-")[1]))) if whole else None


def restore(model: PreTrainedModel, folder: str) -> None:
    """Put the weights of a checkpoint folder into ``model``; every weight must be there."""
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())
