"""Third-party films and stories, for measuring; never part of the repository.

The tables lie in the folder ``PLOTTWIST_DATA`` (``../shared/data`` beside the clone by default), described by its
``index.json``. A table is checked against its sha256 and its columns, and every row gets its ``split`` from the one split
function: films by title, with the two films of a matched pair always together; every text of a writing prompt together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from datasets import Dataset

from plottwist import registry
from plottwist.corpora import shipped
from plottwist.corpora.split import film_key, prompt_key, split, together
from plottwist.errors import PlotTwistError
from plottwist.files import read_json, read_jsonl
from plottwist.paths import public_data

Row = dict[str, Any]

# Table -> what must not be seen twice in its rows.
KEYS: dict[str, Callable[[Row], str]] = {
    "films/plots": lambda row: film_group(row["title"]),
    "films/matched_pairs": lambda row: film_group(row["acclaimed_title"]),
    "films/turning_points": lambda row: film_group(row["movie"]),
    "films/early_plots": lambda row: film_group(row["title"]),
    "stories/upvote_pairs": lambda row: prompt_key(row["prompt"]),
    "stories/writing_prompts": lambda row: prompt_key(row["prompt"]),
    "stories/aspect_ratings": lambda row: prompt_key(row["prompt"]),
    "stories/fairytales": lambda row: f"fairytale:{row['story_id']}",
    "stories/machine_plots_rated": lambda row: f"machine-plot:{row['id']}",
    "stories/ending_votes": lambda row: f"ending:{row['story_a'][:80]}",
    "stories/expert_scores": lambda row: f"passage:{row['text'][:80]}",
    "stories/expert_rankings": lambda row: f"ranking:{row['item_id']}",
    "stories/books": lambda row: f"book:{row['title'].lower()}",
}


@cache
def table(name: str) -> Dataset:
    """A third-party table by its name in the index (``films/plots``, ``stories/upvote_pairs``, ...), with ``split`` added.

    Raises:
        PlotTwistError: no such table, no data folder, a checksum or a column that does not fit the index.
    """
    if name not in KEYS:
        raise PlotTwistError(f"no third-party table '{name}'; known: {', '.join(KEYS)}")
    rows = list(read_jsonl(_checked(name)))
    columns = index()[name]["columns"]
    for number, row in enumerate(rows, start=1):
        if missing := [c for c in columns if c not in row]:
            raise PlotTwistError(f"{_path(name)}, line {number}: column {missing[0]} is missing; columns are {', '.join(columns)}")
    return Dataset.from_list([row | {"split": split(KEYS[name](row))} for row in rows])


@cache
def index() -> dict[str, Row]:
    """Table name -> its entry in ``index.json`` (rows, columns, sha256, what it is).

    Raises:
        PlotTwistError: the folder is not there.
    """
    path = public_data() / "index.json"
    if not path.is_file():
        raise PlotTwistError(f"third-party data are not in {public_data()}; set PLOTTWIST_DATA to their folder")
    return {entry["path"].removesuffix(".jsonl.gz"): entry for entry in read_json(path)}


def film_group(title: str) -> str:
    """The key that decides a film's split: its own, or that of the shipped film (else the first) of its matched pair."""
    key = film_key(title)
    return _groups().get(key, key)


@cache
def _groups() -> dict[str, str]:
    pairs = [(film_key(r["acclaimed_title"]), film_key(r["panned_title"])) for r in read_jsonl(_checked("films/matched_pairs"))]
    return together(pairs, anchors=[film_key(title) for title in shipped.films()["title"]])


@cache
def _checked(name: str) -> Path:
    path = _path(name)
    if not path.is_file():
        raise PlotTwistError(f"{path} is missing; set PLOTTWIST_DATA to a complete folder")
    digest = registry.sha256(path)
    registry.note(name, digest)
    if digest != index()[name]["sha256"]:
        raise PlotTwistError(f"{path} does not match its sha256 in index.json; copy the folder anew")
    return path


def _path(name: str) -> Path:
    return public_data() / f"{name}.jsonl.gz"
