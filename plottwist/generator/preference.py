"""Preference training on top of TRL: DPO and ORPO, and with a weight for each pair DDPO and DORPO (2503.17126).

With margin m = log p(chosen)/p_ref(chosen) - log p(rejected)/p_ref(rejected), log odds ratio o of the two (means over tokens,
2403.07691) and weight w of the chosen response (``weights.pair_weights``)::

    DPO    -log sigmoid(beta m)              DDPO   w * that
    ORPO   NLL - beta log sigmoid(o)         DORPO  w * NLL - w * beta log sigmoid(o)

DORPO is what the paper states, w on both terms; the authors' code multiplies o by w inside the logarithm, which changes where a
pair is satisfied and not how much it counts. The losses stay TRL's: the weighted trainers hand a batch to TRL's own (for DPO without
a GPU with log-probabilities of ours, at half the cost) and, for DPO, add (w - 1) times each pair's loss; for ORPO both terms of TRL's
are weighted anew. With weights of 1 both are TRL to 1e-5. A step is the mean over its pairs (NLL: over its tokens) however it is cut
into micro-batches. Weights are never normalised within a batch, where they would depend on the company.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # where TRL keeps ORPO

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import is_peft_model
from datasets import Dataset
from datasets.utils import disable_progress_bars
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import FusedCausalLMOutput

from plottwist import files
from plottwist.checkpoints import WholeCheckpoints, identity, last_checkpoint, of_another_run, sharded
from plottwist.errors import PlotTwistError
from plottwist.generator.sft import IGNORED, head_at
from plottwist.generator.tokens import chat_text

_WEIGHT = "weight"


class PreferenceConfig(BaseModel):
    """How a writer learns from pairs. The paper: DPO beta 0.1, rate 5e-6, 3 epochs; ORPO beta 0.25, 5e-6, 4 epochs; LoRA."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    loss: Literal["dpo", "orpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0, description="DPO: pull towards the reference; ORPO: weight of the odds ratio")
    learning_rate: float = Field(default=5e-6, gt=0)
    epochs: float = Field(default=3, gt=0)
    batch_size: int = Field(default=8, ge=1, description="pairs that go through the model at once")
    accumulation: int = Field(default=1, ge=1, description="such batches to a step of the optimiser")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps; then linear decay to 0")
    max_length: int = Field(default=1024, ge=8, description="tokens of prompt and response; the end of a longer one is cut off")
    bf16: bool = False
    gradient_checkpointing: bool = False
    checkpoints: int = Field(default=4, ge=2, description="how many times in a run its state is written")


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Dataset,
    config: PreferenceConfig,
    seed: int,
    folder: Path,
    weights: Sequence[float] | None = None,
) -> PreTrainedModel:
    """The model after preference training; the one given is left as it was.

    Args:
        pairs: columns ``prompt`` (a premise), ``chosen`` and ``rejected`` (plots).
        weights: of each pair, at least 0, with mean 1 over the responses they come from; None is plain DPO or ORPO.
        folder: takes the checkpoints and ``history.json`` (loss, margins and accuracy of each step). If it holds a checkpoint
            of the same run (model, pairs, weights, settings, seed), training goes on from there; what another run left is removed.

    Raises:
        PlotTwistError: no pairs, a column missing, or weights that do not fit.
    """
    data = prepared(tokenizer, pairs, weights)
    folder.mkdir(parents=True, exist_ok=True)
    own = identity(__package__, model, config.model_dump(), seed, data.to_dict())
    frozen = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
    policy = copy.deepcopy(model, frozen)  # with LoRA, what is frozen is shared and only the adapter copied
    with _quiet(), _original_forward(policy):
        data = _stored(data, folder, own, training_arguments(config, seed, folder))
        trainer = build_trainer(policy, tokenizer, data, config, seed, folder)
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    if trainer.is_world_process_zero():
        files.write_json(folder / "history.json", [row for row in trainer.state.log_history if "loss" in row])
    return policy.eval()


def build_trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Dataset, config: PreferenceConfig, seed: int, folder: Path
) -> Trainer:
    """The TRL trainer behind ``train``, for texts already in the chat form (and a column ``weight``, where pairs have one)."""
    arguments = training_arguments(config, seed, folder)
    if config.loss == "orpo":
        return WeightedORPOTrainer(model, arguments, processing_class=tokenizer, train_dataset=data)
    if sharded() and not is_peft_model(model):
        raise PlotTwistError("DPO with sharded weights needs LoRA, whose base is the reference; set generator.lora_rank")
    collator = _Collator(tokenizer.pad_token_id, config.max_length)
    trainer = WeightedDPOTrainer(model, args=arguments, data_collator=collator, processing_class=tokenizer, train_dataset=data)
    trainer.precompute_ref_logps = True  # with sharded weights ``compute_loss`` sees to it
    return trainer


