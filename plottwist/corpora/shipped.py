"""The texts and ratings written by this project (``data/``), checked against their sha256, as ``datasets.Dataset``.

Every loader adds ``split`` (train, validation, test) from the one split function; see the data cards for how the
texts were written and by whom they were rated.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from datasets import Dataset, Features, Value

from plottwist import registry
from plottwist.corpora.split import film_key, premise_key, split
from plottwist.errors import PlotTwistError
from plottwist.files import read_jsonl
from plottwist.nqd import NQDS

Kind = Literal["plots", "films"]

VARIANTS = ("strong", *(f"weak_{name}" for name in NQDS), "weak_all")

_TEXT = Value("string")
_PLOTS = dict.fromkeys(("plot_id", "premise_id", "genre", "premise", "variant", "plot", "writer"), _TEXT)
_FILMS = {"film_id": _TEXT, "title": _TEXT, "year": Value("int32"), "list": _TEXT, "synopsis": _TEXT, "writer": _TEXT}
_RATINGS = {
    **dict.fromkeys(("item", "protocol"), _TEXT),
    **{name: Value("int8") for name in NQDS},
    **dict.fromkeys(("reason", "batch"), _TEXT),
    **{name: Value("int16") for name in ("position", "round")},
    **dict.fromkeys(("guess", "rater", "date"), _TEXT),
}


@cache
def plots() -> Dataset:
    """One row per plot: ``plot_id, premise_id, genre, premise, variant, plot, writer, split``.

    ``variant`` is ``strong``, ``weak_<dimension>`` or ``weak_all``; the seven plots of a premise share its split.
    """
    return _load("plots/plots.jsonl", _PLOTS, lambda row: premise_key(row["premise"]))


@cache
def films() -> Dataset:
    """One row per film: ``film_id, title, year, list (acclaimed or panned), synopsis, writer, split``."""
    return _load("films/films.jsonl", _FILMS, lambda row: film_key(row["title"]))


@cache
def ratings(kind: Kind) -> Dataset:
    """One row per text, protocol and round: ``item, protocol, character ... emotion (1-10), reason, batch, position, round,
    guess, rater, date, split``.

    ``round`` 2 is the tenth that was rated twice; ``position`` counts from 1 within the ``batch``; ``guess`` is the title of the
    film that the rater thought to recognise, asked after the ratings.
    """
    of = {row[f"{kind[:-1]}_id"]: row["split"] for row in (plots() if kind == "plots" else films())}
    rows = list(_rows(f"ratings/{kind}.jsonl", _RATINGS))
    return Dataset.from_list([row | {"split": of[row["item"]]} for row in rows], features=Features({**_RATINGS, "split": _TEXT}))


def _load(name: str, columns: dict[str, Any], key: Any) -> Dataset:
    rows = [row | {"split": split(key(row))} for row in _rows(name, columns)]
    return Dataset.from_list(rows, features=Features({**columns, "split": _TEXT}))


def _rows(name: str, columns: dict[str, Any]) -> list[dict[str, Any]]:
    rows = list(read_jsonl(registry.path(name)))
    for number, row in enumerate(rows, start=1):
        if row.keys() != columns.keys():
            wrong = sorted(row.keys() ^ columns.keys())
            raise PlotTwistError(f"data/{name}, line {number}: column {wrong[0]} is missing or unknown; columns are {', '.join(columns)}")
    return rows
