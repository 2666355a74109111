"""What may go wrong in the night, done to the real notebooks: nothing is lost, and one clear line says what happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plottwist import dag, paths

pytestmark = pytest.mark.slow
VARIES = ("seconds", "peak_memory_mb", "commit")


def _start(out: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "plottwist", "reproduce", "--profile", "smoke", "--out", str(out), *arguments]
    return subprocess.Popen(command, cwd=paths.ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _results(out: Path) -> dict[str, dict]:
    found = {}
    for path in sorted((out / "results/smoke").glob("*.json")):
        result = json.loads(path.read_text())
        metrics = {k: v for k, v in result["metrics"].items() if not v.get("clock")}  # no two runs share a clock
        found[path.stem] = {"metrics": metrics, "provenance": {k: v for k, v in result["provenance"].items() if k not in VARIES}}
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, float]:
    """A whole smoke run that nobody touches, and how long it took."""
    out, began = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    assert _start(out).wait(3600) == 0
    return out, time.monotonic() - began


def test_ten_kills_and_the_results_are_those_of_an_undisturbed_run(undisturbed, tmp_path):
    reference, seconds = undisturbed
    moments = random.Random(0)
    for _ in range(10):
        run = _start(tmp_path)
        time.sleep(moments.uniform(3, 3 + seconds / 6))
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
        run.wait(60)
    assert _start(tmp_path).wait(3600) == 0
    assert set(_results(reference)) == set(dag.notebooks())
    assert _results(tmp_path) == _results(reference)
    tables = sorted(p.relative_to(reference) for p in (reference / "results/smoke/tables").iterdir() if not p.name.endswith(".cost.csv"))
    assert len(tables) > 20
    for table in tables:
        assert (tmp_path / table).read_bytes() == (reference / table).read_bytes(), table


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_leaves_no_half_result(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a tmpfs")
    try:
        command = [sys.executable, "-m", "plottwist", "run", "00", "--profile", "smoke", "--out", str(small)]
        failed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
        assert failed.returncode == 2
        assert "No space left on device" in failed.stderr.splitlines()[-1]
        for path in small.rglob("*.json"):
            json.loads(path.read_text())
        assert not (small / "results/smoke/00_quickstart.json").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_corrupt_artifact_is_named(undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed[0] / "artifacts", out / "artifacts")
    weights = next((out / "artifacts/smoke/reward_model").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    command = [sys.executable, "-m", "plottwist", "run", "05", "--profile", "smoke", "--out", str(out)]
    failed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 2, failed.stderr
    assert str(weights.parent) in failed.stderr.splitlines()[-1]
    assert not (out / "results/smoke/05_acclaimed_vs_panned.json").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    command = [sys.executable, "-m", "plottwist", "reproduce", "--profile", "smoke", "--out", str(blocked / "build")]
    failed = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 2 and len(failed.stderr.strip().splitlines()) == 1 and "--out" in failed.stderr


def test_two_local_workers_run_the_graph(tmp_path):
    """The DAG through Snakemake itself, as a cluster would take it: two jobs at once, each a process of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--config", "profile=smoke", f"out={tmp_path}", "--cores", "2", "--jobs", "2", "--quiet", "all"]
    command += ["--", str(tmp_path / "results/smoke/00_quickstart.json"), str(tmp_path / "results/smoke/01_reward_model.json")]
    assert subprocess.run(command, cwd=paths.ROOT, capture_output=True, check=False).returncode == 0
    assert set(_results(tmp_path)) == {"00_quickstart", "01_reward_model"}