def training_arguments(config: PreferenceConfig, seed: int, folder: Path) -> DPOConfig | ORPOConfig:
    """TRL's own arguments, with every default of TRL that changes numbers (bf16, gradient checkpointing) said."""
    arguments = {
        "output_dir": str(folder),
        "beta": config.beta,
        "learning_rate": config.learning_rate,
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "warmup_steps": config.warmup,
        "max_length": config.max_length,
        "bf16": config.bf16,
        "gradient_checkpointing": config.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": 1 / config.checkpoints,
        "save_total_limit": 1,
        "logging_steps": 1,
        "seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "disable_tqdm": not sys.stderr.isatty(),
        "report_to": [],
    }
    if config.loss == "orpo":
        return ORPOConfig(**arguments, remove_unused_columns=False)
    return DPOConfig(**arguments, precompute_ref_log_probs=not sharded())  # TRL would read the reference before it shards


class _WholeStep(WholeCheckpoints, Trainer):
    """Knows how much a micro-batch is of its step, so that accumulation and processes change nothing where micro-batches are unequal."""

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> None:
        sizes = torch.tensor([self._sizes(batch) for batch in batch_samples], dtype=torch.float32, device=device).mean(0)
        self._mean_sizes = self.accelerator.reduce(sizes, "mean").tolist()

    def _share(self, batch: dict[str, Any], kind: int) -> float:
        """The micro-batch's pairs (kind 0) or chosen tokens (1), over their mean in the step: 1 where there is one micro-batch."""
        return self._sizes(batch)[kind] / self._mean_sizes[kind]


