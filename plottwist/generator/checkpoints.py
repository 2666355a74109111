"""A mixture of experts survives the trainer's checkpoints.

Qwen3-MoE keeps its experts in one tensor in memory and writes them one by one; only ``from_pretrained`` knows the way back. The trainer
of transformers 5.23 loads a checkpoint's file as it is, reports "missing keys" in passing and goes on with experts that were never
restored: a resumed run would start with random experts, and the "best model" would keep the last ones. The mixin below reads
checkpoints through ``from_pretrained``; put it before any trainer of whole (not LoRA) models.
"""

from __future__ import annotations

from typing import Any

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


def restore(model: PreTrainedModel, folder: str) -> None:
    """Put the weights of a checkpoint folder into ``model``; every weight must be there."""
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())
