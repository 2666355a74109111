"""Training the reward model on PN ratings.

Two losses: a Gaussian likelihood of the ratings (so that the model states its own error), and, within a premise, the
order of the ratings of each dimension: comparing two tellings of one story is where the story is held fixed.
Epochs are chosen on the validation premises; test premises are never seen.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead, pad


class TrainingConfig(BaseModel):
    """How a head is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: int = 60
    patience: int = 12
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    pair_weight: float = 1.0


@dataclass(frozen=True)
class Examples:
    """Sentence vectors of texts, their ratings (texts, outputs) on the 1-10 scale, and the group each text belongs to."""

    documents: Sequence[NDArray[np.float32]]
    ratings: NDArray
    groups: NDArray

    def __len__(self) -> int:
        return len(self.documents)


def fit(train: Examples, validation: Examples, config: RewardConfig, training: TrainingConfig, seed: int) -> AspectRewardModel:
    """Train ``config.heads`` heads from different seeds and scale their uncertainty on the validation texts."""
    config = config.model_copy(
        update={"centre": tuple(train.ratings.mean(0).tolist()), "spread": tuple((train.ratings.std(0) + 1e-6).tolist())}
    )
    heads = [_fit_head(train, validation, config, training, 1000 * seed + i) for i in range(config.heads)]
    model = AspectRewardModel(config, heads)
    means, errors = model.predict(validation.documents)
    scale = float(np.sqrt((((validation.ratings - means) / errors) ** 2).mean()))
    return AspectRewardModel(config.model_copy(update={"uncertainty_scale": scale}), heads)


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


def _fit_head(train: Examples, validation: Examples, config: RewardConfig, training: TrainingConfig, seed: int) -> SequenceHead:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = SequenceHead(config)
    optimiser = torch.optim.AdamW(head.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    best, best_loss, waited = copy.deepcopy(head), np.inf, 0
    for _ in range(training.epochs):
        head.train()
        for rows in group_batches(train.groups, training.batch_size, rng):
            optimiser.zero_grad()
            loss(head, *_tensors(train, rows, config), training.pair_weight).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
        head.eval()
        with torch.inference_mode():
            held_out = float(loss(head, *_tensors(validation, np.arange(len(validation)), config), training.pair_weight))
        if held_out < best_loss:
            best, best_loss, waited = copy.deepcopy(head), held_out, 0
        elif (waited := waited + 1) >= training.patience:
            break
    return best


def _tensors(examples: Examples, rows: NDArray, config: RewardConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    vectors, mask = pad([examples.documents[r] for r in rows])
    targets = (torch.tensor(examples.ratings[rows], dtype=torch.float32) - torch.tensor(config.centre)) / torch.tensor(config.spread)
    _, codes = np.unique(examples.groups[rows], return_inverse=True)
    return vectors, mask, targets, torch.from_numpy(codes)
