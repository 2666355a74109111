"""People as judges: a blinded sheet of two systems' outputs, and what their votes say (what the papers needed and one lacked).

``make`` fills a folder to hand out: ``sheet.csv`` for a spreadsheet, ``page.html`` (one self-contained page that asks nothing of a
network, worked by keyboard, answers kept in the browser and downloaded as CSV). The key, which says which side was whose and goes to
nobody who votes, is written *beside* that folder. ``read_votes`` takes the CSV of either and the key.

The unit of every interval is the premise: votes are meaned per item, items per premise, and premises are drawn anew. Several voters on one
item, or several items of one premise, are not several observations. Raters are taken as they are: other raters may vote otherwise.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from plottwist import files, stats
from plottwist.errors import PlotTwistError
from plottwist.evaluation.agreement import alpha

Kind = Literal["ab", "rating"]
CHOICES = ("left", "tie", "right")
RATINGS = tuple(str(n) for n in range(1, 11))

_PAGE = Path(__file__).with_name("study.html")
_FORMULA = re.compile(r"'*[=+\-@]")  # what a spreadsheet would run, also where it is quoted already
_ANSWER: dict[str, tuple[str, tuple[str, ...]]] = {"ab": ("choice", CHOICES), "rating": ("rating", RATINGS)}


class Place(BaseModel):
    """One item of a sheet, as the key knows it: which output of which system stands at each place (left, right; or alone).

    ``premise`` is what items of one premise share; where there is none, each source stands for itself.
    """

    model_config = ConfigDict(extra="forbid")
    item: str
    source: str
    systems: list[str]
    premise: str = ""

    @property
    def unit(self) -> str:
        """What is drawn anew for an interval."""
        return f"premise {self.premise}" if self.premise else f"source {self.source}"


class Key(BaseModel):
    """What the voters must not see."""

    model_config = ConfigDict(extra="forbid")
    study: str
    kind: Kind
    seed: int
    systems: tuple[str, str]
    items: list[Place]


def make(a: Path, b: Path, out: Path, kind: Kind = "ab", seed: int = 0, column: str = "plot") -> list[Path]:
    """Write sheet and page of a study of two systems into a folder, and the key beside it (``<folder>.key.json``); the three paths.

    Args:
        a, b: JSON Lines, one output a row in ``column``; rows of one ``item`` (else of one place in the file) are compared.
            A ``premise`` is shown above; items that share one are one unit of the intervals.
        kind: ``ab`` shows both side by side, a random side each (as many left as right, but for one); ``rating`` one at a time.

    Raises:
        PlotTwistError: unreadable file, missing column, an item that one side lacks, two files of one name.
    """
    if kind not in _ANSWER:
        raise PlotTwistError(f"no study of kind '{kind}'; known: {', '.join(_ANSWER)}")
    systems = _names(a, b)
    texts = [_outputs(path, column) for path in (a, b)]
    if lacking := sorted(texts[0].keys() ^ texts[1].keys()):
        raise PlotTwistError(f"item {lacking[0]!r} is not in both {a} and {b}; give each item an output of each system")
    premises = {source: texts[0][source]["premise"] or texts[1][source]["premise"] for source in texts[0]}
    places = _blinded(premises, systems, kind, Random(seed))
    shown = [_shown(place, dict(zip(systems, texts, strict=True))) for place in places]
    study = hashlib.sha256(json.dumps([kind, shown], sort_keys=True).encode()).hexdigest()[:12]
    key = Key(study=study, kind=kind, seed=seed, systems=systems, items=places)
    page = _PAGE.read_text(encoding="utf-8").replace("__DATA__", _in_script({"id": study, "kind": kind, "items": shown}))
    for name, content in {"sheet.csv": _sheet(study, kind, shown), "page.html": page}.items():
        files.write_text(out / name, content)
    beside = key_path(out)
    files.write_json(beside, key.model_dump(mode="json"))
    return [out / "sheet.csv", out / "page.html", beside]


def key_path(out: Path) -> Path:
    """Where the key of a study in folder ``out`` lies: outside it, so that who is handed the folder is not handed the key."""
    folder = out if out.name.strip(".") else out.resolve()  # "." and ".." have no name to write beside
    return folder.parent / f"{folder.name or 'study'}.key.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the votes of a study say.

    Attributes:
        votes: rows that count.
        bad: rows that do not, each with file, line and why.
        premises: units of the intervals.
        wins: system -> its share of votes, ties one half, meaned per item, then per premise (kind ``ab``).
        ties: share of votes that are ties, meaned alike (kind ``ab``).
        ratings: system -> mean rating, meaned alike (kind ``rating``).
        gain: first system less second, paired by premise (kind ``rating``), with Cohen's d and a permutation p.
        alpha: Krippendorff's alpha of the raters; None where fewer than two share an item, or nobody ever differs in what they say.
    """

    key: Key
    votes: int
    raters: int
    items: int
    premises: int
    bad: list[str]
    wins: dict[str, stats.Estimate]
    ties: stats.Estimate | None
    ratings: dict[str, stats.Estimate]
    gain: stats.Estimate | None
    d: float | None
    p: float | None
    alpha: stats.Estimate | None

    def lines(self) -> Iterator[str]:
        """The outcome as text."""
        yield f"study {self.key.study} ({self.key.kind}): {self.items} items of {self.premises} premises, {self.raters} raters, {self.votes} votes"
        for row in self.bad:
            yield f"  left out: {row}"
        for system, share in self.wins.items():
            yield f"{system} wins {share} of items (ties one half)"
        for system, rating in self.ratings.items():
            yield f"{system} is rated {rating}"
        if self.ties is not None:
            yield f"ties: {self.ties} of votes"
        if self.gain is not None:
            yield f"{self.key.systems[0]} less {self.key.systems[1]}: {self.gain}, d {self.d:.2f}, permutation p {self.p:.4f}"
        yield f"agreement of raters (Krippendorff's alpha): {self.alpha or 'cannot be told: no item with two raters, or one answer throughout'}"
        yield "95% intervals: over premises, with these raters"


