"""Figures of 02_dpo_generator."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from plottwist.figures.parts import GREY, PALETTE, dodged, interval_bars, panels
from plottwist.nqd import NAMES, NQDS

_SYSTEMS = {
    "SFT": GREY,
    "plan-write-critique": PALETTE["pacing"],
    "best-of-n": PALETTE["tone"],
    "DPO": PALETTE["character"],
    "all strong": PALETTE["emotion"],
}


def losses(table: pd.DataFrame) -> Figure:
    """Fine-tuning: loss per token of the training batches and of held-out stories. Table: ``step, loss, eval_loss``."""
    figure, (axis,) = panels(1, height=2.0)
    trained, held_out = table.dropna(subset="loss"), table.dropna(subset="eval_loss")
    axis.plot(trained.step, trained.loss, color=GREY, linewidth=0.7, label="training batch")
    axis.plot(held_out.step, held_out.eval_loss, color=PALETTE["character"], marker="o", markersize=3, label="held-out stories")
    axis.set(xlabel="update", ylabel="nats per token")
    axis.legend()
    return figure


def systems(table: pd.DataFrame) -> Figure:
    """Gold score of each system on each NQD. Table: ``nqd (or overall), system, value, low, high``."""
    figure, (axis,) = panels(1, height=3.6)
    names = [*NQDS, "overall"]
    shown = {name: colour for name, colour in _SYSTEMS.items() if name in set(table.system)}
    dodged(axis, table, "nqd", names, "system", shown)
    axis.set_yticks(range(len(names)), [NAMES.get(n, "mean of five") for n in reversed(names)])
    axis.set(xlabel="score by the gold reader (95% CI)")
    return figure


def optimisation(table: pd.DataFrame) -> Figure:
    """Proxy against gold as the proxy is pushed: best of n, and rounds of DPO.

    Table: ``method, push``, and of ``proxy`` and ``gold`` value, ``_low`` and ``_high``; in points gained over one plot of the
    fine-tuned model.
    """
    methods = list(dict.fromkeys(table.method))
    figure, axes = panels(len(methods), share_y=True, height=2.4)
    for axis, method in zip(axes, methods, strict=True):
        own = table[table.method == method]
        places = range(len(own))
        for reader, colour, marker, label in (
            ("proxy", GREY, "s", "reward model (optimised)"),
            ("gold", PALETTE["character"], "o", "gold reader"),
        ):
            axis.plot(places, own[reader], color=colour, marker=marker, markersize=3, label=label)
            axis.fill_between(places, own[f"{reader}_low"], own[f"{reader}_high"], color=colour, alpha=0.2, linewidth=0)
        axis.set_xticks(places, own.push.astype(str))
        axis.axhline(0, color=GREY, linewidth=0.8, linestyle="--")
        axis.set(xlabel=method)
    axes[0].set(ylabel="points gained")
    axes[0].legend(loc="upper left")
    return figure


def ablations(table: pd.DataFrame) -> Figure:
    """Gain over SFT by gold of each way to choose pairs and to train. Table: ``family, setting, value, low, high``."""
    figure, (axis,) = panels(1, height=0.6 + 0.24 * len(table))
    families = list(dict.fromkeys(table.family))
    colours = dict(zip(families, PALETTE.values(), strict=False))
    labels = [f"{family}: {setting}" for family, setting in zip(table.family, table.setting, strict=True)]
    interval_bars(axis, labels, table.value.to_numpy(), table.low.to_numpy(), table.high.to_numpy(), [colours[f] for f in table.family])
    axis.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(xlabel="gain over SFT by the gold reader (95% CI)")
    return figure


def size(table: pd.DataFrame) -> Figure:
    """The size claim: each model before and after DPO. Table: ``model, stage, value, low, high``."""
    figure, (axis,) = panels(1, height=2.2)
    models = list(dict.fromkeys(table.model))
    dodged(axis, table, "model", models, "stage", {"SFT": GREY, "DPO": PALETTE["character"]})
    axis.set_yticks(range(len(models)), list(reversed(models)))
    axis.set(xlabel="score by the gold reader (95% CI)")
    return figure


def experts(table: pd.DataFrame) -> Figure:
    """Share of the router's choices per expert and layer. Table: ``layer, expert, share``."""
    figure, (axis,) = panels(1, height=1.8)
    matrix = table.pivot(index="layer", columns="expert", values="share")
    image = axis.imshow(matrix, cmap="Blues", vmin=0, aspect="auto")
    axis.set_xticks(range(matrix.shape[1]), matrix.columns)
    axis.set_yticks(range(matrix.shape[0]), matrix.index)
    axis.set(xlabel="expert", ylabel="layer")
    axis.grid(False)
    figure.colorbar(image, ax=axis, label="share of choices")
    return figure


FIGURES = {
    f"02_dpo_generator.{name}": draw
    for name, draw in {
        "losses": losses,
        "systems": systems,
        "optimisation": optimisation,
        "ablations": ablations,
        "size": size,
        "experts": experts,
    }.items()
}
