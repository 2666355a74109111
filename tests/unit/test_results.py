import json
import subprocess

import pandas as pd
import pytest

from plottwist import claims, paths, results
from plottwist.errors import PlotTwistError
from plottwist.stats import Estimate


@pytest.fixture
def run(tmp_path):
    return results.start("00_quickstart", "smoke", seed=3, out=tmp_path)


def test_a_run_leaves_metrics_and_where_they_came_from(run, tmp_path):
    run.metric("rho", Estimate(0.9, 0.85, 0.95, 400))
    run.metric("plots", 400)
    path = run.finish()
    assert path == tmp_path / "results" / "smoke" / "00_quickstart.json"
    content = json.loads(path.read_text())
    assert content["metrics"]["rho"] == {"value": 0.9, "ci": [0.85, 0.95], "n": 400, "seeds": 1}
    assert content["metrics"]["plots"]["ci"] is None
    provenance = content["provenance"]
    assert provenance["seed"] == 3
    assert provenance["versions"]["torch"].startswith("2.13.0")
    assert provenance["settings"]["name"] == "smoke"
    assert provenance["seconds"] >= 0 and provenance["peak_memory_mb"] > 10


def test_a_metric_must_be_a_number_and_stand_once(run):
    with pytest.raises(ValueError, match="must be a number"):
        run.metric("bad", float("nan"))
    run.metric("x", 1)
    with pytest.raises(ValueError, match="twice"):
        run.metric("x", 2)


def test_figures_come_from_the_stored_table(run, tmp_path):
    run.table("levels", pd.DataFrame({"nqd": ["tone"] * 3, "level": [0, 0.5, 1], "score": [1, 5, 9]}))
    run.figure("levels")
    assert (tmp_path / "results/smoke/figures/00_quickstart.levels.png").stat().st_size > 5_000


def _result(_parameters=None, **metrics):
    rows = {k: {"value": v, "ci": ci, "n": 1, "seeds": 1} for k, (v, ci) in metrics.items()}
    return {"00_a": {"metrics": rows, "provenance": {"parameters": _parameters or {}}}}


def test_compare_uses_the_recorded_spread():
    reference = _result(wide=(1.0, [0.5, 1.5]), exact=(3.0, None))
    assert results.compare(reference, _result(wide=(1.4, None), exact=(3.0, None))) == ([], 2)
    moved, _ = results.compare(reference, _result(wide=(1.6, None), exact=(3.0001, None)))
    assert [m.key for m in moved] == ["exact", "wide"]
    assert "moved from 1 to 1.6" in str(moved[1])


def test_compare_names_what_is_missing_and_what_is_new():
    moves, _ = results.compare(_result(old=(1.0, None)), _result(new=(2.0, None)))
    assert "new is new" in str(moves[0]) and "old is missing" in str(moves[1])


def test_a_run_with_other_parameters_is_compared_by_what_both_can_say():
    full = _result({"seeds": 3, "grid": "full"}, wide=(1.0, [0.5, 1.5]), count=(3.0, None), further=(1.0, [0, 2]))
    one_seed = {"seeds": 1, "grid": "full"}
    assert results.compare(full, _result(one_seed, wide=(1.4, [1, 2]), count=(3.0, None), further=(1.0, [0, 2]))) == ([], 3)
    assert [m.key for m in results.compare(full, _result(one_seed, wide=(1.6, [1, 2]), count=(4.0, None)))[0]] == [
        "count",
        "further",
        "wide",
    ]
    mean = _result(one_seed, wide=(1.0, [1, 2]), count=(9.0, None), further=(1.0, [0, 2]))
    mean["00_a"]["metrics"]["count"]["n"] = 3  # a mean over other items is another number
    assert results.compare(full, mean) == ([], 2)
    short = {"seeds": 3, "grid": "short"}
    assert results.compare(full, _result(short, wide=(1.0, [1, 2]), count=(3.0, None))) == ([], 2)
    assert "made with grid short, seeds 3, recorded with grid full, seeds 3" in results.made_otherwise(full, _result(short))[0]
    assert results.made_otherwise(full, full) == []


@pytest.fixture
def clean_tree(monkeypatch):
    monkeypatch.setattr(results, "commit", lambda: "abc")


