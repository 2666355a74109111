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


def discrimination(table: pd.DataFrame) -> Figure:
    """01: share of premises in which the strong plot beats the weak one, direct against PN.

    Table: ``nqd (or overall), value, low, high, n, protocol``.
    """
    figure, (axis,) = _panels(1, height=2.6)
    names = [*NQDS, "overall"]
    _dodged(axis, table, "nqd", names, "protocol", {"direct": GREY, "PN": PALETTE["character"]})
    axis.set_yticks(range(len(names)), [NAMES.get(n, "strong against all-weak") for n in reversed(names)])
    axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="share of premises in which strong beats weak (95% CI; dashed: chance)", xlim=(0.45, 1.02))
    return figure


def variant_matrix(table: pd.DataFrame) -> Figure:
    """01: mean relative score of each kind of plot (rows) on each dimension (columns). Table: ``variant, nqd, value``."""
    order = ["strong", *(f"weak_{n}" for n in NQDS), "weak_all"]
    matrix = table.pivot(index="variant", columns="nqd", values="value").loc[order, list(NQDS)]
    figure, (axis,) = _panels(1, height=3.0)
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
    figure, axes = _panels(len(measures), share_y=True, height=2.4)
    for axis, measure in zip(axes, measures, strict=True):
        rows = table[table.measure == measure].set_index("model").loc[models]
        low, high = rows.low.fillna(rows.value), rows.high.fillna(rows.value)
        colours = [PALETTE["character"] if m == "full model" else GREY for m in models]
        interval_bars(axis, models, rows.value.to_numpy(), low.to_numpy(), high.to_numpy(), colours)
        axis.set_title(measure)
    return figure


def robustness(table: pd.DataFrame) -> Figure:
    """01: how far neutral changes move a score, beside a rater's own test-retest difference. Table: ``change, value, low, high``."""
    figure, (axis,) = _panels(1, height=1.7)
    colours = [GREY, *[PALETTE["character"]] * (len(table) - 1)]
    interval_bars(axis, list(table.change), table.value.to_numpy(), table.low.to_numpy(), table.high.to_numpy(), colours)
    axis.set(xlabel="mean absolute change of a score (points of the 1-10 scale, 95% CI)", xlim=(0, None))
    return figure


def damage(table: pd.DataFrame) -> Figure:
    """01: share of real stories whose damaged version scores below its control. Table: ``kind, judge, value, low, high, n``."""
    kinds = list(dict.fromkeys(table.kind))
    figure, (axis,) = _panels(1, height=2.4)
    _dodged(axis, table, "kind", kinds, "judge", {"reward model": PALETTE["character"], "fewer words": GREY})
    axis.set_yticks(range(len(kinds)), list(reversed(kinds)))
    axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="share of stories in which damage is seen (95% CI; dashed: chance)", xlim=(0.0, 1.02))
    return figure


def people(table: pd.DataFrame) -> Figure:
    """01: agreement with people on five third-party sets, zero-shot beside its rivals. Table: ``set, judge, value, low, high, n``."""
    sets = list(dict.fromkeys(table.set))
    judges = list(dict.fromkeys(table.judge))
    colours = dict(zip(judges, (PALETTE["character"], "black", GREY, "#56B4E9"), strict=False))
    figure, (axis,) = _panels(1, height=3.2)
    _dodged(axis, table, "set", sets, "judge", colours)
    axis.set_yticks(range(len(sets)), [s.replace("_", " ") for s in reversed(sets)])
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="agreement with people (rank correlation, 95% CI; dashed: chance)")
    return figure


def list_differences(table: pd.DataFrame) -> Figure:
    """05: acclaimed minus panned, per dimension and overall, by every judge. Table: ``source, nqd, difference, low, high, ...``."""
    sources = list(dict.fromkeys(table.source))
    names = [*NQDS, "overall"]
    figure, axes = _panels(len(sources), share_y=True, share_x=True, height=2.4)
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
    figure, axes = _panels(len(titles), share_y=True, height=2.4)
    for axis, (where, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["where"] == where].set_index("judge").reindex(judges)
        colours = [PALETTE["character"] if "zero-shot" in j else GREY for j in judges]
        interval_bars(axis, judges, rows.value.to_numpy(), rows.low.to_numpy(), rows.high.to_numpy(), colours)
        axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle="--")
        axis.set(title=title, xlim=(0.2, 1.0))
    return figure


def _dodged(axis: Axes, table: pd.DataFrame, row: str, rows: list[str], series: str, colours: dict[str, str]) -> None:
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


def _panels(n: int, share_y: bool = False, share_x: bool = False, height: float = 2.3) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    return figure, figure.subplots(1, n, sharex=share_x, sharey=share_y, squeeze=False)[0]


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "00_quickstart.levels": level_against_score,
    "00_quickstart.rho": level_score_matrix,
    "01_reward_model.discrimination": discrimination,
    "01_reward_model.variants": variant_matrix,
    "01_reward_model.ablations": ablations,
    "01_reward_model.robustness": robustness,
    "01_reward_model.damage": damage,
    "01_reward_model.people": people,
    "05_acclaimed_vs_panned.lists": list_differences,
    "05_acclaimed_vs_panned.public": film_judges,
}
