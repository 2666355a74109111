"""Recorded judgements: read whole or refused with the line."""

from __future__ import annotations

import gzip
import json

import pytest

from plottwist.backends.replay import text_sha256, verify_text
from plottwist.errors import PlotTwistError
from plottwist.evaluation.panel import judgements, write
from plottwist.evaluation.records import CriticReport, Judgement
from plottwist.nqd import NQDS

TEXT = "A keeper hides a letter, and the storm brings it to light."


def judgement(item: str = "p1-strong", **changes: object) -> Judgement:
    reports = [
        CriticReport(critic=n, evidence=["hides a letter"], false_quotes=0, strengths=[], failings=["short"], rating=4) for n in NQDS
    ]
    whole = {"item": item, "text_sha256": text_sha256(TEXT), "mind": "m 1", "reports": reports, "scores": dict.fromkeys(NQDS, 4.0)}
    return Judgement(**{**whole, "reason": "Too short.", "date": "2026-01-31", **changes})


def test_what_is_written_is_read(tmp_path):
    judged = [judgement("p2"), judgement("p1", scores={**dict.fromkeys(NQDS, 3.0), "tone": None})]
    write(tmp_path / "j.jsonl", judged)
    assert list(judgements(tmp_path / "j.jsonl").values()) == judged
    assert list(judgements(tmp_path / "j.jsonl")) == ["p2", "p1"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda row: row | {"item": "p1"}, "line 4: item 'p1' is there twice"),
        (lambda row: row | {"mood": 3}, "line 4: mood: Extra inputs"),
        (lambda row: {k: v for k, v in row.items() if k != "reason"}, "line 4: reason: Field required"),
        (lambda row: row | {"scores": {**row["scores"], "tone": 11}}, "line 4: scores.tone"),
        (lambda row: row | {"scores": {"tone": 5}}, "line 4: the row: .*one report and one score"),
        (lambda row: row | {"reports": row["reports"][:4]}, "line 4: the row: .*one report and one score"),
        (lambda row: row | {"reports": [*row["reports"][:4], row["reports"][0]]}, "line 4: the row: .*one report and one score"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, break_it, said, packed):
    rows = [judgement("p1"), judgement("p2"), judgement("p3")]
    dumped = [row.model_dump(mode="json") for row in rows]
    dumped[2] = break_it(dumped[2])
    lines = [json.dumps(row) for row in dumped]
    content = f"{lines[0]}\n\n{lines[1]}\n{lines[2]}\n".encode()  # an empty line is passed over, and counted
    path = tmp_path / ("j.jsonl.gz" if packed else "j.jsonl")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(PlotTwistError, match=said) as error:
        judgements(path)
    assert "\n" not in str(error.value)


def test_a_line_that_is_no_json_is_named(tmp_path):
    write(tmp_path / "j.jsonl", [judgement("p1")])
    with (tmp_path / "j.jsonl").open("a") as stream:
        stream.write('{"item": "p2", \n')
    with pytest.raises(PlotTwistError, match="line 2: not valid JSON"):
        judgements(tmp_path / "j.jsonl")


def test_a_judgement_of_another_text_is_refused():
    verify_text(judgement(), TEXT)
    with pytest.raises(PlotTwistError, match="'p1-strong' is about another text"):
        verify_text(judgement(), TEXT + " ")