def test_another_number_of_seeds_is_another_draw_and_the_intervals_must_meet():
    three, one = ({"x": {"value": v, "ci": ci, "n": 1, "seeds": n}} for v, ci, n in ((1.0, [0.9, 1.1], 3), (1.25, [1.05, 1.45], 1)))

    def results_of(metrics, seeds):
        return {"00_x": {"metrics": metrics, "provenance": {"parameters": {"seeds": seeds}}}}

    assert results.compare(results_of(three, 3), results_of(one, 1)) == ([], 1)
    assert len(results.compare(results_of(three, 3), results_of({"x": one["x"] | {"seeds": 3}}, 3))[0]) == 1, "same seeds, same number"
    by_the_clock = {"x": one["x"] | {"value": 1.24, "ci": [1.23, 1.25], "seeds": 3, "clock": True}}
    assert results.compare(results_of(three, 3), results_of(by_the_clock, 3)) == ([], 1), "no two runs share a clock"
    slower = {"x": by_the_clock["x"] | {"value": 1.26}}
    assert len(results.compare(results_of(three, 3), results_of(slower, 3))[0]) == 1, "but a quarter is no accident"
    assert len(results.compare(results_of(by_the_clock, 3), results_of({}, 3))[0]) == 1, "and it must be there"
    apart = {"x": one["x"] | {"value": 1.35, "ci": [1.15, 1.55]}}
    assert len(results.compare(results_of(three, 3), results_of(apart, 1))[0]) == 1


def test_another_kind_of_processor_is_another_draw_too():
    recorded = _result(gain=(1.0, [0.9, 1.1]), loss=(1.2, None), reproduced=(26.0, None))
    near = _result(gain=(1.25, [1.05, 1.45]), loss=(1.21, None), reproduced=(25.0, None))
    assert [m.key for m in results.compare(recorded, near)[0]] == ["gain", "loss", "reproduced"]
    assert results.compare(recorded, near, elsewhere=True) == ([], 1), "what has no interval says nothing across processors"
    apart = _result(gain=(1.35, [1.15, 1.55]), loss=(1.2, None), reproduced=(26.0, None))
    assert [m.key for m in results.compare(recorded, apart, elsewhere=True)[0]] == ["gain"]
    lost = _result(loss=(1.2, None), reproduced=(26.0, None))
    assert [m.key for m in results.compare(recorded, lost, elsewhere=True)[0]] == ["gain"], "missing"


def test_record_then_verify(run, tmp_path, clean_tree):
    run.metric("x", 1)
    run.table("levels", pd.DataFrame({"a": [1]}))
    run.finish()
    reference = tmp_path / "reference"
    written = results.record("smoke", "first", tmp_path, reference)
    assert {p.relative_to(reference).as_posix() for p in written} == {
        "smoke/00_quickstart.json",
        "smoke/tables/00_quickstart.levels.csv",
        "smoke/record.json",
    }
    assert results.verify("smoke", tmp_path, reference) == ([], 1, [])
    assert json.loads((reference / "smoke/record.json").read_text())[0]["reason"] == "first"


def test_what_an_earlier_run_left_goes_from_the_build_and_from_the_reference(run, tmp_path, clean_tree):
    reference = tmp_path / "reference"
    run.metric("x", 1)
    for name in ("levels", "renamed"):
        run.table(name, pd.DataFrame({"a": [1]}))
    run.finish()
    results.record("smoke", "first", tmp_path, reference)
    again = results.start("00_quickstart", "smoke", 0, tmp_path)
    assert not [p for p in run.folder.rglob("00_quickstart*") if p.is_file()], "nothing of the run before beside the new one's"
    again.table("levels", pd.DataFrame({"a": [2]}))
    again.finish()
    results.record("smoke", "second", tmp_path, reference)
    assert [p.name for p in (reference / "smoke" / "tables").iterdir()] == ["00_quickstart.levels.csv"]


def test_another_seed_is_named_and_compared_by_its_interval():
    one, other = (
        {"00_x": {"metrics": {"x": {"value": v, "ci": [v - 1, v + 1], "n": 1, "seeds": 1}, "loss": {"value": v, "ci": None, "n": 1, "seeds": 1}},
                  "provenance": {"parameters": {}, "seed": seed}}}
        for v, seed in ((5.0, 0), (6.5, 3))
    )  # fmt: skip
    assert results.compare(one, other) == ([], 1)
    assert "seed 3" in results.made_otherwise(one, other)[0]


def test_record_wants_a_reason(run, tmp_path, clean_tree):
    run.finish()
    with pytest.raises(PlotTwistError, match="reason"):
        results.record("smoke", "  ", tmp_path, tmp_path / "reference")


def test_record_refuses_a_dirty_tree_now_and_then(run, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "commit", lambda: "abc-dirty")
    run.finish()
    with pytest.raises(PlotTwistError, match="uncommitted"):
        results.record("smoke", "why", tmp_path, tmp_path / "reference")
    monkeypatch.setattr(results, "commit", lambda: "abc")
    with pytest.raises(PlotTwistError, match="run it again on a clean tree"):
        results.record("smoke", "why", tmp_path, tmp_path / "reference")


