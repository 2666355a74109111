"""Figures of notebook 06: quality against diversity, and what the number of responses and a weight floor do."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, interval_bars, panels

_COLOURS = dict(zip(("DPO", "DDPO", "ORPO", "DORPO", "DivPO"), PALETTE.values(), strict=True))
_MARKS = {"both": "o", "both with floor": "P", "semantic": "^", "style": "s"}
_LABELS = {"gold": "gold quality (1-10)", "semantic": "semantic diversity", "style": "style diversity"}


def front(table: pd.DataFrame) -> Figure:
    """06: gold quality against diversity, one panel per kind, 95% CIs over premises; the dashed line is the training text's diversity.

    Table: ``method, measure (gold, semantic, style), value, low, high, n``; the method ``training text`` gives the line.
    """
    figure, axes = panels(2, share_y=True, height=3.4)
    wide = table.set_index(["measure", "method"])
    for axis, kind in zip(axes, ("semantic", "style"), strict=True):
        for name in [m for m in dict.fromkeys(table.method) if m != "training text"]:
            x, y = wide.loc[(kind, name)], wide.loc[("gold", name)]
            colour, mark = _COLOURS.get(name.split("-")[0], GREY), _MARKS.get(name.partition("-")[2], "D")
            axis.errorbar(
                x.value, y.value, [[y.value - y.low], [y.high - y.value]], [[x.value - x.low], [x.high - x.value]],
                fmt=mark, color=colour, markersize=5, elinewidth=0.8, label=name,
            )  # fmt: skip
        axis.axvline(wide.loc[(kind, "training text")].value, color=GREY, linewidth=0.8, linestyle="--", label="training text")
        axis.set(xlabel=f"{_LABELS[kind]} (mean pairwise distance)")
    axes[0].set(ylabel=_LABELS["gold"])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, columnspacing=1.0, handletextpad=0.2)
    return figure


def few(table: pd.DataFrame) -> Figure:
    """06: learning from so many responses a premise, against DPO on the same ones, one panel per measure.

    Table: ``method, measure, value, low, high, n``, values as differences to DPO with as many responses.
    """
    figure, axes = panels(3, share_y=True, height=0.9 + 0.33 * table.method.nunique())
    for axis, measure in zip(axes, _LABELS, strict=True):
        rows = table[table.measure == measure]
        colours = [PALETTE["coherence"] if "floor" in m else PALETTE["tone"] for m in rows.method]
        interval_bars(axis, list(rows.method), rows.value.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours)
        axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(_LABELS[measure].replace(" (1-10)", ""))
        axis.locator_params(axis="x", nbins=3)
    figure.supxlabel("difference to DPO on the same responses (95% CI)")
    return figure


FIGURES = {"06_diverse_post_training.front": front, "06_diverse_post_training.few": few}
