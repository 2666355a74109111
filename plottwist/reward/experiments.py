"""The shipped ratings as training examples, and the reward model that notebooks 01 and 05 share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plottwist.corpora import shipped
from plottwist.nqd import NQDS
from plottwist.profiles import Profile
from plottwist.reward import ratings
from plottwist.reward.encoder import shared
from plottwist.reward.model import AspectRewardModel, RewardConfig, split_sentences
from plottwist.reward.training import Examples, TrainingConfig, fit


@cache
def plots() -> pd.DataFrame:
    """The shipped plots as a frame."""
    return shipped.plots().to_pandas()


@cache
def vectors(text: str) -> NDArray[np.float32]:
    """Sentence vectors of a text, (sentences, d); each text is encoded once a process."""
    return shared().encode(split_sentences(text))


def examples(target: pd.DataFrame, split: str, variants: tuple[str, ...] = shipped.VARIANTS) -> Examples:
    """Plots of one split with their ratings; ``target`` as in ``ratings.pn`` (index plot_id). The group is the premise."""
    frame = plots()
    frame = frame[(frame.split == split) & frame.variant.isin(variants)]
    return Examples([vectors(t) for t in frame["plot"]], target.loc[frame.plot_id].to_numpy(), frame.premise_id.to_numpy())


def train(
    profile: Profile,
    seed: int,
    target: pd.DataFrame | None = None,
    variants: tuple[str, ...] = shipped.VARIANTS,
    order: str = "sequence",
) -> AspectRewardModel:
    """Train the reward model on the shipped plots of the training premises, epochs chosen on the validation premises.

    Args:
        target: ratings to learn (index plot_id); the PN ratings if left out. Columns name the outputs.
        variants: kinds of plots to learn from.
        order: ``sequence``, or ``mean`` for the ablation without order.
    """
    target = ratings.pn("plots") if target is None else target
    config = RewardConfig(outputs=tuple(target.columns), order=order, heads=profile.reward.heads, hidden_size=profile.reward.hidden_size)
    training = TrainingConfig(epochs=profile.reward.epochs)
    return fit(examples(target, "train", variants), examples(target, "validation", variants), config, training, seed)


def make_artifact(profile: Profile, seed: int, folder: Path) -> None:
    """The reward model on PN ratings, as an artifact of the DAG."""
    train(profile, seed).save_pretrained(folder)


def score(model: AspectRewardModel, texts: list[str], index: list[str] | None = None) -> pd.DataFrame:
    """Scores of texts as a frame: one row a text, one column per NQD."""
    means, _ = model.predict([vectors(t) for t in texts])
    if model.config.outputs == ("overall",):
        means = np.repeat(means, len(NQDS), axis=1)
    return pd.DataFrame(means, columns=list(NQDS), index=index)
