"""Supervised fine-tuning: premise -> plot, on the Hugging Face trainer.

The loss is taken over the plot alone (completion only), and the head runs only at those places, which on a small model with a large
vocabulary is a third of all work. Found text is of mixed quality: ``storyworld_examples`` draws each of the five levels uniformly
and beforehand, so that the model imitates a mixture and preference training has something to choose from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments

from plottwist import files
from plottwist.checkpoints import WholeCheckpoints, identity, last_checkpoint, of_another_run
from plottwist.corpora import storyworld
from plottwist.corpora.split import Split, premise_key, split
from plottwist.errors import PlotTwistError
from plottwist.generator.tokens import answer, ask, chat_text

IGNORED = -100


class SftConfig(BaseModel):
    """How a writer is fine-tuned; ``batch_size * accumulation`` examples make one update."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: float = 1
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    balance: float = 0.01
    evaluations: int = 6
    patience: int = 2
    bf16: bool = False
    cpu: bool = True


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Dataset,
    validation: Dataset,
    config: SftConfig,
    seed: int,
    folder: Path,
) -> tuple[PreTrainedModel, list[dict[str, float]]]:
    """Fine-tune on ``examples`` (columns ``prompt`` and ``completion``, both chat messages).

    The best checkpoint by held-out loss is kept, and training stops when that loss has not fallen ``patience`` times. Checkpoints
    (safetensors) go to ``folder``; a killed run that is started again continues from the last one on the same loss curve; what a run
    with other settings or stories left there is removed.

    Returns:
        the model and the log: one row per update (``step, loss``) or evaluation (``step, eval_loss``).
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    updates = max(1, int(len(examples) * config.epochs / (config.batch_size * config.accumulation * processes)))
    every = max(1, updates // config.evaluations)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        bf16=config.bf16,
        use_cpu=config.cpu,
        seed=seed,
        eval_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        restore_callback_states_from_checkpoint=True,  # a killed run remembers how long it has waited for a better loss
    )
    trainer = CompletionTrainer(
        model,
        arguments,
        data_collator=Collator(tokenizer.pad_token_id),
        train_dataset=encode(tokenizer, examples, _context(model)),
        eval_dataset=encode(tokenizer, validation, _context(model)),
        callbacks=[EarlyStoppingCallback(config.patience)],
        balance=config.balance,
    )
    trainer.remove_callback(PrinterCallback)
    own = identity(__package__, model, config.model_dump(), seed, examples.to_dict(), validation.to_dict())
    with arguments.main_process_first(local=False):
        if of_another_run(folder, own):
            files.write_text(folder / "run.txt", own)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    return trainer.model.eval(), trainer.state.log_history


def storyworld_examples(n: int, which: Split, seed: int, levels: storyworld.Levels | None = None) -> Dataset:
    """n Storyworld plots whose premise belongs to a split: ``id, prompt, completion, premise, plot, level_*``.

    The five levels of each, unless ``levels`` fixes them, are uniform and depend on the story's own number alone; the training premises of different ``seed``
    are different stories, those of validation and test are the same for every seed.
    """
    first = 1_000_000 * (seed + 1) if which == "train" else 0
    rows: list[dict[str, Any]] = []
    number = first
    while len(rows) < n:
        story = storyworld.simulate(number, levels)
        number += 1
        if split(premise_key(story.premise)) == which:
            rows.append(
                {
                    "id": story.id,
                    "prompt": ask(story.premise),
                    "completion": answer(story.text),
                    "premise": story.premise,
                    "plot": story.text,
                }
                | {f"level_{name}": value for name, value in story.levels.as_dict().items()}
            )
    return Dataset.from_list(rows)


def encode(tokenizer: PreTrainedTokenizerBase, examples: Dataset, context: int) -> list[dict[str, list[int]]]:
    """``input_ids`` and ``labels`` (prompt ignored) of each example.

    Raises:
        PlotTwistError: an example is longer than the model's context, or there is none.
    """
    if not len(examples):
        raise PlotTwistError("no examples to train on; give at least one premise and plot")
    prompts = [chat_text(tokenizer, m[-1]["content"]) for m in examples["prompt"]]
    answers = [m[-1]["content"] + tokenizer.eos_token for m in examples["completion"]]
    asked, told = (tokenizer(texts, add_special_tokens=False)["input_ids"] for texts in (prompts, answers))
    rows = [{"input_ids": p + a, "labels": [IGNORED] * len(p) + a} for p, a in zip(asked, told, strict=True)]
    for number, row in enumerate(rows, start=1):
        if len(row["input_ids"]) > context:
            raise PlotTwistError(f"example {number} takes {len(row['input_ids'])} tokens but the model reads {context}; shorten it")
    return rows


class Collator:
    """Rows padded on the right: ``input_ids, attention_mask, labels``, each (batch, tokens)."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        longest = max(len(r["input_ids"]) for r in rows)

        def padded(name: str, value: int) -> Tensor:
            return torch.tensor([r[name] + [value] * (longest - len(r[name])) for r in rows])

        ids = padded("input_ids", self.pad)
        lengths = torch.tensor([len(r["input_ids"]) for r in rows])
        mask = (torch.arange(longest) < lengths[:, None]).long()
        return {"input_ids": ids, "attention_mask": mask, "labels": padded("labels", IGNORED)}