class WeightedDPOTrainer(_WholeStep, DPOTrainer):
    """TRL's DPO with a weight for each pair: DDPO. Without a column ``weight`` it is TRL's DPO."""

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        weights = inputs.get(_WEIGHT)
        batch = {key: value for key, value in inputs.items() if key != _WEIGHT}
        if "ref_chosen_logps" not in batch:
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.compute_ref_log_probs(model, inputs)
        seen: list[Tensor] = []

        def scored(**arguments: Any) -> FusedCausalLMOutput:
            out = self._scored(model, **arguments)
            seen.append(out.log_probs)
            return out

        loss = super().compute_loss(scored, batch)
        if weights is not None:
            chosen, rejected = seen[0].sum(1).chunk(2)  # (pairs,), from (2 pairs, tokens)
            margins = (chosen - batch["ref_chosen_logps"]) - (rejected - batch["ref_rejected_logps"])
            loss = loss - ((weights - 1) * F.logsigmoid(self.beta * margins)).mean()
        return loss * self._share(inputs, 0)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return super().compute_ref_log_probs(
            partial(self._scored, model, logged=False), {key: value for key, value in inputs.items() if key != _WEIGHT}
        )

    def _scored(self, model: Any, *, labels: Tensor, fused_lm_head: bool, logged: bool = True, **inputs: Any) -> FusedCausalLMOutput:
        """What TRL calls the model for. Its own way needs a GPU to be fast: without one it puts every prompt and all padding through
        the vocabulary too. Here the head is given the responses' tokens alone; their logits are held whole, (tokens, vocabulary), a few
        times over. A sharded model is a copy, on which TRL's patch would call the forward of the original: it keeps TRL's way.

        Args:
            logged: with the statistics that TRL logs of the policy."""
        if inputs["input_ids"].is_cuda or sharded():
            return model(**inputs, labels=labels, fused_lm_head=fused_lm_head)
        labels = labels[:, 1:]  # (2 pairs, tokens - 1)
        counts = labels != IGNORED
        with head_at(self.accelerator.unwrap_model(model), counts):
            out = model(**inputs)
        logits, targets = out.logits.float(), labels[counts]  # (response tokens, vocabulary), (response tokens,)
        found = {"log_probs": -F.cross_entropy(logits, targets, reduction="none")}
        if logged:
            with torch.no_grad():
                entropy = logits.logsumexp(-1) - torch.linalg.vecdot(logits.softmax(-1), logits)
                found |= {"entropy": entropy, "mean_logits": logits.mean(-1), "is_top1": logits.argmax(-1) == targets}
        placed = {name: x.new_zeros(labels.shape).masked_scatter(counts, x) for name, x in found.items()}
        return FusedCausalLMOutput(**placed, label_mask=counts, aux_loss=out.get("aux_loss"))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = list({*self._signature_columns, _WEIGHT})

    def _sizes(self, batch: dict[str, Tensor]) -> tuple[int]:
        return (len(batch["input_ids"]) // 2,)


class WeightedORPOTrainer(_WholeStep, ORPOTrainer):
    """TRL's ORPO with a weight for each pair on both terms: DORPO. Without a column ``weight`` it is TRL's ORPO."""

    def get_batch_loss_metrics(self, model: Any, batch: dict[str, Any], train_eval: Literal["train", "eval"] = "train") -> Any:
        pairs = len(batch["chosen_input_ids"])
        self._weights = torch.tensor(batch.get(_WEIGHT, [1.0] * pairs), device=self.accelerator.device)  # (pairs,)
        self._odds_share = self._share(batch, 0)
        return super().get_batch_loss_metrics(model, batch, train_eval)

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple:
        """As TRL's, with w on each pair's part of the NLL, which goes over all tokens of prompt and chosen response."""
        chosen_logps, rejected_logps, chosen_logits, rejected_logits, _, *rest = super().concatenated_forward(model, batch)
        labels = batch["chosen_input_ids"][:, 1:].masked_fill(batch["chosen_attention_mask"][:, 1:] == 0, -100)  # (pairs, tokens)
        logits = chosen_logits[:, : labels.shape[1]].transpose(1, 2)  # (pairs, vocabulary, tokens)
        nll = F.cross_entropy(logits, labels, reduction="none").sum(1)  # (pairs,)
        mean = (self._weights * nll).sum() / self._sizes(batch)[1] * self._share(batch, 1)
        return chosen_logps, rejected_logps, chosen_logits, rejected_logits, mean, *rest

    def odds_ratio_loss(self, policy_chosen_logps: Tensor, policy_rejected_logps: Tensor) -> tuple:
        losses, *rest = super().odds_ratio_loss(policy_chosen_logps, policy_rejected_logps)
        return self._weights * losses * self._odds_share, *rest

    def _sizes(self, batch: dict[str, Any]) -> tuple[int, int]:
        mask = batch["chosen_attention_mask"]
        return len(mask), int(mask[:, 1:].sum())


@dataclass
class _Collator(DataCollatorForPreference):
    """TRL's, which also takes each pair's weight along."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().torch_call(examples)
        if _WEIGHT in examples[0]:
            batch[_WEIGHT] = torch.tensor([example[_WEIGHT] for example in examples])
        return batch


def prepared(tokenizer: PreTrainedTokenizerBase, pairs: Dataset, weights: Sequence[float] | None) -> Dataset:
    """Pairs in the chat form, in memory.

    Raises:
        PlotTwistError: no pairs, a column missing, or weights that do not fit.
    """
    if missing := {"prompt", "chosen", "rejected"} - set(pairs.column_names):
        raise PlotTwistError(f"pairs lack the column {', '.join(sorted(missing))}; they need prompt, chosen and rejected")
    if not len(pairs):
        raise PlotTwistError("no pairs to train on; lower the margin or sample more plots")
    end = tokenizer.eos_token
    columns = {
        "prompt": [_chat_prompt(tokenizer, premise) for premise in pairs["prompt"]],
        "chosen": [plot + end for plot in pairs["chosen"]],
        "rejected": [plot + end for plot in pairs["rejected"]],
    }
    if weights is not None:
        columns[_WEIGHT] = _checked(weights, len(pairs)).tolist()
    return Dataset.from_dict(columns)


def _stored(data: Dataset, folder: Path, own: str, arguments: TrainingArguments) -> Dataset:
    """The pairs from a file of the run's own: TRL keeps reference log-probabilities beside it, where all processes of this run find
    them, and no other run does (one with the same pairs but another ``max_length`` would be given wrong ones)."""
    with arguments.main_process_first(local=False):
        if of_another_run(folder, own):
            data.save_to_disk(folder / "pairs")
            files.write_text(folder / "run.txt", own)  # last: whole, or not there
    return Dataset.load_from_disk(str(folder / "pairs"))


def _chat_prompt(tokenizer: PreTrainedTokenizerBase, premise: str) -> str:
    """The premise in the chat form; without the first token that a tokenizer of the Llama kind puts before any text by itself."""
    text = chat_text(tokenizer, premise)
    own = tokenizer("")["input_ids"][:1]
    return text.removeprefix(tokenizer.bos_token) if own and own == [tokenizer.bos_token_id] else text


def _checked(weights: Sequence[float], pairs: int) -> np.ndarray:
    array = np.asarray(weights, dtype=np.float32)
    if array.shape != (pairs,):
        raise PlotTwistError(f"weights of shape {array.shape} for {pairs} pairs; give one weight to each pair")
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise PlotTwistError("weights must be finite, at least 0 and not all 0; see plottwist.generator.weights")
    return array


@contextmanager
def _original_forward(model: PreTrainedModel) -> Iterator[None]:
    """Undo what TRL and accelerate put on a model: a forward that a copy of the model would share with the original, and with
    LoRA a second adapter for the reference."""
    base = model.get_base_model() if is_peft_model(model) else model
    patched = list({id(m): m for m in (model, base)}.values())
    before = [m.__dict__.get("forward") for m in patched]
    try:
        yield
    finally:
        for module, forward in zip(patched, before, strict=True):
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.forward = forward
        if is_peft_model(model) and "ref" in model.peft_config:
            model.delete_adapter("ref")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the libraries where there is no terminal."""
    if sys.stderr.isatty():
        yield
        return
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"  # read by TRL
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        os.environ.pop("TQDM_DISABLE") if before is None else os.environ.update(TQDM_DISABLE=before)
