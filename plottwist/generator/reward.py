"""The reward model of Storyworld plots: the writer's own backbone with five outputs, trained on the simulated rater alone.

It reads the plot without its premise and never sees the gold reader. Saved in the Hub format of sequence classification.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.generator.checkpoints import WholeCheckpoints
from plottwist.generator.tokens import load_tokenizer
from plottwist.nqd import NQDS, SCALE_MAX, SCALE_MIN

_SCALE = "reward_scale.json"


class PlotReward:
    """Five scores of a plot on the 1-10 scale; ``centre`` and ``spread`` (5,) put the network's outputs there."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, centre: NDArray, spread: NDArray) -> None:
        self.model, self.tokenizer, self.centre, self.spread = model.eval(), tokenizer, np.asarray(centre), np.asarray(spread)

    @torch.inference_mode()
    def standard(self, plots: Sequence[str], batch_size: int = 64) -> NDArray:
        """Scores (plots, 5) in standard units of the ratings, not cut: what preference training ranks by."""
        rows = _encode(self.tokenizer, plots, self.model.config.max_position_embeddings)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        scores = np.zeros((len(rows), len(NQDS)))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            out = five(self.model, **_pad(self.tokenizer, [rows[i] for i in batch]).to(self.model.device))
            scores[batch] = out.float().cpu().numpy()
        return scores

    def score(self, plots: Sequence[str]) -> NDArray:
        """Scores (plots, 5) on the 1-10 scale."""
        return np.clip(self.standard(plots) * self.spread + self.centre, SCALE_MIN, SCALE_MAX)

    def save_pretrained(self, folder: str | Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        files.write_json(Path(folder) / _SCALE, {"centre": self.centre.tolist(), "spread": self.spread.tolist()})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PlotReward:
        """Raises PlotTwistError if the folder does not hold a reward model of plots."""
        scale = files.read_json(Path(folder) / _SCALE)
        try:
            model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise PlotTwistError(f"{folder} does not hold a reward model of plots ({str(error).splitlines()[0]})") from error
        return cls(model, load_tokenizer(folder), scale["centre"], scale["spread"])


def five(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The five outputs (plots, 5) from the mean over all tokens: tone and pacing are spread over a plot, its last token sees little of them."""
    hidden = model.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (plots, tokens, d)
    real = attention_mask[..., None].to(hidden.dtype)
    return model.score((hidden * real).sum(1) / real.sum(1))


def overall(scores: NDArray) -> NDArray:
    """One reward per plot, (premises, n), of scores (premises, n, 5): their mean, each NQD in standard units of these plots.

    Ratings differ in how far they follow the level; without this the dimension that a rater sees best would be the only one learnt.
    """
    flat = scores.reshape(-1, scores.shape[-1])
    return ((scores - flat.mean(0)) / (flat.std(0) + 1e-9)).mean(-1)


def fit_reward(
    base: str | Path, plots: Sequence[str], ratings: NDArray, epochs: float, learning_rate: float, batch_size: int, seed: int, folder: Path
) -> PlotReward:
    """Train the writer in folder ``base``, with five outputs, on ratings (plots, 5); checkpoints go to ``folder``, a killed run resumes."""
    tokenizer = load_tokenizer(base)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(NQDS), pad_token_id=tokenizer.pad_token_id, use_safetensors=True, dtype=torch.float32
    )
    centre, spread = ratings.mean(0), ratings.std(0) + 1e-6
    rows = _encode(tokenizer, plots, model.config.max_position_embeddings)
    data = [{"input_ids": r, "targets": t} for r, t in zip(rows, ((ratings - centre) / spread).tolist(), strict=True)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        save_steps=0.25,
        save_total_limit=1,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = _RewardTrainer(model, arguments, train_dataset=data, data_collator=_Collator(tokenizer))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")) or None)
    return PlotReward(trainer.model, tokenizer, centre, spread)


class _RewardTrainer(WholeCheckpoints, Trainer):
    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        targets = inputs.pop("targets")
        loss = mse_loss(five(model, **inputs).float(), targets)
        return (loss, {}) if return_outputs else loss


class _Collator:
    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        return {**_pad(self.tokenizer, [r["input_ids"] for r in rows]), "targets": torch.tensor([r["targets"] for r in rows])}


def _encode(tokenizer: PreTrainedTokenizerBase, plots: Sequence[str], context: int) -> list[list[int]]:
    """A plot as the writer writes it, its end token included; what is over the context is cut."""
    ids = tokenizer([f"<|im_start|>assistant\n{p}" for p in plots], add_special_tokens=False)["input_ids"]
    return [[*row[: context - 1], tokenizer.eos_token_id] for row in ids]


def _pad(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]) -> Any:
    return tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
