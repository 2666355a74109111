"""Figures of 09_claims."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plottwist.figures.parts import GREY, panels

STATUSES = {"reproduced": "#009E73", "partly": "#E69F00", "not reproduced": "#D55E00", "not run": "#D9D9D9"}


def verdicts(table: pd.DataFrame) -> Figure:
    """09: how many claims of each paper were reproduced, partly, not, or not run. Table: ``paper, status, claims``."""
    papers = sorted(dict.fromkeys(table.paper), key=lambda paper: paper == "this repository")  # the papers first
    counts = table.pivot_table(index="paper", columns="status", values="claims", aggfunc="sum", fill_value=0).reindex(
        index=papers, columns=list(STATUSES), fill_value=0
    )
    figure, (axis,) = panels(1, height=0.9 + 0.45 * len(papers))
    start = pd.Series(0, index=papers)
    for status, colour in STATUSES.items():
        axis.barh(papers, counts[status], left=start, color=colour, label=status, height=0.6)
        for paper in papers:
            if counts.loc[paper, status]:
                middle = start[paper] + counts.loc[paper, status] / 2
                axis.text(middle, paper, str(counts.loc[paper, status]), ha="center", va="center", color="black")
        start += counts[status]
    axis.invert_yaxis()
    axis.grid(False)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set(xlabel="claims tested (all scopes and profiles)")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1.0, handlelength=1.0)
    return figure


FIGURES = {
    "09_claims.verdicts": verdicts,
}