@torch.inference_mode()
def completion_nats(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, list[int]]]
) -> tuple[NDArray, NDArray]:
    """Nats of the completion of each encoded row, and its tokens, each (rows,)."""
    collate, nats, tokens = Collator(tokenizer.pad_token_id), [], []
    for start in range(0, len(rows), 16):
        batch = {name: tensor.to(model.device) for name, tensor in collate(rows[start : start + 16]).items()}
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].float()
        labels = batch["labels"][:, 1:]  # (batch, tokens - 1)
        nats.append(cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none").sum(1).cpu().numpy())
        tokens.append((labels != IGNORED).sum(1).cpu().numpy())
    return np.concatenate(nats), np.concatenate(tokens)


class CompletionTrainer(WholeCheckpoints, Trainer):
    """Cross-entropy over the completion's tokens, summed and divided by their number in the whole update.

    So accumulation changes nothing. The same holds for the load-balancing term of a mixture (Switch Transformers, eq. 4), which is
    taken per sequence: E * sum_e f_e P_e, f the share of a sequence's choices that fall on expert e, P its mean gate.
    """

    def __init__(self, *arguments: Any, balance: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.balance = balance
        self.model_accepts_loss_kwargs = True  # num_items_in_batch is used below

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        labels = inputs["labels"][:, 1:]  # (batch, tokens - 1)
        learns = labels != IGNORED
        whole = self.accelerator.unwrap_model(model)  # but the wrapped one is called: it keeps several processes in step
        sparse = self.balance > 0 and getattr(whole.config, "num_experts", 0) > 0 and model.training
        extra = {"output_router_logits": True} if sparse else {}
        with head_at(whole, learns):
            out = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **extra)
        logits = out.logits  # (completion tokens, vocabulary)
        # Several processes each take their part of the update's tokens, and their gradients are averaged.
        items = learns.sum() if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
        loss = cross_entropy(logits.float(), labels[learns], reduction="sum") / items
        if sparse:
            weight = learns.sum(1) / items  # (batch,)
            loss = loss + self.balance * (imbalance(out.router_logits, inputs["attention_mask"], whole.config) * weight).sum()
        return (loss, {"logits": logits}) if return_outputs else loss


@contextmanager
def head_at(model: PreTrainedModel, places: Tensor) -> Iterator[None]:
    """Within it the model's logits are those of ``places`` alone (rows x tokens - 1, true where the next token counts), one after the
    other: (places, vocabulary). It is the head that is given less, and inside the forward, where alone sharded weights are whole."""
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _module, states: states[0][:, :-1][places])
    try:
        yield
    finally:
        hook.remove()


def imbalance(router_logits: Sequence[Tensor], mask: Tensor, config: Any) -> Tensor:
    """The load-balancing term per sequence, mean over layers, (batch,); 1 where all experts are used alike."""
    real = mask[..., None].float()  # (batch, tokens, 1)
    terms = []
    for logits in router_logits:
        gates = logits.float().softmax(-1).view(*mask.shape, -1)  # (batch, tokens, experts)
        chosen = one_hot(gates.topk(config.num_experts_per_tok).indices, config.num_experts).sum(2) / config.num_experts_per_tok
        f, p = ((x * real).sum(1) / real.sum(1) for x in (chosen, gates))  # (batch, experts)
        terms.append(config.num_experts * (f * p).sum(1))
    return torch.stack(terms).mean(0)


def _context(model: PreTrainedModel) -> int:
    return model.config.max_position_embeddings
