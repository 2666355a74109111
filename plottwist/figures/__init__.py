"""Every figure of the repository, each drawn from its stored table alone, in one style, without torch.

A figure ``NN_notebook.name`` reads ``tables/NN_notebook.name.csv`` of a results folder and returns a matplotlib Figure. Each family
of notebooks has a module here with its functions and a ``FIGURES`` dictionary. They are imported by name when a figure is drawn, so
that a notebook does not depend on the looks of another's figures: numbers never come from here, and ``reproduce`` redraws at its end.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.style

if matplotlib.get_backend().lower() not in {"module://matplotlib_inline.backend_inline", "inline"}:
    matplotlib.use("Agg")

import pandas as pd
from matplotlib.figure import Figure

from plottwist import files
from plottwist.errors import PlotTwistError

STYLE = Path(__file__).with_name("style.mplstyle")


def all_figures() -> dict[str, Callable[[pd.DataFrame], Figure]]:
    """Figure id -> the function that draws it."""
    families = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {name: draws for family in families for name, draws in getattr(family, "FIGURES", {}).items()}


def draw(figure_id: str, results: Path, out: Path) -> Figure:
    """Draw one figure from the tables of ``results`` and write ``<out>/<figure_id>.png``.

    Raises:
        PlotTwistError: no such figure, or its table has not been made.
    """
    known = all_figures()
    if figure_id not in known:
        raise PlotTwistError(f"no figure '{figure_id}'; known: {', '.join(sorted(known))}")
    path = results / "tables" / f"{figure_id}.csv"
    if not path.is_file():
        raise PlotTwistError(f"figure '{figure_id}' needs the table {path}; run `plottwist reproduce --only {figure_id[:2]}` first")
    with matplotlib.style.context(STYLE):
        figure = known[figure_id](pd.read_csv(path))
        image = _png(figure)
    files.write_bytes(out / f"{figure_id}.png", image)
    _show_in_notebooks()
    return figure


def available(results: Path) -> list[str]:
    """The figures whose tables stand in a results folder."""
    return [f for f in sorted(all_figures()) if (results / "tables" / f"{f}.csv").is_file()]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _show_in_notebooks() -> None:
    """A notebook shows figures of pyplot as images, and one made without it as a line of text, unless it is told how."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.display_formatter.formatters["image/png"].for_type(Figure, _png)
