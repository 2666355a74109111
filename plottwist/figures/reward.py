"""Figures of 01_reward_model and 05_acclaimed_vs_panned."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, dodged, interval_bars, panels
from plottwist.nqd import NAMES, NQDS


def discrimination(table: pd.DataFrame) -> Figure:
    """01: share of premises in which the strong plot beats the weak one, direct against PN.

    Table: ``nqd (or overall), value, low, high, n, protocol``.
    """
    figure, (axis,) = panels(1, height=2.6)
    names = [*NQDS, "overall"]
    dodged(axis, table, "nqd", names, "protocol", {"direct": GREY, "PN": PALETTE["character"]})
    axis.set_yticks(range(len(names)), [NAMES.get(n, "strong against all-weak") for n in reversed(names)])
    axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="share of premises in which strong beats weak (95% CI; dashed: chance)", xlim=(0.45, 1.02))
    return figure


def variant_matrix(table: pd.DataFrame) -> Figure:
    """01: mean relative score of each kind of plot (rows) on each dimension (columns). Table: ``variant, nqd, value``."""
    order = ["strong", *(f"weak_{n}" for n in NQDS), "weak_all"]
    matrix = table.pivot(index="variant", columns="nqd", values="value").loc[order, list(NQDS)]
    figure, (axis,) = panels(1, height=3.0)
    limit = float(np.abs(matrix.to_numpy()).max())
    image = axis.imshow(matrix, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_xticks(range(len(NQDS)), [NAMES[n].replace(" ", "\n", 1) for n in NQDS])
    axis.set_yticks(range(len(order)), ["strong", *(f"weak: {NAMES[n]}" for n in NQDS), "weak on all"])
    axis.grid(False)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        axis.text(column, row, f"{value:+.1f}", ha="center", va="center", color="white" if abs(value) > 0.6 * limit else "black")
    figure.colorbar(image, ax=axis, label="score relative to the mean", shrink=0.9)
    return figure


def ablations(table: pd.DataFrame) -> Figure:
    """01: the reward model and its ablations, one panel per measure. Table: ``model, measure, value, low, high, n``."""
    measures = list(dict.fromkeys(table.measure))
    models = list(dict.fromkeys(table.model))
    figure, axes = panels(len(measures), share_y=True, height=2.4)
    for axis, measure in zip(axes, measures, strict=True):
        rows = table[table.measure == measure].set_index("model").loc[models]
        colours = [PALETTE["character"] if m == models[0] else GREY for m in models]
        interval_bars(axis, models, rows.value.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours)
        axis.set_title(measure)
    return figure


def robustness(table: pd.DataFrame) -> Figure:
    """01: how far neutral changes move a score, beside a rater's own test-retest difference. Table: ``change, value, low, high``."""
    figure, (axis,) = panels(1, height=1.7)
    colours = [GREY, *[PALETTE["character"]] * (len(table) - 1)]
    interval_bars(axis, list(table.change), table.value.to_numpy(), table.low.to_numpy(), table.high.to_numpy(), colours)
    axis.set(xlabel="mean absolute change of a score (points of the 1-10 scale, 95% CI)", xlim=(0, None))
    return figure


def damage(table: pd.DataFrame) -> Figure:
    """01: share of real stories whose damaged version scores below its control. Table: ``kind, judge, value, low, high, n``."""
    kinds = list(dict.fromkeys(table.kind))
    figure, (axis,) = panels(1, height=2.4)
    dodged(axis, table, "kind", kinds, "judge", {"reward model": PALETTE["character"], "fewer words": GREY})
    axis.set_yticks(range(len(kinds)), list(reversed(kinds)))
    axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="share of stories in which damage is seen (95% CI; dashed: chance)", xlim=(0.0, 1.02))
    return figure


def people(table: pd.DataFrame) -> Figure:
    """01: agreement with people on five third-party sets, zero-shot beside its rivals. Table: ``set, judge, value, low, high, n``."""
    sets = list(dict.fromkeys(table.set))
    judges = list(dict.fromkeys(table.judge))
    colours = dict(zip(judges, (PALETTE["character"], "black", GREY, "#56B4E9"), strict=False))
    figure, (axis,) = panels(1, height=3.2)
    dodged(axis, table, "set", sets, "judge", colours)
    axis.set_yticks(range(len(sets)), [s.replace("_", " ") for s in reversed(sets)])
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="agreement with people (rank correlation, 95% CI; dashed: chance)")
    return figure


def list_differences(table: pd.DataFrame) -> Figure:
    """05: acclaimed minus panned, per dimension and overall, by every judge. Table: ``source, nqd, difference, low, high, ...``."""
    sources = list(dict.fromkeys(table.source))
    names = [*NQDS, "overall"]
    figure, axes = panels(len(sources), share_y=True, share_x=True, height=2.4)
    for axis, source in zip(axes, sources, strict=True):
        rows = table[table.source == source].set_index("nqd").loc[names]
        colours = [*(PALETTE[n] for n in NQDS), "black"]
        interval_bars(
            axis, [NAMES.get(n, "Overall") for n in names], rows.difference.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours
        )
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.axvline(1.15, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(source)
    figure.supxlabel("acclaimed minus panned, points of the 1-10 scale (95% CI; dashed: the paper's +1.15)")
    return figure


def film_judges(table: pd.DataFrame) -> Figure:
    """05: judges of third-party film plots on test films, three panels. Table: ``judge, where, value, low, high, n``."""
    titles = {"all": "all test films, AUC", "controls": "length, year, genre\nheld fixed, AUC", "matched": "matched pairs,\nshare right"}
    judges = list(dict.fromkeys(table.judge))
    figure, axes = panels(len(titles), share_y=True, height=2.4)
    for axis, (where, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["where"] == where].set_index("judge").reindex(judges)
        colours = [PALETTE["character"] if "zero-shot" in j else GREY for j in judges]
        interval_bars(axis, judges, rows.value.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours)
        axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
        axis.set(title=title, xlim=(0.2, 1.0))
    return figure


FIGURES = {
    "01_reward_model.discrimination": discrimination,
    "01_reward_model.variants": variant_matrix,
    "01_reward_model.ablations": ablations,
    "01_reward_model.robustness": robustness,
    "01_reward_model.damage": damage,
    "01_reward_model.people": people,
    "05_acclaimed_vs_panned.lists": list_differences,
    "05_acclaimed_vs_panned.public": film_judges,
}
