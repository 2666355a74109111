"""From deviations to weights of pairs (2503.17126, section 3; algebra checked against the authors' code).

Within a prompt, each kind of deviation is put on u in [0, 1] by its minimum and maximum; g = u, or sqrt(u_semantic u_style) for
both; the weight is w = g / mean(g). So weights have mean 1 over the responses of a prompt, and the least deviant response gets 0:
with few responses per prompt many good winners are lost. A floor, a least u, restores them. (The authors' flag for that has no
effect: it clips a column that their loss never reads.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from plottwist.errors import PlotTwistError


def response_weights(*deviations: ArrayLike, floor: float = 0.0) -> NDArray[np.float64]:
    """Weights of one prompt's responses, mean 1; all 1 where no response deviates more than another.

    Args:
        deviations: one or more kinds, (responses,) each; several are joined by their geometric mean.
        floor: least u, 0 to 1; 1 gives every response the weight 1.

    Raises:
        PlotTwistError: a floor outside [0, 1], or deviations that are not finite or not of one length.
    """
    if not 0 <= floor <= 1:
        raise PlotTwistError(f"a weight floor of {floor} is not between 0 and 1")
    kinds = [np.asarray(kind, dtype=np.float64) for kind in deviations]
    if len({kind.shape for kind in kinds}) != 1 or kinds[0].ndim != 1 or not all(np.isfinite(kind).all() for kind in kinds):
        raise PlotTwistError("deviations must be finite and of one length: one number for each response of the prompt")
    g = np.prod([np.maximum(_scaled(kind), floor) for kind in kinds], axis=0) ** (1 / len(kinds))
    return g / g.mean() if g.any() else np.ones_like(g)


def pair_weights(pairs: Dataset, *deviations: Sequence[ArrayLike], floor: float = 0.0) -> NDArray[np.float64]:
    """The weight of each pair: that of its chosen response among all responses of its prompt.

    Args:
        pairs: with the columns ``premise_id`` and ``chosen_index``.
        deviations: as ``response_weights``, for each prompt, (prompts)(responses).
    """
    weights = [response_weights(*kinds, floor=floor) for kinds in zip(*deviations, strict=True)]
    return np.array([weights[prompt][response] for prompt, response in zip(pairs["premise_id"], pairs["chosen_index"], strict=True)])


def _scaled(deviation: NDArray) -> NDArray:
    """Min-max to [0, 1]; all 1 where the deviations are equal."""
    low, high = deviation.min(), deviation.max()
    return (deviation - low) / (high - low) if high > low else np.ones_like(deviation)