def read_votes(votes: Sequence[Path], key: Path) -> Outcome:
    """Count the votes of any number of CSV files (columns ``study, rater, item`` and ``choice`` or ``rating``; others are ignored).

    Raises:
        PlotTwistError: unreadable key or file, a column that is missing, or not one row that counts.
    """
    known = _key(key)
    rows, bad = _counted(votes, known)
    if not rows:
        raise PlotTwistError(f"{votes[0]}: no vote of study {known.study} counts; {bad[0] if bad else 'the file holds no rows'}")
    places = {place.item: place for place in known.items}
    of_item: dict[str, list[str]] = {}
    for _, item, answer in rows:
        of_item.setdefault(item, []).append(answer)
    measured = _ab(known, places, of_item) if known.kind == "ab" else _rating(known, places, of_item)
    counts = {"votes": len(rows), "raters": len({rater for rater, _, _ in rows}), "items": len(of_item)}
    premises = len({places[item].unit for item in of_item})
    return Outcome(key=known, **counts, premises=premises, bad=bad, alpha=_alpha(rows, places, known.kind), **measured)


def _names(a: Path, b: Path) -> tuple[str, str]:
    if a.name == b.name:
        raise PlotTwistError(f"both files are called {a.name}; the key names systems by their files, so rename one")
    return a.name, b.name


def _outputs(path: Path, column: str) -> dict[str, dict[str, Any]]:
    """Item -> row of one system's file."""
    found: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(files.read_jsonl(path), start=1):
        text, item = row.get(column), str(row.get("item", number))
        if not isinstance(text, str) or not text.strip():
            raise PlotTwistError(f"{path}, row {number}: no text in '{column}' (there are {', '.join(row)}); name it with --text-column")
        if item in found:
            raise PlotTwistError(f"{path}, row {number}: item {item!r} is there twice; keep one of the rows")
        found[item] = {"text": text.strip(), "premise": str(row.get("premise") or "").strip()}
    if not found:
        raise PlotTwistError(f"{path} holds no rows; there is nothing to compare")
    return found


def _blinded(premises: dict[str, str], systems: tuple[str, str], kind: Kind, rng: Random) -> list[Place]:
    """Items (source -> premise) in random order, numbered from 1; sides drawn so that each system stands left as often as right."""
    if kind == "ab":
        sides = [list(systems) if i % 2 else list(reversed(systems)) for i in range(len(premises))]
        rng.shuffle(sides)
        shown = list(zip(premises, sides, strict=True))
    else:
        shown = [(source, [system]) for source in premises for system in systems]
    rng.shuffle(shown)
    return [Place(item=str(n), source=source, systems=side, premise=premises[source]) for n, (source, side) in enumerate(shown, start=1)]


