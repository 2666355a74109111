"""The smoke profile of all notebooks: every experiment runs end to end, leaves its results, and says the same twice."""

import json

import nbformat
import pytest

from plottwist import dag, reproduce

PROFILE = "smoke"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    out = tmp_path_factory.mktemp("build")
    assert reproduce.reproduce(PROFILE, out=out, cores=2) == 0
    return out


@pytest.mark.parametrize("name", dag.notebooks())
def test_a_notebook_leaves_metrics_tables_and_an_executed_copy(build, name):
    result = json.loads((build / f"results/{PROFILE}/{name}.json").read_text())
    assert result["metrics"]
    executed = nbformat.read(build / f"notebooks/{PROFILE}/{name}.ipynb", as_version=4)
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    if list((build / f"results/{PROFILE}/figures").glob(f"{name}.*.png")):
        assert any("image/png" in output.get("data", {}) for output in outputs)
    for table in (build / f"results/{PROFILE}/tables").glob(f"{name}.*.csv"):
        assert table.stat().st_size > 0


def test_run_again_elsewhere_it_says_the_same(build, tmp_path):
    """The reward model is trained anew and 01 run anew: every metric equal, all provenance but time, memory and commit."""
    assert reproduce.reproduce(PROFILE, only="01", out=tmp_path, cores=2) == 0
    one, two = (json.loads((out / f"results/{PROFILE}/01_reward_model.json").read_text()) for out in (build, tmp_path))
    for result in (one, two):
        for varies in ("seconds", "peak_memory_mb", "commit"):
            del result["provenance"][varies]
    assert one == two


def test_nothing_is_run_again_when_nothing_changed(build):
    before = {p: p.stat().st_mtime_ns for p in (build / "results").rglob("*.json")}
    assert reproduce.reproduce(PROFILE, out=build, cores=2) == 0
    assert {p: p.stat().st_mtime_ns for p in (build / "results").rglob("*.json")} == before
