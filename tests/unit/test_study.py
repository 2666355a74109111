"""Blinded studies: what is hidden, what is balanced, and that votes come back to the right system with every bad row named."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from plottwist.errors import PlotTwistError
from plottwist.evaluation import study
from plottwist.evaluation.agreement import alpha

N = 20


@pytest.fixture
def systems(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    for path in paths:
        rows = [
            {"item": f"p{i}", "premise": f"Premise {i}.", "plot": f"{'Good' if path == paths[0] else 'Poor'} plot {i}."} for i in range(N)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


def vote(folder: Path, choose, rater: str = "ann", name: str = "votes.csv", column: str = "choice") -> Path:
    """Fill the sheet: ``choose(row)`` answers one row of it."""
    rows = list(csv.DictReader((folder / "sheet.csv").open(encoding="utf-8", newline="")))
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0]])
        writer.writeheader()
        writer.writerows({**row, "rater": rater, column: choose(row)} for row in rows)
    return path


def the_good_one(row: dict[str, str]) -> str:
    return "left" if row["left"].startswith("Good") else "right"


def test_a_sheet_is_blind_balanced_and_the_same_for_the_same_seed(systems, tmp_path):
    made = study.make(*systems, tmp_path / "s", seed=3)
    assert [path.name for path in made] == ["sheet.csv", "page.html", "s.key.json"]
    for path in made[:2]:
        content = path.read_text(encoding="utf-8")
        assert "ours" not in content and "theirs" not in content
    rows = list(csv.DictReader(made[0].open(encoding="utf-8", newline="")))
    assert len(rows) == N and sum(row["left"].startswith("Good") for row in rows) == N // 2
    assert [re.findall(r"\d+", row["left"] + row["right"]) for row in rows] != [[str(i)] * 2 for i in range(N)]
    assert all(re.findall(r"\d+", row["left"]) == re.findall(r"\d+", row["right"]) for row in rows)
    again = study.make(*systems, tmp_path / "again", seed=3)
    assert [p.read_bytes() for p in made] == [p.read_bytes() for p in again]
    other = study.make(*systems, tmp_path / "other", seed=4)
    assert made[0].read_bytes() != other[0].read_bytes()


def test_the_page_asks_nothing_of_a_network_and_no_text_leaves_its_place(tmp_path):
    bad = "</script><script>document.title = 'broken'</script><img src=http://example.org/x.png>"
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"plot": f"{bad} {name}"}) + "\n")
    page = study.make(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "s")[1].read_text()
    assert page.count("</script>") == 2 and "<img" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_votes_for_the_better_system_come_back_to_it(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    outcome = study.read_votes([vote(tmp_path / "s", the_good_one)], key)
    assert (outcome.votes, outcome.raters, outcome.items, outcome.bad) == (N, 1, N, [])
    assert outcome.wins["ours.jsonl"].value == 1 and outcome.wins["theirs.jsonl"].value == 0
    assert outcome.wins["ours.jsonl"].low < 0.9  # twenty items are no certainty
    assert outcome.alpha is None


def test_who_always_votes_left_prefers_nobody(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    outcome = study.read_votes([vote(tmp_path / "s", lambda _: "left")], key)
    assert outcome.wins["ours.jsonl"].value == 0.5


def test_ties_count_one_half_and_agreement_is_krippendorffs(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    ann = vote(tmp_path / "s", the_good_one, "ann", "a.csv")
    bob = vote(tmp_path / "s", lambda row: "tie" if int(row["item"]) % 2 else the_good_one(row), "bob", "b.csv")
    outcome = study.read_votes([ann, bob], key)
    assert outcome.wins["ours.jsonl"].value == pytest.approx(0.875)
    assert outcome.ties.value == pytest.approx(0.25) and outcome.ties.low > 0
    assert 0 < outcome.alpha.value < 1
    same = study.read_votes([ann, vote(tmp_path / "s", the_good_one, "eve", "e.csv")], key)
    assert same.alpha.value == pytest.approx(1.0)


def test_every_bad_row_is_named_and_the_others_count(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    path = vote(tmp_path / "s", the_good_one)
    lines = path.read_text().splitlines()
    number = json.loads(key.read_text())["study"]
    wrong = [f"{number},ann,99,,x,y,left", f"{number},bob,1,,x,y,lft", "other,bob,1,,x,y,left", f"{number},,1,,x,y,left", lines[1]]
    path.write_text("\n".join([*lines, *wrong, f"{number},cem,1,,x,y,", ""]))
    outcome = study.read_votes([path], key)
    assert outcome.votes == N
    said = ["no item '99'", "'lft' is none of left, tie, right", "of study 'other'", "no rater", "already"]
    assert len(outcome.bad) == len(said)
    for offset, (row, words) in enumerate(zip(outcome.bad, said, strict=True)):
        assert f"line {N + 2 + offset}:" in row and words in row
    assert "left out" in "\n".join(outcome.lines())


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_alpha_is_krippendorffs(level):
    rng = np.random.default_rng(0)
    data = np.round(rng.normal(size=(40, 1)) + rng.normal(size=(40, 3)))
    data[rng.random(data.shape) < 0.3] = np.nan
    expected = krippendorff.alpha(reliability_data=data.T, level_of_measurement=level)
    assert alpha(data, level).value == pytest.approx(expected)
    assert alpha(np.full((5, 2), 3.0), level) is None
    assert alpha(np.array([[1.0, np.nan], [np.nan, 2.0]]), level) is None


def test_ratings_are_compared_pair_by_pair(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s", kind="rating")[2]
    rng = np.random.default_rng(0)

    def rate(row: dict[str, str]) -> str:
        return str(int((8 if row["text"].startswith("Good") else 6) + rng.integers(-1, 2)))

    votes = [vote(tmp_path / "s", rate, name, f"{name}.csv", "rating") for name in ("ann", "bob")]
    outcome = study.read_votes(votes, key)
    assert outcome.items == 2 * N
    assert outcome.gain.value == pytest.approx(2, abs=0.5) and outcome.gain.low > 1
    assert outcome.p < 0.01 and outcome.d > 1
    assert outcome.ratings["ours.jsonl"].value > outcome.ratings["theirs.jsonl"].value
    assert any("permutation p" in line for line in outcome.lines())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, b: b.write_text(b.read_text().replace('"p3"', '"p99"')), "is not in both"),
        (lambda a, b: b.write_text(b.read_text().replace('"plot"', '"story"')), "name it with --text-column"),
        (lambda a, b: b.write_text(b.read_text().replace('"p3"', '"p4"')), "is there twice"),
        (lambda a, b: b.write_text(""), "holds no rows"),
        (lambda a, b: b.unlink(), "cannot read"),
    ],
)
def test_outputs_that_cannot_be_compared_are_refused(systems, tmp_path, change, said):
    change(*systems)
    with pytest.raises(PlotTwistError, match=said):
        study.make(*systems, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_votes_that_cannot_be_read_are_refused(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    empty = vote(tmp_path / "s", lambda _: "")
    with pytest.raises(PlotTwistError, match="no vote of study"):
        study.read_votes([empty], key)
    (tmp_path / "odd.csv").write_text("who,what\na,b\n")
    with pytest.raises(PlotTwistError, match="no column 'study'"):
        study.read_votes([tmp_path / "odd.csv"], key)
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(PlotTwistError, match="no key of a study"):
        study.read_votes([empty], tmp_path / "key.json")
    with pytest.raises(PlotTwistError, match="no study of kind 'duel'"):
        study.make(*systems, tmp_path / "t", kind="duel")


def test_a_premise_that_only_one_system_has_is_not_shown(systems, tmp_path):
    ours, theirs = systems
    rows = [json.loads(line) for line in theirs.read_text().splitlines()]
    theirs.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "premise"}) + "\n" for row in rows))
    for kind in ("ab", "rating"):
        sheet, *_ = study.make(ours, theirs, tmp_path / kind, kind=kind)
        assert {row["premise"] for row in csv.DictReader(sheet.open(encoding="utf-8", newline=""))} == {""}


def test_who_is_handed_the_folder_is_not_handed_the_key(systems, tmp_path, monkeypatch):
    *_, key = study.make(*systems, tmp_path / "deep" / "s")
    assert key == tmp_path / "deep" / "s.key.json" and key.is_file()
    assert sorted(path.name for path in (tmp_path / "deep" / "s").rglob("*")) == ["page.html", "sheet.csv"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (".", "../here", "./"):
        *_, key = study.make(*systems, Path(folder))
        assert key.resolve() == tmp_path / "here.key.json"
        assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["page.html", "sheet.csv"]


def of_premises(tmp_path: Path, premises: int, each: int) -> tuple[Path, Path]:
    """Two systems' outputs for several items of each premise."""
    paths = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    for path, word in zip(paths, ("Good", "Poor"), strict=True):
        rows = [
            {"item": f"p{p}-{k}", "premise": f"Premise {p}.", "plot": f"{word} plot {p}."} for p in range(premises) for k in range(each)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


@pytest.mark.parametrize(("kind", "column"), [("ab", "choice"), ("rating", "rating")])
def test_items_of_one_premise_are_one_observation(tmp_path, kind, column):
    """Ten items of each of six premises, on which voters say the same: no more is known than from one item of each."""

    def read(each: int) -> study.Outcome:
        folder = tmp_path / f"{kind}{each}"
        folder.mkdir()
        key = study.make(*of_premises(folder, 6, each), folder / "s", kind)[2]

        def say(row: dict[str, str], other: int) -> str:
            number = int(re.search(r"\d+", row["premise"])[0])
            liked = number != other  # ann dislikes our plot of premise 0, bob that of premise 1
            if kind == "rating":
                return str((8 if liked else 3) if row["text"].startswith("Good") else 5)
            return the_good_one(row) if liked else {"left": "right", "right": "left"}[the_good_one(row)]

        files = [vote(folder / "s", lambda row, o=o: say(row, o), rater, f"{rater}.csv", column) for o, rater in enumerate(("ann", "bob"))]
        return study.read_votes(files, key)

    one, ten = read(1), read(10)
    assert (one.premises, ten.premises, ten.items) == (6, 6, 10 * one.items)
    for a, b in zip([*one.wins.values(), *one.ratings.values()], [*ten.wins.values(), *ten.ratings.values()], strict=True):
        assert (b.value, b.low, b.high, b.n) == pytest.approx((a.value, a.low, a.high, 6))
    assert ten.alpha.n == 6 and (ten.alpha.low, ten.alpha.high) == pytest.approx((one.alpha.low, one.alpha.high), abs=0.1)
    if kind == "rating":
        assert (ten.gain.low, ten.gain.high, ten.p) == pytest.approx((one.gain.low, one.gain.high, one.p))
    assert any("6 premises" in line for line in ten.lines())


def test_more_voters_on_the_same_items_do_not_narrow_the_interval_over_items(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]

    def mixed(row: dict[str, str]) -> str:
        return "left" if int(row["item"]) % 3 else "tie"

    votes = [vote(tmp_path / "s", mixed, f"rater {n}", f"{n}.csv") for n in range(5)]
    one, five = study.read_votes(votes[:1], key), study.read_votes(votes, key)
    assert five.votes == 5 * one.votes
    assert (five.wins, five.ties) == (one.wins, one.ties)


def test_a_key_from_before_premises_is_read_still(systems, tmp_path):
    key = study.make(*systems, tmp_path / "s")[2]
    content = json.loads(key.read_text())
    for place in content["items"]:
        del place["premise"]
    key.write_text(json.dumps(content))
    assert study.read_votes([vote(tmp_path / "s", the_good_one)], key).premises == N


def test_no_cell_is_a_formula_and_names_come_back(tmp_path):
    wild = ["=HYPERLINK(1)", "+1", "-dash", "@SUM(1)", "'=quoted", "plain", "'tis"]
    for name in ("a", "b"):
        rows = [{"premise": wild[-1 - i], "plot": f"{text} {name}"} for i, text in enumerate(wild)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sheet, _, key = study.make(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "s")
    rows = list(csv.DictReader(sheet.open(encoding="utf-8", newline="")))
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert {study._text(row["left"])[:-2] for row in rows} == set(wild) == {study._text(row["premise"]) for row in rows}
    votes = [vote(tmp_path / "s", the_good_one, rater, f"{n}.csv") for n, rater in enumerate(["'-x", "'=x", "x"])]
    votes.append(vote(tmp_path / "s", the_good_one, "-x", "again.csv"))
    outcome = study.read_votes(votes, key)
    assert outcome.raters == 3 and len(outcome.bad) == len(wild) and "-x voted on item" in outcome.bad[0]