def test_commit_sees_a_change_in_the_tree(repository, monkeypatch):
    monkeypatch.setattr(results, "ROOT", repository.root)
    git = ["git", "-C", str(repository.root), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    assert not results.commit().endswith("-dirty")
    (repository.root / "Snakefile").write_text("")
    assert results.commit().endswith("-dirty")


def test_verify_without_a_reference_says_how_to_get_one(tmp_path):
    with pytest.raises(PlotTwistError, match="plottwist record"):
        results.verify("smoke", tmp_path, tmp_path)


CLAIM = {
    "id": "c",
    "source": "paper, table 1",
    "statement": "x is large",
    "scope": "direct",
    "notebook": "00_a",
    "metric": "x",
    "test": {"direction": ">=", "threshold": 0.5},
}


@pytest.mark.parametrize(
    ("value", "ci", "scope", "status"),
    [
        (0.9, [0.6, 1.0], "direct", "reproduced"),
        (0.9, [0.4, 1.0], "direct", "partly"),
        (0.4, [0.3, 0.9], "direct", "not reproduced"),
        (0.9, [0.6, 1.0], "analogue", "reproduced (analogue)"),
        (0.9, [0.6, 1.0], "by construction", "reproduced (by construction)"),
        (0.5, None, "direct", "reproduced"),
    ],
)
def test_status_is_computed(value, ci, scope, status):
    claim = claims.Claim.model_validate(CLAIM | {"scope": scope})
    assert claims.judge(claim, _result(x=(value, ci))).status == status


def test_below_claims_use_the_upper_end():
    claim = claims.Claim.model_validate(CLAIM | {"test": {"direction": "<", "threshold": 0.5}})
    assert claims.judge(claim, _result(x=(0.4, [0.3, 0.6]))).status == "partly"


def test_a_claim_without_its_number_or_its_seeds_is_not_run():
    claim = claims.Claim.model_validate(CLAIM | {"seeds": 3})
    assert claims.judge(claim, {}).status == "not run"
    assert claims.judge(claim, _result(x=(0.9, None))).status == "not run"


def test_an_edited_claim_says_amended_for_good(tmp_path):
    import yaml

    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump([CLAIM]))
    claims.remember("cpu", tmp_path)  # nothing of its notebook is recorded yet: a claim may still be mended
    assert json.loads((tmp_path / "claims.lock.json").read_text()) == {}
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / f"{CLAIM['notebook']}.json").write_text("{}")
    claims.remember("cpu", tmp_path)
    assert not claims.judge_all({}, tmp_path)[0].amended
    file.write_text(yaml.safe_dump([CLAIM | {"test": {"direction": ">=", "threshold": 0.1}}]))
    claims.remember("cpu", tmp_path)
    verdict = claims.judge_all({}, tmp_path)[0]
    assert verdict.amended and verdict.row()["status"] == "not run, amended"


def test_a_claim_added_to_a_notebook_that_is_recorded_says_so(tmp_path):
    import yaml

    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / f"{CLAIM['notebook']}.json").write_text("{}")
    log = [{"notebooks": [CLAIM["notebook"]]}]
    for claims_there, entries in (([CLAIM], log), ([CLAIM, CLAIM | {"id": "late"}], log * 2)):
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(claims_there))
        (tmp_path / "cpu" / "record.json").write_text(json.dumps(entries))
        claims.remember("cpu", tmp_path)
    assert {v.claim.id: v.amended for v in claims.judge_all({}, tmp_path)} == {CLAIM["id"]: False, "late": True}


@pytest.mark.parametrize(
    "rows",
    ["- id: a", "nonsense", "[1, 2]", "- {id: [}", "\x07"],
)
def test_a_broken_claims_file_is_one_line(tmp_path, rows):
    file = tmp_path / "claims.yaml"
    file.write_text(rows)
    with pytest.raises(PlotTwistError) as error:
        claims.read(file)
    assert "\n" not in str(error.value)


def test_an_id_stands_once(tmp_path):
    import yaml

    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM, CLAIM]))
    with pytest.raises(PlotTwistError, match="twice"):
        claims.read(tmp_path / "claims.yaml")


def test_every_claim_belongs_to_a_paper_that_the_claims_notebook_shows():
    shown = {"PlotTwist", "LongStory", "Diverse creative writing", "Stories with language models", "this repository"}
    assert {c.paper for c in claims.read()} <= shown
    notebook = (paths.NOTEBOOKS / "09_claims.ipynb").read_text()
    assert all(f'shown(\\"{paper}\\")' in notebook for paper in shown)
