"""The shipped ratings as training examples, and the reward model that notebooks 01 and 05 share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import FunctionTransformer

from plottwist.corpora import shipped
from plottwist.metrics.encoder import shared
from plottwist.nqd import NQDS
from plottwist.profiles import Profile
from plottwist.reward import ratings
from plottwist.reward.backbone import BackboneRewardModel, BackboneTraining, fit_backbone, is_backbone
from plottwist.reward.model import AspectRewardModel, RewardConfig, split_sentences
from plottwist.reward.training import Examples, TrainingConfig, fit

AnyRewardModel = AspectRewardModel | BackboneRewardModel


@cache
def plots() -> pd.DataFrame:
    """The shipped plots as a frame."""
    return shipped.plots().to_pandas()


def examples(target: pd.DataFrame, split: str, variants: tuple[str, ...] = shipped.VARIANTS, premises: int | None = None) -> Examples:
    """Plots of one split (of its first ``premises`` premises) with their ratings; ``target`` as in ``ratings.pn`` (index plot_id).

    The group of a plot is its premise.
    """
    frame = plots()
    frame = frame[(frame.split == split) & frame.variant.isin(variants)]
    frame = frame[frame.premise_id.isin(frame.premise_id.unique()[:premises])]
    return Examples([split_sentences(t) for t in frame["plot"]], target.loc[frame.plot_id].to_numpy(), frame.premise_id.to_numpy())


def train(
    profile: Profile,
    seed: int,
    target: pd.DataFrame | None = None,
    variants: tuple[str, ...] = shipped.VARIANTS,
    **changes: object,
) -> AspectRewardModel:
    """Train the reward model on the shipped plots of the training premises, epochs chosen on the validation premises.

    Args:
        target: ratings to learn (index plot_id); the PN ratings if left out. Columns name the outputs.
        variants: kinds of plots to learn from.
        changes: fields of ``RewardConfig`` that an ablation sets otherwise, e.g. ``order="mean"`` or ``lora_rank=0``.
    """
    target = ratings.pn("plots") if target is None else target
    size = profile.reward
    config = RewardConfig(
        **{"outputs": tuple(target.columns), "heads": size.heads, "hidden_size": size.hidden_size, "lora_rank": size.lora_rank} | changes
    )
    training = TrainingConfig(epochs=size.epochs if config.lora_rank else size.frozen_epochs)
    train_examples, validation = (examples(target, split, variants, size.premises) for split in ("train", "validation"))
    return fit(train_examples, validation, config, training, seed)


def make_artifact(profile: Profile, seed: int, folder: Path) -> None:
    """The reward model on PN ratings, as an artifact of the DAG: sentence heads, or the profile's backbone with LoRA."""
    base = profile.reward.backbone
    if base is None:
        train(profile, seed).save_pretrained(folder)
        return
    target, premises = ratings.pn("plots"), profile.reward.premises
    own = examples(target, "train", premises=premises)
    documents = [" ".join(d) for d in own.documents]
    settings = BackboneTraining(epochs=profile.reward.epochs, lora_rank=profile.reward.lora_rank, bf16=profile.device == "cuda")
    fit_backbone(base, documents, own.ratings, own.groups, settings, seed, folder / "checkpoints").save_pretrained(folder)


def load(folder: str | Path) -> AnyRewardModel:
    """A saved reward model of either kind. Raises PlotTwistError if the folder holds neither."""
    return (BackboneRewardModel if is_backbone(folder) else AspectRewardModel).from_pretrained(folder)


def predict(model: AnyRewardModel, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and their standard errors, each (texts, outputs)."""
    if isinstance(model, BackboneRewardModel):
        return model.predict(texts)
    return model.predict(model.read([split_sentences(t) for t in texts]))


def score(model: AnyRewardModel, texts: list[str], index: list[str] | None = None) -> pd.DataFrame:
    """Scores of texts as a frame: one row a text, one column per NQD."""
    means, _ = predict(model, texts)
    if means.shape[1] == 1:
        means = np.repeat(means, len(NQDS), axis=1)
    return pd.DataFrame(means, columns=list(NQDS), index=index)


def mean_vectors() -> FunctionTransformer:
    """Texts -> the mean of their frozen sentence vectors, (texts, d): features for the ridge that learns any one set."""
    return FunctionTransformer(lambda texts: np.stack([shared().encode(split_sentences(t)).mean(0) for t in texts]))
