"""The shipped ratings as training examples, and the reward model that notebooks 01 and 05 share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from sklearn.preprocessing import FunctionTransformer

from plottwist.corpora import perturb, shipped
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


def examples(target: pd.DataFrame, frame: pd.DataFrame, retellings: int = 0) -> Examples:
    """Plots with their ratings; ``target`` as in ``ratings.pn`` (index plot_id), ``frame`` as ``plots()`` or a part of it.

    The group of a plot is its premise; ``retellings`` times every plot is told again under other names and genders.
    """
    rngs = [Random(number) for number in range(retellings)]
    retold = tuple([split_sentences(perturb.swap_names_and_genders(t, rng)) for t in frame["plot"]] for rng in rngs)
    return Examples([split_sentences(t) for t in frame["plot"]], target.loc[frame.plot_id].to_numpy(), frame.premise_id.to_numpy(), retold)


def development(premises: int | None = None, variants: tuple[str, ...] = shipped.VARIANTS) -> pd.DataFrame:
    """The plots that a reward model may be made from: those of the training and validation premises (of each split the first ``premises``)."""
    frame = plots()
    frame = frame[(frame.split != "test") & frame.variant.isin(variants)]
    kept = frame.groupby("split").premise_id.transform(lambda ids: ids.isin(ids.unique()[:premises]))
    return frame[kept.astype(bool)]


def train(
    profile: Profile,
    seed: int,
    target: pd.DataFrame | None = None,
    variants: tuple[str, ...] = shipped.VARIANTS,
    retellings: int | None = None,
    **changes: object,
) -> tuple[AspectRewardModel, pd.DataFrame]:
    """Train the reward model on the shipped plots of the training and validation premises.

    Args:
        target: ratings to learn (index plot_id); the PN ratings if left out. Columns name the outputs.
        variants: kinds of plots to learn from.
        retellings: as in ``examples``; the profile's if left out.
        changes: fields of ``RewardConfig`` that an ablation sets otherwise, e.g. ``order="mean"`` or ``layers=None``.

    Returns:
        the model, and the held-out scores of the plots it was made from (index plot_id, one column an output).
    """
    target = ratings.pn("plots") if target is None else target
    size = profile.reward
    config = RewardConfig(**{"outputs": tuple(target.columns), "heads": size.heads, "hidden_size": size.hidden_size} | changes)
    frame = development(size.premises, variants)
    own = examples(target, frame, size.retellings if retellings is None else retellings)
    model, held_out = fit(own, config, TrainingConfig(epochs=size.epochs), seed)
    return model, pd.DataFrame(held_out, columns=list(target.columns), index=frame.plot_id)


def make_artifact(profile: Profile, seed: int, folder: Path) -> None:
    """The reward model on PN ratings, as an artifact of the DAG: sentence heads, or the profile's backbone with LoRA."""
    size = profile.reward
    if size.backbone is None:
        train(profile, seed)[0].save_pretrained(folder)
        return
    own = examples(ratings.pn("plots"), development(size.premises))
    documents = [" ".join(d) for d in own.documents]
    settings = BackboneTraining(epochs=size.backbone_epochs, lora_rank=size.lora_rank, bf16=profile.device == "cuda")
    fit_backbone(size.backbone, documents, own.ratings, own.groups, settings, seed, folder / "checkpoints").save_pretrained(folder)


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
