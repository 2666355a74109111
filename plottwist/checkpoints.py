"""A mixture of experts survives the trainer's checkpoints, and a run goes on from its own checkpoints alone.

Qwen3-MoE keeps its experts in one tensor in memory and writes them one by one; only ``from_pretrained`` knows the way back. The trainer
of transformers 5.23 loads a checkpoint's file as it is, reports "missing keys" in passing and goes on with experts that were never
restored: a resumed run would start with random experts, and the "best model" would keep the last ones. The mixin below reads
checkpoints through ``from_pretrained``; put it before any trainer.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel


class WholeCheckpoints:
    """For a class that also derives from ``transformers.Trainer``."""

    model: PreTrainedModel
    state: Any

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if isinstance(self.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore(self.model, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        if isinstance(self.model, PeftModel):
            super()._load_best_model()
        else:
            restore(self.model, self.state.best_model_checkpoint)


def body(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The model under its head, LoRA or not."""
    return (model.get_base_model() if isinstance(model, PeftModel) else model).base_model


def identity(model: PreTrainedModel, *told: object) -> str:
    """Two runs of one identity (weights to begin with, settings, seed, data) have the same loss curve."""
    digest = hashlib.sha256(repr(told).encode())
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


def restore(model: PreTrainedModel, folder: str) -> None:
    """Put the weights of a checkpoint folder into ``model``; every weight must be there."""
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())
