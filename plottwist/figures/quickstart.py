"""Figures of 00_quickstart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, panels
from plottwist.nqd import NAMES, NQDS


def level_against_score(table: pd.DataFrame) -> Figure:
    """00: the simulator's level of each NQD against the reader's score of the same text, one panel per NQD.

    Table: one row per plot and NQD: ``nqd, level (0-1), score (1-10)``.
    """
    figure, axes = panels(len(NQDS), share_y=True)
    for axis, name in zip(axes, NQDS, strict=True):
        rows = table[table.nqd == name]
        axis.scatter(rows.level, rows.score, s=5, alpha=0.25, color=PALETTE[name], linewidths=0)
        axis.plot([0, 1], [1, 10], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        axis.set_title(NAMES[name].replace(" ", "\n", 1))
        axis.set_xticks([0, 0.5, 1])
    axes[0].set(ylabel="reader's score (1-10)", yticks=range(1, 11, 3))
    figure.supxlabel("level given to the simulator (0-1)")
    return figure


def level_score_matrix(table: pd.DataFrame) -> Figure:
    """00: Spearman's rho between every level (rows) and every score (columns). Table: ``level, score, rho``."""
    matrix = table.pivot(index="level", columns="score", values="rho").loc[list(NQDS), list(NQDS)]
    figure, (axis,) = panels(1, height=2.9)
    image = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    labels = [NAMES[name].replace(" ", "\n", 1) for name in NQDS]
    axis.set_xticks(range(len(NQDS)), labels)
    axis.set_yticks(range(len(NQDS)), labels)
    axis.set(xlabel="reader's score", ylabel="simulator's level")
    axis.grid(False)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    figure.colorbar(image, ax=axis, label="Spearman's rho", shrink=0.9)
    return figure


FIGURES = {
    "00_quickstart.levels": level_against_score,
    "00_quickstart.rho": level_score_matrix,
}
