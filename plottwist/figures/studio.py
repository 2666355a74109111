"""Figures of 07_refine_and_explain, and the two pictures of the studio page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import COLUMN, GREY, PALETTE, dodged, interval_bars, panels
from plottwist.nqd import NAMES, NQDS

BANDS = ("poor", "middling", "strong")
_COLOURS = {"poor": "#D55E00", "middling": "#E69F00", "strong": "#0072B2"}


def adaptive(table: pd.DataFrame) -> Figure:
    """07: share of words rewritten against the *gold* reading of the draft. The rater's band, which decided, is the colour.

    Table: ``gold_before, share, band``, a row a draft.
    """
    figure, (axis,) = panels(1, height=2.8)
    for band in BANDS:
        own = table[table.band == band]
        axis.scatter(own.gold_before, own.share, s=16, color=_COLOURS[band], alpha=0.7, label=band, linewidths=0)
    axis.legend(title="band by the rater", loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set(xlabel="gold reading of the draft (1-10)", ylabel="share of words rewritten", ylim=(-0.03, 1.03))
    return figure


def gains(table: pd.DataFrame) -> Figure:
    """07: gain in points (1-10) by band, gold and jury. Table: ``band, judge, value, low, high, n``."""
    figure, (axis,) = panels(1, height=2.4)
    dodged(axis, table, "band", list(BANDS), "judge", {"gold": PALETTE["character"], "jury": GREY})
    axis.set_yticks(range(len(BANDS)), list(reversed(BANDS)))
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="new version minus draft, points on 1-10 (95% CI)", ylabel="band of the draft")
    return figure


def methods(table: pd.DataFrame) -> Figure:
    """07: facts told truly and main facts told, by way of fine-tuning. Table: ``method, measure, value, low, high, n``."""
    names = list(dict.fromkeys(table.method))
    figure, (axis,) = panels(1, height=2.4)
    measures = list(dict.fromkeys(table.measure))
    dodged(axis, table, "method", names, "measure", dict(zip(measures, (PALETTE["character"], PALETTE["emotion"]), strict=True)))
    axis.set_yticks(range(len(names)), list(reversed(names)))
    axis.set(xlabel="share of facts (95% CI)", xlim=(-0.02, 1.02))
    return figure


def turning_points(table: pd.DataFrame) -> Figure:
    """07, public: distance to the annotated turning point, by way of finding it. Table: ``way, value, low, high, n``."""
    figure, (axis,) = panels(1, height=2.2)
    interval_bars(
        axis, list(table.way), 100 * table.value.to_numpy(), 100 * table.low.to_numpy(), 100 * table.high.to_numpy(), PALETTE["character"]
    )
    axis.set(xlabel="distance to the annotated sentence, % of the synopsis (95% CI)")
    return figure


def radar(scores: pd.DataFrame) -> Figure:
    """The page: plots on the five NQDs. One row a plot, columns ``label`` and the five scores (1-10)."""
    figure = Figure(figsize=(COLUMN, COLUMN * 0.6))
    axis = figure.add_axes((0.2, 0.16, 0.45, 0.7), projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(NQDS), endpoint=False)
    colours = [*PALETTE.values()]
    for colour, (_, row) in zip(colours * (1 + len(scores) // len(colours)), scores.iterrows(), strict=False):
        values = row[list(NQDS)].to_numpy(dtype=float)
        axis.plot([*angles, angles[0]], [*values, values[0]], color=colour, label=row.label)
        axis.fill(angles, values, color=colour, alpha=0.08)
    axis.set_xticks(angles, [NAMES[name].replace(" ", "\n", 1) for name in NQDS])
    axis.set_yticks([1, 4, 7, 10])
    axis.set_ylim(0, 10)
    axis.legend(loc="upper left", bbox_to_anchor=(1.3, 1.1))
    axis.tick_params(axis="x", pad=14)
    return figure


def arc(table: pd.DataFrame) -> Figure:
    """The page: feeling through the story, turning points marked. Table: ``valence, turning_point`` ("" for none), a row a sentence."""
    figure, (axis,) = panels(1, height=2.3)
    places = np.arange(1, len(table) + 1)
    axis.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.plot(places, table.valence, color=PALETTE["character"])
    turns = table.turning_point.fillna("").to_numpy() != ""
    axis.scatter(places[turns], table.valence[turns], color=PALETTE["emotion"], zorder=3, s=24)
    span = float(table.valence.max() - table.valence.min()) or 1.0
    for k, i in enumerate(np.flatnonzero(turns)):
        at = float(table.valence.iloc[i]) + (0.12 if k % 2 == 0 else -0.16) * span
        axis.text(places[i], at, table.turning_point.iloc[i], ha="center", va="center", fontsize=7)
    axis.margins(x=0.06, y=0.25)
    axis.set(xlabel="sentence", ylabel="feeling (VADER, smoothed)")
    return figure


FIGURES = {
    "07_refine_and_explain.adaptive": adaptive,
    "07_refine_and_explain.gains": gains,
    "07_refine_and_explain.methods": methods,
    "07_refine_and_explain.turning_points": turning_points,
}
