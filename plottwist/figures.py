"""Every figure of the repository, each drawn from its stored table alone, in one style, without torch.

A figure ``NN_notebook.name`` reads ``tables/NN_notebook.name.csv`` of a results folder and returns a matplotlib Figure.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.style

if matplotlib.get_backend().lower() not in {"module://matplotlib_inline.backend_inline", "inline"}:
    matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.nqd import NAMES, NQDS

STYLE = Path(__file__).with_name("figures.mplstyle")
COLUMN = 6.4  # inches: readable at column width
PALETTE = dict(zip(NQDS, ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00"), strict=True))  # Okabe-Ito
GREY = "#8C8C8C"


def draw(figure_id: str, results: Path, out: Path) -> Figure:
    """Draw one figure from the tables of ``results`` and write ``<out>/<figure_id>.png``.

    Raises:
        PlotTwistError: no such figure, or its table has not been made.
    """
    if figure_id not in FIGURES:
        raise PlotTwistError(f"no figure '{figure_id}'; known: {', '.join(sorted(FIGURES))}")
    path = results / "tables" / f"{figure_id}.csv"
    if not path.is_file():
        raise PlotTwistError(f"figure '{figure_id}' needs the table {path}; run `plottwist reproduce --only {figure_id[:2]}` first")
    with matplotlib.style.context(STYLE):
        figure = FIGURES[figure_id](pd.read_csv(path))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    files.write_bytes(out / f"{figure_id}.png", buffer.getvalue())
    return figure


def available(results: Path) -> list[str]:
    """The figures whose tables stand in a results folder."""
    return [f for f in sorted(FIGURES) if (results / "tables" / f"{f}.csv").is_file()]


def level_against_score(table: pd.DataFrame) -> Figure:
    """00: the simulator's level of each NQD against the reader's score of the same text, one panel per NQD.

    Table: one row per plot and NQD: ``nqd, level (0-1), score (1-10)``.
    """
    figure, axes = _panels(len(NQDS), share_y=True)
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
    figure, (axis,) = _panels(1, height=2.9)
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


def interval_bars(axis: Axes, labels: list[str], values: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str | list[str]) -> None:
    """Points with their 95% intervals, one row each, first row on top."""
    rows = np.arange(len(labels))[::-1]
    axis.hlines(rows, low, high, color=colour, linewidth=1.6)
    axis.scatter(values, rows, color=colour, zorder=3)
    axis.set_yticks(rows, labels)
    axis.set_ylim(-0.6, len(labels) - 0.4)


def _panels(n: int, share_y: bool = False, height: float = 2.3) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    return figure, figure.subplots(1, n, sharey=share_y, squeeze=False)[0]


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "00_quickstart.levels": level_against_score,
    "00_quickstart.rho": level_score_matrix,
}
