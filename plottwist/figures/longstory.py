"""Figures of 04_longstory_ablations."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, interval_bars, panels

OURS = PALETTE["character"]
_COLOURS = (OURS, PALETTE["emotion"], PALETTE["coherence"], PALETTE["tone"])
CONTEXTS = {"beta": ("Memory", PALETTE["character"]), "gamma": ("Cheating", PALETTE["pacing"])}


def models(table: pd.DataFrame) -> Figure:
    """Models (rows) on several measures (panels). Table: ``model, measure, value, low, high``."""
    measures, rows = list(dict.fromkeys(table.measure)), list(dict.fromkeys(table.model))
    figure, axes = panels(len(measures), share_y=True, height=0.8 + 0.24 * len(rows))
    for axis, measure in zip(axes, measures, strict=True):
        own = table[table.measure == measure].set_index("model").loc[rows]
        colours = [OURS if name == "LongStory" else GREY for name in rows]
        interval_bars(axis, rows, own.value.to_numpy(), own.low.to_numpy(), own.high.to_numpy(), colours)
        axis.set_title(measure.replace(", ", ",\n"))
        axis.locator_params(axis="x", nbins=3)
    return figure


def differences(table: pd.DataFrame) -> Figure:
    """Variants less LongStory on several measures, with a line at no difference. Table as in ``models``."""
    figure = models(table)
    for axis in figure.axes:
        axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    return figure


def listening(table: pd.DataFrame) -> Figure:
    """The calibrator's weights, paragraph by paragraph of one story. Table: ``paragraph, beta, gamma``."""
    figure, axes = panels(2, height=1.9)
    for axis, (column, (name, colour)) in zip(axes, CONTEXTS.items(), strict=True):
        axis.plot(table.paragraph, table[column], color=colour, marker="o", markersize=4)
        axis.set(title=f"weight of {name}", xlabel="paragraph", ylim=(0, 0.5))  # the two share one half: no zoom on noise
    return figure


def calibrator(table: pd.DataFrame) -> Figure:
    """Mean weight of each context by part of the story. Table: ``part, context, value, low, high`` (context: beta, gamma)."""
    parts = list(dict.fromkeys(table.part))
    figure, axes = panels(2, height=1.9)
    for axis, (column, (name, colour)) in zip(axes, CONTEXTS.items(), strict=True):
        own = table[table.context == column].set_index("part").loc[parts]
        axis.vlines(range(len(parts)), own.low, own.high, color=colour, linewidth=1.6)
        axis.scatter(range(len(parts)), own.value, color=colour, zorder=3)
        axis.set_xticks(range(len(parts)), [p.replace(" ", "\n", 1) for p in parts])
        axis.set(title=f"weight of {name} (95% CI)", ylim=(0, 0.5))
        axis.margins(x=0.15)
    return figure


def weights(table: pd.DataFrame) -> Figure:
    """Loss a token against Memory's share of the contexts' half, by part of the story, less that of the calibrator's own weights.

    Table: ``part, memory_weight, value, low, high``; the row with the part ``own`` has the calibrator's mean weight of Memory.
    """
    figure, (axis,) = panels(1, height=2.4)
    told = table[table.part != "own"]
    for (part, own), colour in zip(told.groupby("part", sort=False), _COLOURS, strict=False):
        axis.plot(own.memory_weight, own.value, color=colour, marker="o", markersize=4, label=part)
        axis.fill_between(own.memory_weight, own.low, own.high, color=colour, alpha=0.2, linewidth=0)
    axis.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.axvline(table[table.part == "own"].memory_weight.item(), color=GREY, linewidth=0.8, linestyle=":")
    axis.annotate("the calibrator's", (table[table.part == "own"].memory_weight.item(), 0.97), xycoords=("data", "axes fraction"),
                  xytext=(3, 0), textcoords="offset points", va="top", color=GREY)  # fmt: skip
    axis.set(xlabel="weight of Memory (Cheating has the rest of one half)", ylabel="loss a token less the\ncalibrator's (nats, 95% CI)")
    axis.legend(loc="upper center")
    return figure


def lengths(table: pd.DataFrame) -> Figure:
    """Measures against the number of paragraphs asked for. Table: ``model, measure, paragraphs, value, low, high``."""
    measures, names = list(dict.fromkeys(table.measure)), list(dict.fromkeys(table.model))
    figure, axes = panels(len(measures), height=2.4)
    for axis, measure in zip(axes, measures, strict=True):
        for i, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
            own = table[(table.measure == measure) & (table.model == name)]
            at = own.paragraphs + i - (len(names) - 1) / 2
            axis.plot(at, own.value, color=colour, marker="o", markersize=3, label=name)
            axis.vlines(at, own.low, own.high, color=colour, linewidth=1.2)
        axis.set(title=measure, xlabel="paragraphs asked for")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names))
    return figure


def cost(table: pd.DataFrame) -> Figure:
    """Time of a paragraph against its place in a long story. Table: ``model, paragraph, value, low, high`` (milliseconds)."""
    figure, (axis,) = panels(1, height=2.2)
    for (name, own), colour in zip(table.groupby("model", sort=False), _COLOURS, strict=False):
        axis.plot(own.paragraph, own.value, color=colour, marker="o", markersize=4, label=name)
        axis.fill_between(own.paragraph, own.low, own.high, color=colour, alpha=0.2, linewidth=0)
    axis.set(xlabel="paragraph of the story", ylabel="ms a paragraph", ylim=(0, None))
    axis.legend(loc="upper left")
    return figure


FIGURES = {
    "04_longstory_ablations.listening": listening,
    "04_longstory_ablations.main": models,
    "04_longstory_ablations.gold": models,
    "04_longstory_ablations.ablations": differences,
    "04_longstory_ablations.calibrator": calibrator,
    "04_longstory_ablations.weights": weights,
    "04_longstory_ablations.lengths": lengths,
    "04_longstory_ablations.cost": cost,
}
