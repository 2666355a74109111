"""What the figures share: palette, panels, points with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plottwist.nqd import NQDS

COLUMN = 6.4  # inches: readable at column width
PALETTE = dict(zip(NQDS, ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00"), strict=True))  # Okabe-Ito
GREY = "#8C8C8C"


def dodged(axis: Axes, table: pd.DataFrame, row: str, rows: list[str], series: str, colours: dict[str, str]) -> None:
    """Points with intervals, several series a row, side by side, with a legend; first row on top."""
    offsets = np.linspace(0.25, -0.25, len(colours))
    for (name, colour), offset in zip(colours.items(), offsets, strict=True):
        own = table[table[series] == name].set_index(row).loc[rows]
        at = np.arange(len(rows))[::-1] + offset
        axis.hlines(at, own.low, own.high, color=colour, linewidth=1.6)
        axis.scatter(own.value, at, color=colour, label=name, zorder=3)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(colours), columnspacing=1.0, handletextpad=0.2)


def interval_bars(axis: Axes, labels: list[str], values: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str | list[str]) -> None:
    """Points with their 95% intervals, one row each, first row on top."""
    rows = np.arange(len(labels))[::-1]
    axis.hlines(rows, low, high, color=colour, linewidth=1.6)
    axis.scatter(values, rows, color=colour, zorder=3)
    axis.set_yticks(rows, labels)
    axis.set_ylim(-0.6, len(labels) - 0.4)


def panels(n: int, share_y: bool = False, share_x: bool = False, height: float = 2.3) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    return figure, figure.subplots(1, n, sharex=share_x, sharey=share_y, squeeze=False)[0]
