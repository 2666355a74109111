"""The reward model of larger machines: any transformers backbone with five outputs, trained with LoRA or in full.

Same interface and same two losses as ``AspectRewardModel``; the backbone reads the whole text at once. Used by the profiles
``gpu`` and ``paper`` (Qwen3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import AutoPeftModelForSequenceClassification, LoraConfig, TaskType, get_peft_model
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from plottwist import files
from plottwist.checkpoints import identity, last_checkpoint, of_another_run
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS, SCALE_MAX, SCALE_MIN, NQDScores
from plottwist.reward.model import Rated
from plottwist.reward.training import gaussian_loss, group_batches, pair_loss

_SETTINGS = "reward_config.json"


class BackboneConfig(BaseModel):
    """What a saved backbone reward model needs besides its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_tokens: int = 512
    centre: tuple[float, ...] = (5.5,) * len(NQDS)
    spread: tuple[float, ...] = (2.0,) * len(NQDS)
    uncertainty_scale: float = 1.0


class BackboneTraining(BaseModel):
    """How a backbone is trained; ``lora_rank`` 0 trains every weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: int = 8
    batch_size: int = 28
    accumulation: int = 1
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    lora_rank: int = 0
    lora_alpha: int = 32
    pair_weight: float = 1.0
    bf16: bool = False


class BackboneRewardModel:
    """A backbone whose ten outputs are five means and five log variances, in standard units of the ratings."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: BackboneConfig) -> None:
        self.model, self.tokenizer, self.config = model.eval(), tokenizer, config

    def rate(self, texts: Sequence[str]) -> list[Rated]:
        """Rate texts; one longer than ``max_tokens`` is read in windows whose scores are averaged by their tokens."""
        return list(self.rate_stream(texts))

    def rate_stream(self, texts: Iterable[str]) -> Iterator[Rated]:
        remaining = iter(texts)
        while batch := list(islice(remaining, 16)):
            for mean, error in zip(*self.predict(batch), strict=True):
                yield Rated(NQDScores(*map(float, mean)), dict(zip(NQDS, map(float, error), strict=True)))

    @torch.inference_mode()
    def predict(self, texts: Sequence[str]) -> tuple[NDArray, NDArray]:
        """Scores and their standard errors, each (texts, 5), on the 1-10 scale."""
        if empty := [i for i, t in enumerate(texts, start=1) if not any(c.isalnum() for c in t)]:
            raise PlotTwistError(f"text {empty[0]} is empty; a plot needs at least one sentence")
        tokens = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.config.max_tokens,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        owner = tokens.pop("overflow_to_sample_mapping")  # (windows,)
        weight = tokens["attention_mask"].sum(1).float()  # (windows,)
        out = torch.cat(
            [
                self.model(**{k: v[i : i + 16].to(self.model.device) for k, v in tokens.items()}).logits.float().cpu()
                for i in range(0, len(owner), 16)
            ]
        )
        share = weight / torch.zeros(len(texts)).index_add_(0, owner, weight)[owner]
        pooled = torch.zeros(len(texts), out.shape[1]).index_add_(0, owner, out * share[:, None])  # (texts, 10)
        mean, log_variance = split_outputs(pooled)
        spread = torch.tensor(self.config.spread)
        scores = (mean * spread + torch.tensor(self.config.centre)).clamp(SCALE_MIN, SCALE_MAX)
        return scores.numpy(), ((log_variance / 2).exp() * spread * self.config.uncertainty_scale).numpy()

    def save_pretrained(self, folder: str | Path) -> Path:
        """The model's (or its adapter's) safetensors, the tokenizer and the settings."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        files.write_json(Path(folder) / _SETTINGS, self.config.model_dump(mode="json"))
        return Path(folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> BackboneRewardModel:
        """Load a folder written by ``save_pretrained``. Raises PlotTwistError if it is not one."""
        folder = Path(folder)
        adapter = (folder / "adapter_config.json").exists()
        kind = AutoPeftModelForSequenceClassification if adapter else AutoModelForSequenceClassification
        try:
            config = BackboneConfig.model_validate(files.read_json(folder / _SETTINGS))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = kind.from_pretrained(folder, num_labels=2 * len(NQDS), pad_token_id=tokenizer.pad_token_id, use_safetensors=True)
            return cls(model, tokenizer, config)
        except (OSError, ValueError, ValidationError) as error:
            raise PlotTwistError(f"{folder} does not hold a backbone reward model ({str(error).splitlines()[0]})") from error


def is_backbone(folder: str | Path) -> bool:
    """Whether a folder holds a backbone reward model rather than sentence heads."""
    return (Path(folder) / _SETTINGS).is_file()


def fit_backbone(
    base: str | Path,
    texts: Sequence[str],
    ratings: NDArray,
    groups: NDArray,
    training: BackboneTraining,
    seed: int,
    folder: Path,
    max_tokens: int = 512,
) -> BackboneRewardModel:
    """Train ``base`` (a Hub id or a folder) on ratings (texts, 5); checkpoints go to ``folder`` and a killed run resumes from them.

    What a run with other weights, settings, texts or ratings left there is removed.
    """
    model, tokenizer = _load_base(base, training, seed)
    centre, spread = ratings.mean(0), ratings.std(0) + 1e-6
    data = _Rated(tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"], (ratings - centre) / spread, groups)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup,
        bf16=training.bf16,
        seed=seed,
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = _RewardTrainer(model, arguments, data_collator=_Collator(tokenizer), train_dataset=data, pair_weight=training.pair_weight)
    own = identity(__package__, model, training.model_dump(), seed, max_tokens, list(texts), ratings.tolist(), list(groups))
    with arguments.main_process_first(local=False):
        if of_another_run(folder, own):
            files.write_text(folder / "run.txt", own)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    config = BackboneConfig(max_tokens=max_tokens, centre=tuple(centre.tolist()), spread=tuple(spread.tolist()))
    return BackboneRewardModel(trainer.model, tokenizer, config)


def split_outputs(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Ten outputs -> five means and five log variances, each (texts, 5)."""
    return logits[:, : len(NQDS)], logits[:, len(NQDS) :].clamp(-4, 3)


