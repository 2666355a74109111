"""Whatever stands in a file that a person brings, its reader gives a value or one line that says what is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plottwist import claims, files, profiles
from plottwist.backends.replay import records
from plottwist.corpora import texts
from plottwist.errors import PlotTwistError
from plottwist.evaluation import study
from plottwist.evaluation.records import Judgement
from plottwist.generator.tokens import prompt_ids, train_tokenizer
from plottwist.generator.writing import warning
from plottwist.longstory.generation import Telling

TOKENIZER = train_tokenizer(["A fox told a story to the sea."], 300)
DEEP = b"[" * 20_000
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.datetimes()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6
)
YAML = st.text("-:!&*?|>%@#[]{}'\", \n\t0123456789abcdefilmnoprstx.~<=", max_size=60).map(str.encode)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["item", "text", "premise", "study", "items"]), inner, max_size=3)
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
LINES = st.lists(JSON | st.binary(max_size=20), max_size=4).map(b"\n".join)
ROWS = st.lists(st.lists(st.text('abs,"\n\r\t\x00é ', max_size=4), max_size=6).map(",".join), max_size=4)
CSV = ROWS.map("\n".join).map(lambda body: f"study,rater,item,choice,text\n{body}".encode()) | st.binary(max_size=40)

often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def value_or_one_line(read: Callable[[Path], Any], path: Path, content: bytes) -> Any:
    path.write_bytes(content)
    try:
        return read(path)
    except PlotTwistError as error:
        assert_one_line(error)
    return None


def assert_one_line(error: PlotTwistError) -> None:
    """What is quoted may hold any line break there is; the message holds none."""
    assert str(error) and len(str(error).splitlines()) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("brought")


@often
@given(st.binary(max_size=80) | YAML | VALUES.map(lambda v: yaml.safe_dump(v).encode()))
@example(b"name: 2020-99-99")
@example(b"? [a]\n: b")
@example(b"name: !!int ''")
@example(b"name: !!timestamp x")
@example(b"name: !!bool x")
@example(DEEP)
def test_any_file_is_a_profile_or_refused(folder, content):
    value_or_one_line(lambda path: profiles.load(str(path)), folder / "own.yaml", content)


@often
@given(st.data())
def test_a_profile_with_one_thing_changed_is_a_profile_or_refused(folder, data):
    content = yaml.safe_load(profiles.path("smoke").read_text()) | {"name": "own"}
    section = data.draw(st.sampled_from(sorted(content)))
    at = content
    if isinstance(content[section], dict):
        at, section = content[section], data.draw(st.sampled_from([*sorted(content[section]), "no such key"]))
    at[section] = data.draw(VALUES)
    found = value_or_one_line(
        lambda path: profiles.load(str(path)), folder / "own.yaml", yaml.safe_dump(content, allow_unicode=True).encode()
    )
    assert found is None or isinstance(found, profiles.Profile)


@often
@given(st.binary(max_size=80) | YAML | st.lists(VALUES, max_size=3).map(lambda v: yaml.safe_dump(v).encode()))
@example(b"- 2020-99-99")
@example(DEEP)
def test_any_file_holds_claims_or_is_refused(folder, content):
    value_or_one_line(claims.read, folder / "claims.yaml", content)


@often
@given(st.data())
def test_a_claim_with_one_thing_changed_is_a_claim_or_refused(folder, data):
    rows = yaml.safe_load((claims.RESULTS / "claims.yaml").read_text())[:3]
    row = data.draw(st.sampled_from(rows))
    row[data.draw(st.sampled_from([*row, "no such key"]))] = data.draw(VALUES)
    found = value_or_one_line(claims.read, folder / "claims.yaml", yaml.safe_dump(rows, allow_unicode=True).encode())
    assert found is None or len(found) == 3


@often
@given(LINES)
@example(DEEP)
@example(b'{"text": "a"}\n' + DEEP)
def test_any_lines_are_texts_or_refused_with_their_number(folder, content):
    found = value_or_one_line(lambda path: list(texts.read(str(path), "text")), folder / "own.jsonl", content)
    assert found is None or all(isinstance(text, str) for _, text in found)


@often
@given(CSV)
@example(b"text\n\x00")
def test_any_table_holds_texts_or_is_refused(folder, content):
    found = value_or_one_line(lambda path: list(texts.read(str(path), "text")), folder / "own.csv", content)
    assert found is None or all(isinstance(text, str) for _, text in found)


@often
@given(LINES | st.binary(max_size=60).map(gzip.compress) | st.binary(max_size=60).map(lambda b: gzip.compress(b)[:-3] + b"abc"))
@example(gzip.compress(b'{"item": "a"}' * 99)[:12] + b"\xff" * 20)
def test_any_gzipped_lines_are_rows_or_refused(folder, content):
    value_or_one_line(lambda path: list(files.read_jsonl(path)), folder / "rows.jsonl.gz", content)


@often
@given(LINES)
def test_any_lines_are_a_panels_records_or_refused(folder, content):
    value_or_one_line(lambda path: records(path, Judgement), folder / "records.jsonl", content)


@often
@given(JSON | st.binary(max_size=40))
@example(DEEP)
def test_any_file_is_json_or_refused(folder, content):
    value_or_one_line(files.read_json, folder / "any.json", content)
    value_or_one_line(Telling.load, folder / "state.json", content)


@often
@given(CSV)
def test_any_votes_are_counted_or_refused(folder, content):
    for name in "ab":
        files.write_jsonl(folder / f"{name}.jsonl", [{"item": "1", "text": f"{name} story."}])
    if not (folder / "study.key.json").exists():
        study.make(folder / "a.jsonl", folder / "b.jsonl", folder / "study", column="text")
    value_or_one_line(lambda path: study.read_votes([path], folder / "study.key.json"), folder / "votes.csv", content)


@often
@given(st.text(max_size=200))
@example("\ud800 a lone surrogate")
@example("<|im_end|>" * 3)
def test_any_premise_is_asked_or_refused(premise):
    assert isinstance(warning(premise), str)
    try:
        (ids,) = prompt_ids(TOKENIZER, [premise])
    except PlotTwistError:
        with pytest.raises(UnicodeEncodeError):
            premise.encode()
    else:
        assert all(0 <= i < len(TOKENIZER) for i in ids)
