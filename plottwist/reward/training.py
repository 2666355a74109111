"""Training the reward model on PN ratings.

Two losses: a Gaussian likelihood of the ratings (so that the model states its own error), and, within a premise, the
order of the ratings of each dimension: comparing two tellings of one story is where the story is held fixed. Every text is
also read under other names and genders, with the same ratings.

Each head is trained without one part of the premises, and asked about that part: held-out scores of every text come with the
training, they scale the uncertainty, and they are what settings are chosen by. Test premises are never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead, pad, read


class TrainingConfig(BaseModel):
    """How heads are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: int = 20
    batch_size: int = 14
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 20
    pair_weight: float = 1.0


@dataclass(frozen=True)
class Examples:
    """Texts as lists of sentences, their ratings (texts, outputs) on the 1-10 scale, and the group each text belongs to.

    ``retold`` holds the same texts, in the same order, in other words that change no rating: other names and genders.
    """

    documents: Sequence[Sequence[str]]
    ratings: NDArray
    groups: NDArray
    retold: tuple[Sequence[Sequence[str]], ...] = ()

    def __len__(self) -> int:
        return len(self.documents)


def fit(examples: Examples, config: RewardConfig, training: TrainingConfig, seed: int) -> tuple[AspectRewardModel, NDArray]:
    """Train a reward model.

    Returns:
        the model, and the held-out scores (texts, outputs): each text rated by the one head that saw nothing of its group.
    """
    centre, spread = examples.ratings.mean(0), examples.ratings.std(0) + 1e-6
    config = config.model_copy(update={"centre": tuple(centre.tolist()), "spread": tuple(spread.tolist())})
    readings = [read(documents, config) for documents in (examples.documents, *examples.retold)]
    part = _parts(examples.groups, config.heads, seed)
    heads, scores, errors = [], np.zeros_like(examples.ratings, dtype=float), np.ones_like(examples.ratings, dtype=float)
    for number in range(config.heads):
        torch.manual_seed(seed * config.heads + number)
        heads.append(_train(SequenceHead(config), readings, examples, np.flatnonzero(part != number), training, config, seed))
        own = np.flatnonzero(part == number)
        scores[own], errors[own] = AspectRewardModel(config, heads[-1:]).predict([readings[0][row] for row in own])
    scale = float(np.sqrt((((examples.ratings - scores) / errors) ** 2).mean()))
    return AspectRewardModel(config.model_copy(update={"uncertainty_scale": scale}), heads), scores


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


def _train(
    head: SequenceHead,
    readings: list[list[NDArray]],
    examples: Examples,
    rows: NDArray,
    training: TrainingConfig,
    config: RewardConfig,
    seed: int,
) -> SequenceHead:
    """Train one head on some rows; the learning rate rises over the warm-up and falls linearly to nothing."""
    rng = np.random.default_rng(seed)
    head.standardise([readings[0][row] for row in rows])
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=training.weight_decay)
    batches = [rows[b] for _ in range(training.epochs) for b in group_batches(examples.groups[rows], training.batch_size, rng)]
    head.train()
    for step, batch in enumerate(batches, start=1):
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * min(1.0, step / training.warmup_steps) * max(0.02, 1 - step / len(batches))
        vectors, mask = pad(
            [readings[telling][row] for telling, row in zip(rng.integers(len(readings), size=len(batch)), batch, strict=True)]
        )
        targets, groups = _targets(examples, batch, config)
        optimiser.zero_grad()
        loss(head, vectors, mask, targets, groups, training.pair_weight).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
    return head.eval()


def _parts(groups: NDArray, parts: int, seed: int) -> NDArray:
    """Number of the part (0, 1, ...) of each text; whole groups, in random order, as even as can be."""
    names, codes = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % parts)[codes]


def _targets(examples: Examples, rows: NDArray, config: RewardConfig) -> tuple[Tensor, Tensor]:
    """Ratings in standard units (texts, outputs) and the number of each text's group."""
    targets = (torch.tensor(examples.ratings[rows], dtype=torch.float32) - torch.tensor(config.centre)) / torch.tensor(config.spread)
    _, codes = np.unique(examples.groups[rows], return_inverse=True)
    return targets, torch.from_numpy(codes)
