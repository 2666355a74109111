"""Training the reward model on PN ratings.

Two losses: a Gaussian likelihood of the ratings (so that the model states its own error), and, within a premise, the
order of the ratings of each dimension: comparing two tellings of one story is where the story is held fixed.
Epochs are chosen on the validation premises; test premises are never seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from plottwist.reward.context import ContextEncoder
from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead, pad
from plottwist.stats import rank_correlation


class TrainingConfig(BaseModel):
    """How heads, and the adapter if there is one, are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: int = 7
    batch_size: int = 14
    learning_rate: float = 2e-3
    adapter_learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_steps: int = 20
    pair_weight: float = 1.0


@dataclass(frozen=True)
class Examples:
    """Texts as lists of sentences, their ratings (texts, outputs) on the 1-10 scale, and the group each text belongs to."""

    documents: Sequence[Sequence[str]]
    ratings: NDArray
    groups: NDArray

    def __len__(self) -> int:
        return len(self.documents)


def fit(train: Examples, validation: Examples, config: RewardConfig, training: TrainingConfig, seed: int) -> AspectRewardModel:
    """Train a reward model; the epoch with the best rank agreement on the validation texts is kept, and its uncertainty scaled there."""
    centre, spread = train.ratings.mean(0), train.ratings.std(0) + 1e-6
    config = config.model_copy(update={"centre": tuple(centre.tolist()), "spread": tuple(spread.tolist())})
    torch.manual_seed(seed)
    context = ContextEncoder(config.encoder, config.lora_rank, seed) if config.lora_rank else None
    model = AspectRewardModel(config, [SequenceHead(config) for _ in range(config.heads)], context)
    state, agreement = model.tensors(), -np.inf
    for _ in _epochs(model, train, training, np.random.default_rng(seed)):
        means, _ = model.predict(model.read(validation.documents))
        now = float(np.mean([rank_correlation(means[:, k], validation.ratings[:, k]) for k in range(means.shape[1])]))
        if now > agreement:
            state, agreement = model.tensors(), now
    model.load_tensors(state)
    means, errors = model.predict(model.read(validation.documents))
    scale = float(np.sqrt((((validation.ratings - means) / errors) ** 2).mean()))
    return AspectRewardModel(config.model_copy(update={"uncertainty_scale": scale}), model.heads, context)


def loss(head: SequenceHead, vectors: Tensor, mask: Tensor, targets: Tensor, groups: Tensor, pair_weight: float) -> Tensor:
    """Gaussian negative log likelihood plus the weighted within-group pair loss; targets (texts, outputs) in standard units."""
    mean, log_variance = head(vectors, mask)
    return gaussian_loss(mean, log_variance, targets) + pair_weight * pair_loss(mean, targets, groups)


def gaussian_loss(mean: Tensor, log_variance: Tensor, targets: Tensor) -> Tensor:
    """Gaussian negative log likelihood, up to its constant; all (texts, outputs)."""
    return 0.5 * (log_variance + (targets - mean) ** 2 / log_variance.exp()).mean()


def pair_loss(scores: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """-log sigmoid of score differences over pairs of one group, weighted by how far apart their ratings are; 0 without pairs."""
    gap = targets[:, None] - targets[None, :]  # (texts, texts, outputs)
    weight = (groups[:, None] == groups[None, :])[..., None] * gap.clamp(min=0)
    if weight.sum() == 0:
        return scores.sum() * 0
    return (weight * -F.logsigmoid(scores[:, None] - scores[None, :])).sum() / weight.sum()


def group_batches(groups: NDArray, size: int, rng: np.random.Generator) -> list[NDArray]:
    """Whole groups in random order, about ``size`` texts a batch, so that every pair of a group meets."""
    names = rng.permutation(np.unique(groups))
    batches, rows = [], np.array([], dtype=int)
    for name in names:
        rows = np.concatenate([rows, np.flatnonzero(groups == name)])
        if len(rows) >= size:
            batches.append(rows)
            rows = np.array([], dtype=int)
    return [*batches, rows] if len(rows) else batches


def _epochs(model: AspectRewardModel, train: Examples, training: TrainingConfig, rng: np.random.Generator) -> Iterator[int]:
    """Train epoch by epoch, yielding after each; the learning rate rises over the warm-up and falls linearly to nothing."""
    rates = [training.learning_rate] * len(model.heads) + [training.adapter_learning_rate] * (model.context is not None)
    modules = [*model.heads, *([model.context] if model.context else [])]
    parameters = [[p for p in m.parameters() if p.requires_grad] for m in modules]
    optimiser = torch.optim.AdamW(
        [{"params": p, "lr": r} for p, r in zip(parameters, rates, strict=True)], weight_decay=training.weight_decay
    )
    total, step = training.epochs * len(group_batches(train.groups, training.batch_size, rng)), 0
    frozen = None if model.context else model.read(train.documents)
    for epoch in range(training.epochs):
        for module in modules:
            module.train()
        for rows in group_batches(train.groups, training.batch_size, rng):
            step += 1
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, step / training.warmup_steps) * max(0.02, 1 - step / total)
            vectors, mask = model.context([train.documents[r] for r in rows]) if model.context else pad([frozen[r] for r in rows])
            targets, groups = _targets(train, rows, model.config)
            optimiser.zero_grad()
            sum(loss(head, vectors, mask, targets, groups, training.pair_weight) for head in model.heads).backward()
            torch.nn.utils.clip_grad_norm_([p for group in parameters for p in group], 1.0)
            optimiser.step()
        for module in modules:
            module.eval()
        if model.context:
            model.context.changed()
        yield epoch


def _targets(examples: Examples, rows: NDArray, config: RewardConfig) -> tuple[Tensor, Tensor]:
    """Ratings in standard units (texts, outputs) and the number of each text's group."""
    targets = (torch.tensor(examples.ratings[rows], dtype=torch.float32) - torch.tensor(config.centre)) / torch.tensor(config.spread)
    _, codes = np.unique(examples.groups[rows], return_inverse=True)
    return targets, torch.from_numpy(codes)