def _shown(place: Place, texts: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    rows = [texts[system][place.source] for system in place.systems]
    premises = {texts[system][place.source]["premise"] for system in texts}  # shown only where both systems have it: else it names one
    premise = premises.pop() if len(premises) == 1 else ""
    return {"item": place.item, "premise": premise, "texts": [row["text"] for row in rows]}


def _sheet(study: str, kind: Kind, shown: list[dict[str, Any]]) -> str:
    columns = ["left", "right"] if kind == "ab" else ["text"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(["study", "rater", "item", "premise", *columns, _ANSWER[kind][0]])
    writer.writerows([study, "", item["item"], *map(_cell, [item["premise"], *item["texts"]]), ""] for item in shown)
    return stream.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe before it, where it looks like one (``_text`` takes it back)."""
    return f"'{text}" if _FORMULA.match(text) else text


def _text(cell: str) -> str:
    """What a cell said before ``_cell``, here or in the page."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _in_script(value: Any) -> str:
    """JSON that cannot close the script element it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _key(path: Path) -> Key:
    try:
        return Key.model_validate(files.read_json(path))
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        raise PlotTwistError(f"{path} is no key of a study: {'.'.join(map(str, error['loc']))}: {error['msg']}") from problem


def _counted(paths: Sequence[Path], key: Key) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(rater, item, answer) of the rows that count, and why the others do not; an unanswered row of a sheet is neither."""
    column, allowed = _ANSWER[key.kind]
    items, first, rows, bad = {place.item for place in key.items}, {}, [], []
    for path in paths:
        for line, row in _csv(path, ("study", "rater", "item", column)):
            rater, item, answer = (_text(row[name].strip()) for name in ("rater", "item", column))
            answer = answer.lower()
            where = f"{path}, line {line}"
            if not answer:
                continue
            if row["study"].strip() != key.study:
                bad.append(f"{where}: a vote of study {row['study'].strip()!r}, not {key.study!r}")
            elif item not in items:
                bad.append(f"{where}: there is no item {item!r}")
            elif answer not in allowed:
                bad.append(f"{where}: {column} {answer!r} is none of {', '.join(allowed)}")
            elif not rater:
                bad.append(f"{where}: no rater is named")
            elif (rater, item) in first:
                bad.append(f"{where}: {rater} voted on item {item} already ({first[rater, item]})")
            else:
                first[rater, item] = where
                rows.append((rater, item, answer))
    return rows, bad


def _csv(path: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            if missing := [name for name in needed if name not in (reader.fieldnames or [])]:
                raise PlotTwistError(f"{path}, line 1: no column '{missing[0]}'; votes need study, rater, item and choice or rating")
            yield from ((reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PlotTwistError(f"cannot read votes {path}: {error}; save them as CSV in UTF-8") from error


def _ab(key: Key, places: dict[str, Place], of_item: dict[str, list[str]]) -> dict[str, Any]:
    first, second = key.systems
    won = {"tie": 0.5, "left": 1.0, "right": 0.0}
    share = {
        item: float(np.mean([won[vote] if places[item].systems[0] == first else 1 - won[vote] for vote in votes]))
        for item, votes in of_item.items()
    }
    tied = {item: votes.count("tie") / len(votes) for item, votes in of_item.items()}
    shares, ties = (np.array(list(_by_unit(values, places).values())) for values in (share, tied))
    wins = {first: stats.share(shares), second: stats.share(1 - shares)}
    return {"wins": wins, "ties": stats.share(ties), "ratings": {}, "gain": None, "d": None, "p": None}


def _rating(key: Key, places: dict[str, Place], of_item: dict[str, list[str]]) -> dict[str, Any]:
    rated = {item: float(np.mean([float(vote) for vote in votes])) for item, votes in of_item.items()}
    means = {
        system: _by_unit({item: value for item, value in rated.items() if places[item].systems[0] == system}, places)
        for system in key.systems
    }
    ratings = {system: stats.mean(list(of.values())) for system, of in means.items() if of}
    both = [unit for unit in means[key.systems[0]] if unit in means[key.systems[1]]]
    result: dict[str, Any] = {"wins": {}, "ties": None, "ratings": ratings, "gain": None, "d": None, "p": None}
    if len(both) > 1:
        a, b = (np.array([means[system][unit] for unit in both]) for system in key.systems)
        result |= {"gain": stats.mean(a - b), "d": stats.cohens_d(a, b, paired=True), "p": stats.permutation_p(a, b, paired=True)}
    return result


def _by_unit(values: dict[str, float], places: dict[str, Place]) -> dict[str, float]:
    """Unit -> mean over its items."""
    of_unit: dict[str, list[float]] = {}
    for item, value in values.items():
        of_unit.setdefault(places[item].unit, []).append(value)
    return {unit: float(np.mean(own)) for unit, own in of_unit.items()}


def _alpha(rows: list[tuple[str, str, str]], places: dict[str, Place], kind: Kind) -> stats.Estimate | None:
    """Krippendorff's alpha, nominal for choices and interval for ratings, with a bootstrap over premises."""
    answers = list(_ANSWER[kind][1])
    raters, items = sorted({r for r, _, _ in rows}), sorted({i for _, i, _ in rows})
    data = np.full((len(items), len(raters)), np.nan)  # (items, raters)
    for rater, item, answer in rows:
        data[items.index(item), raters.index(rater)] = answers.index(answer) if kind == "ab" else float(answer)
    return alpha(data, "nominal" if kind == "ab" else "interval", [places[item].unit for item in items])
