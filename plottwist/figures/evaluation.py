"""Figures of 03_agentic_evaluation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, dodged, interval_bars, panels
from plottwist.nqd import NAMES, NQDS

COLOURS = {"recorded panel": PALETTE["character"], "analytic panel": PALETTE["pacing"], "reward model": GREY, "length": "#BBBBBB"}
CHANCE = 1 / 7


def gold(table: pd.DataFrame) -> Figure:
    """Agreement with the Storyworld gold, per dimension and overall, by judge. Table: ``judge, nqd, value, low, high, n``."""
    figure, (axis,) = panels(1, height=3.2)
    _by_nqd(axis, table, [*NQDS, "overall"])
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.axvline(0.6, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="Spearman's rho with gold (95% CI; dashed: the aim, 0.6)")
    return figure


def weakness(table: pd.DataFrame) -> Figure:
    """How often the critic of the weak dimension ranks its plot lowest of seven. Table: ``judge, nqd, value, low, high, n``."""
    figure, (axis,) = panels(1, height=3.0)
    _by_nqd(axis, table, [*NQDS, "all"])
    axis.axvline(CHANCE, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="share of premises where the weak plot ranks lowest (95% CI; dashed: chance)", xlim=(-0.02, 1.02))
    return figure


def ceiling(table: pd.DataFrame) -> Figure:
    """Where the overall scores lie, by judge and kind of plot. Table: ``judge, kind, score``, one row a plot."""
    judges, kinds = list(dict.fromkeys(table.judge)), ["strong", "one weak", "all weak"]
    figure, axes = panels(len(judges), share_x=True, height=2.3)
    bins = np.arange(1, 10.5, 0.5)
    for axis, judge in zip(axes, judges, strict=True):
        for kind, colour in zip(kinds, (PALETTE["tone"], GREY, PALETTE["emotion"]), strict=True):
            own = table[(table.judge == judge) & (table.kind == kind)].score
            axis.hist(own, bins=bins, density=True, histtype="step", linewidth=1.6, color=colour, label=kind)
        axis.axvspan(7.8, 9.0, color=GREY, alpha=0.2, linewidth=0)
        axis.set(title=judge, xlim=(1, 10), yticks=[])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    figure.supxlabel("overall score of a plot (grey: where all systems of the paper's table lie)")
    return figure


def shifts(table: pd.DataFrame) -> Figure:
    """How far changes that leave the story alone move the scores, by judge. Table: ``judge, change, measure, value, low, high, n``."""
    figure, axes = panels(2, share_y=True, height=2.6)
    for axis, measure in zip(axes, ("signed", "absolute"), strict=True):
        rows = table[table.measure == measure]
        labels = [f"{row.change}, {row.judge.split()[0]}" for row in rows.itertuples()]
        colours = [COLOURS[j] for j in rows.judge]
        interval_bars(axis, labels, rows.value.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set(title={"signed": "mean change", "absolute": "mean absolute change"}[measure])
    figure.supxlabel("points of the 1-10 scale (95% CI)")
    return figure


def people(table: pd.DataFrame) -> Figure:
    """Agreement with people beside length. Table: ``set, judge, value, low, high, n``."""
    sets = list(dict.fromkeys(table.set))
    figure, (axis,) = panels(1, height=3.0)
    dodged(axis, table, "set", sets, "judge", {j: c for j, c in COLOURS.items() if j in set(table.judge)})
    axis.set_yticks(range(len(sets)), [s.replace("_", " ") for s in reversed(sets)])
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="agreement with people (rank correlation, 95% CI; dashed: chance)")
    return figure


def _by_nqd(axis: Axes, table: pd.DataFrame, rows: list[str]) -> None:
    dodged(axis, table, "nqd", rows, "judge", {j: c for j, c in COLOURS.items() if j in set(table.judge)})
    axis.set_yticks(range(len(rows)), [NAMES.get(n, "Mean of the five" if n == "overall" else "All dimensions") for n in reversed(rows)])


FIGURES = {
    "03_agentic_evaluation.gold": gold,
    "03_agentic_evaluation.weakness": weakness,
    "03_agentic_evaluation.ceiling": ceiling,
    "03_agentic_evaluation.shifts": shifts,
    "03_agentic_evaluation.people": people,
}