class _Rated(Dataset):
    def __init__(self, tokens: list[list[int]], targets: NDArray, groups: NDArray) -> None:
        self.tokens, self.targets = tokens, targets
        _, self.groups = np.unique(groups, return_inverse=True)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[row], "targets": self.targets[row], "group": self.groups[row]}


class _Collator:
    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = self.tokenizer.pad({"input_ids": [r["input_ids"] for r in rows]}, return_tensors="pt")
        batch["targets"] = torch.tensor(np.array([r["targets"] for r in rows]), dtype=torch.float32)
        batch["groups"] = torch.tensor([int(r["group"]) for r in rows])
        return dict(batch)


class _GroupSampler(Sampler[int]):
    """Whole groups side by side, in an order of their own each epoch, so that tellings of one premise meet in a batch."""

    def __init__(self, groups: NDArray, seed: int) -> None:
        self.groups, self.seed, self.epoch = groups, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        return iter(np.concatenate(group_batches(self.groups, len(self.groups) + 1, rng)).tolist())


class _RewardTrainer(Trainer):
    def __init__(self, *arguments: Any, pair_weight: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.pair_weight = pair_weight

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        targets, groups = inputs.pop("targets"), inputs.pop("groups")
        outputs = model(**inputs)
        mean, log_variance = split_outputs(outputs.logits.float())
        loss = gaussian_loss(mean, log_variance, targets) + self.pair_weight * pair_loss(mean, targets, groups)
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _GroupSampler(self.train_dataset.groups, self.args.seed)


def _load_base(base: str | Path, training: BackboneTraining, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2 * len(NQDS), use_safetensors=True)
    except (OSError, ValueError) as error:
        raise PlotTwistError(f"cannot load the backbone '{base}': {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    if training.lora_rank:
        adapter = LoraConfig(task_type=TaskType.SEQ_CLS, r=training.lora_rank, lora_alpha=training.lora_alpha, target_modules="all-linear")
        model = get_peft_model(model, adapter)
    return model, tokenizer
