"""``plottwist rate`` on good and bad input, with a small model in place of the committed one."""

import json
import subprocess
import sys

import pytest

from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS
from plottwist.reward import rating, training
from plottwist.reward.model import MAX_SENTENCES, RewardConfig

PLOT = "A cook loses her kitchen. She asks a rival for help, and he refuses. She opens a stall by the harbour."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import numpy as np

    examples = training.Examples([PLOT.split(". ")] * 4, np.array([[2.0] * 5, [4.0] * 5, [6.0] * 5, [8.0] * 5]), np.arange(4) // 2)
    quick = training.TrainingConfig(epochs=1, warmup_steps=1)
    fitted, _ = training.fit(examples, RewardConfig(heads=2, hidden_size=8), quick, seed=0)
    return fitted.save_pretrained(tmp_path_factory.mktemp("model") / "m")


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_one_object_a_text(tmp_path, model, kind):
    source = tmp_path / f"in.{kind}"
    source.write_text(json.dumps({"plot": PLOT}) + "\n" if kind == "jsonl" else f'id,plot\n1,"{PLOT}"\n')
    out = tmp_path / "out.jsonl"
    assert rating.rate_file(str(source), "plot", out, model) == 1
    (row,) = _lines(out)
    assert set(row) == {"line", "text_sha256", *NQDS, "overall", "uncertainty", "model"}
    assert row["overall"] == pytest.approx(sum(row[n] for n in NQDS) / 5, abs=1.1e-2)
    assert all(1 <= row[n] <= 10 and row["uncertainty"][n] > 0 for n in NQDS)


def test_the_command_reads_standard_input(tmp_path, model):
    answer = subprocess.run(
        [sys.executable, "-m", "plottwist", "rate", "-", "--text-column", "story", "--model", str(model)],
        input=json.dumps({"story": PLOT}) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout)["line"] == 1


def test_a_missing_column_names_those_there_are(tmp_path, model):
    source = _write(tmp_path / "in.jsonl", [{"text": PLOT, "id": 1}])
    with pytest.raises(PlotTwistError, match=r"line 1: no column 'plot' \(there are text, id\)"):
        rating.rate_file(str(source), "plot", tmp_path / "out.jsonl", model)


@pytest.mark.parametrize(
    ("bad", "message"), [(b'{"plot": "half\n', "not valid JSON"), (b'{"plot": "\xff"}\n', "not UTF-8"), (b'{"plot": 7}\n', "not text")]
)
def test_line_17_is_named_and_the_rows_before_it_are_kept(tmp_path, model, bad, message):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good = json.dumps({"plot": PLOT}).encode() + b"\n"
    source.write_bytes(good * 16 + bad + good)
    with pytest.raises(PlotTwistError, match=f"line 17: .*{message}"):
        rating.rate_file(str(source), "plot", out, model)
    assert [r["line"] for r in _lines(out)] == list(range(1, 17))
    source.write_bytes(good * 18)  # mended: goes on where it was
    assert rating.rate_file(str(source), "plot", out, model) == 18
    assert [r["line"] for r in _lines(out)] == list(range(1, 19))


def test_half_a_line_left_by_a_kill_is_rated_again(tmp_path, model):
    source, out = _write(tmp_path / "in.jsonl", [{"plot": PLOT}] * 3), tmp_path / "out.jsonl"
    rating.rate_file(str(source), "plot", out, model)
    whole = _lines(out)
    out.write_bytes(out.read_bytes()[:-20])
    rating.rate_file(str(source), "plot", out, model)
    again = _lines(out)
    assert [r["line"] for r in again] == [1, 2, 3]
    for one, two in zip(whole, again, strict=True):  # bfloat16: the last digit may depend on what else is in the batch
        assert one["overall"] == pytest.approx(two["overall"], abs=0.02)


@pytest.mark.parametrize("content", ["my notes, no newline", "first line\nsecond, cut", '{"line": 1}\n{"a'])
def test_a_file_that_is_not_its_own_is_left_as_it_is(tmp_path, model, content):
    source, out = _write(tmp_path / "in.jsonl", [{"plot": PLOT}] * 3), tmp_path / "notes.txt"
    out.write_text(content)
    with pytest.raises(PlotTwistError):
        rating.rate_file(str(source), "plot", out, model)
    assert out.read_text() == content


def test_half_of_a_surrogate_pair_is_a_flagged_row_and_costs_no_other(tmp_path, model):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"plot": PLOT}) + '\n{"plot": "A \\ud800 boy runs."}\n' + json.dumps({"plot": PLOT}) + "\n")
    assert rating.rate_file(str(source), "plot", out, model) == 3
    assert ["error" in row for row in _lines(out)] == [False, True, False]


def test_an_empty_text_is_a_flagged_row(tmp_path, model):
    source = _write(tmp_path / "in.jsonl", [{"plot": PLOT}, {"plot": " \n"}, {"plot": "..."}, {"plot": PLOT}])
    out = tmp_path / "out.jsonl"
    rating.rate_file(str(source), "plot", out, model)
    assert [r.get("error") for r in _lines(out)] == [None, "empty text", "empty text", None]


def test_200_000_words_are_read_as_far_as_the_model_goes_and_say_so(tmp_path, model):
    source = _write(tmp_path / "in.jsonl", [{"plot": "The king sails away and nobody asks why. " * 25_000}, {"plot": PLOT}])
    out = tmp_path / "out.jsonl"
    rating.rate_file(str(source), "plot", out, model)
    first, second = _lines(out)
    assert f"more than {MAX_SENTENCES} sentences" in first["note"]
    assert "note" not in second


def test_a_sentence_without_end_says_so(tmp_path, model):
    source = _write(
        tmp_path / "in.jsonl", [{"plot": "word " * 3000}, {"plot": "One. " * MAX_SENTENCES}, {"plot": "One. " * (MAX_SENTENCES + 1)}]
    )
    out = tmp_path / "out.jsonl"
    rating.rate_file(str(source), "plot", out, model)
    assert ["note" in r for r in _lines(out)] == [True, False, True]


def test_ratings_of_another_input_are_not_taken_for_these(tmp_path, model):
    first, second = _write(tmp_path / "a.jsonl", [{"plot": PLOT}] * 2), _write(tmp_path / "b.jsonl", [{"plot": PLOT + " She wins."}] * 2)
    out = tmp_path / "out.jsonl"
    rating.rate_file(str(first), "plot", out, model)
    with pytest.raises(PlotTwistError, match="another input"):
        rating.rate_file(str(second), "plot", out, model)
    assert len(_lines(out)) == 2


@pytest.mark.parametrize("harm", ["no file", "no model", "csv fields"])
def test_what_cannot_be_read_is_one_line(tmp_path, model, harm):
    source = tmp_path / ("in.csv" if harm == "csv fields" else "in.jsonl")
    if harm != "no file":
        source.write_text("id,plot\n1,a,b,c\n" if harm == "csv fields" else json.dumps({"plot": PLOT}) + "\n")
    with pytest.raises(PlotTwistError) as error:
        rating.rate_file(str(source), "plot", tmp_path / "out.jsonl", tmp_path / "none" if harm == "no model" else model)
    assert "\n" not in str(error.value)
