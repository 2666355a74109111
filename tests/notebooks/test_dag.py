"""The whole chain on small notebooks: what runs again, what does not, and what a kill leaves behind."""

import json
import os
import signal
import subprocess
import time

import psutil
import pytest

LIGHT = "from plottwist import stats\nrun.metric('x', stats.mean([1.0, 2.0, 4.0]))"
SLOW = LIGHT + "\nimport time, pathlib\npathlib.Path(OUT, 'reached').touch()\ntime.sleep(4)"


def _metrics(path):
    return json.loads(path.read_text())["metrics"]


def _reproduce(repository, *arguments):
    return repository.plottwist("reproduce", "--profile", "smoke", "--cores", "2", *arguments)


@pytest.fixture
def three(repository):
    (repository.root / "results/claims.yaml").write_text("[]\n")
    repository.notebook("00_a", LIGHT)
    repository.notebook("01_b", "from plottwist.corpora import split\n" + LIGHT)
    repository.notebook("02_c", LIGHT, needs=["01_b"])
    return repository


def test_a_changed_module_reruns_only_what_depends_on_it(three):
    first = _reproduce(three)
    assert first.returncode == 0, first.stderr
    results = {n: three.result(n) for n in ("00_a", "01_b", "02_c")}
    before = {n: p.stat().st_mtime_ns for n, p in results.items()}
    assert _reproduce(three).returncode == 0
    assert {n: p.stat().st_mtime_ns for n, p in results.items()} == before
    module = three.root / "plottwist/corpora/split.py"
    module.write_text(module.read_text() + "\n# changed\n")
    again = _reproduce(three)
    assert again.returncode == 0, again.stderr
    changed = {n for n, p in results.items() if p.stat().st_mtime_ns != before[n]}
    assert changed == {"01_b", "02_c"}  # 02_c uses the result of 01_b


def test_two_runs_give_identical_results(three):
    assert _reproduce(three, "--only", "01").returncode == 0
    assert _reproduce(three, "--only", "01", "--out", str(three.root / "other")).returncode == 0
    one, two = (json.loads((three.root / f / "results/smoke/01_b.json").read_text()) for f in ("build", "other"))
    for result in (one, two):
        for varies in ("seconds", "peak_memory_mb", "commit"):
            del result["provenance"][varies]
    assert one == two


def test_a_result_made_with_another_seed_is_not_up_to_date(three):
    assert three.plottwist("run", "00", "--profile", "smoke", "-p", "SEED=3").returncode == 0
    assert json.loads(three.result("00_a").read_text())["provenance"]["seed"] == 3
    assert _reproduce(three, "--only", "00").returncode == 0
    assert json.loads(three.result("00_a").read_text())["provenance"]["seed"] == 0


@pytest.mark.parametrize("when", ["before the notebook", "in the notebook", "late in the notebook"])
def test_killed_and_run_again(three, when):
    three.notebook("01_b", SLOW)
    process = subprocess.Popen(
        three.command("reproduce", "--profile", "smoke", "--cores", "1"), cwd=three.root, env=three.environment(), stderr=subprocess.DEVNULL
    )
    reached = three.out / "reached"
    deadline = time.monotonic() + 60
    while not (reached.exists() or (when == "before the notebook" and three.out.exists())) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep({"before the notebook": 0.5, "in the notebook": 0.1, "late in the notebook": 3.0}[when])
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not three.result("02_c").exists()
    again = _reproduce(three)
    assert again.returncode == 0, again.stderr
    assert [_metrics(three.result(n)) for n in ("00_a", "01_b", "02_c")] == [_metrics(three.result("00_a"))] * 3
    assert not list(three.out.rglob("*.tmp"))
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(three.root) in " ".join(p.info["cmdline"] or []) and p.pid != os.getpid()
    ]


def test_two_reproductions_in_one_folder(three, monkeypatch):
    three.notebook("00_a", "import time, pathlib\npathlib.Path(OUT, 'reached').touch()\ntime.sleep(25)")
    first = subprocess.Popen(
        three.command("reproduce", "--profile", "smoke", "--only", "00"), cwd=three.root, env=three.environment(), stderr=subprocess.PIPE
    )
    while not (three.out / "reached").exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = _reproduce(three)
    assert second.returncode == 2
    assert "another reproduction is at work" in second.stderr
    assert first.wait(120) == 0


def test_one_failure_does_not_stop_the_others(three):
    three.notebook("00_a", "raise ValueError('no luck')")
    answer = _reproduce(three)
    assert answer.returncode == 2
    assert "00_a: cell" in answer.stderr and "no luck" in answer.stderr
    assert three.result("02_c").is_file()


def test_a_killed_kernel_is_one_line(three):
    three.notebook("00_a", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    killed = three.plottwist("run", "00", "--profile", "smoke")
    assert killed.returncode == 2 and not three.result("00_a").exists()
    assert "kernel was killed" in killed.stderr.splitlines()[-1] and "Traceback" not in killed.stderr


def test_a_changed_setting_reruns_only_the_notebooks_of_its_section(three):
    three.notebook("01_b", "plots = run.profile.quickstart.plots\n" + LIGHT, sections=["quickstart"])
    profile = three.root / "own.yaml"
    profile.write_text((three.root / "plottwist/profiles/smoke.yaml").read_text().replace("name: smoke", "name: own"))
    assert three.plottwist("reproduce", "--profile", "own.yaml", "--cores", "2").returncode == 0
    before = {n: three.result(n, "own").stat().st_mtime_ns for n in ("00_a", "01_b", "02_c")}
    profile.write_text(profile.read_text().replace("plots: 400", "plots: 401"))
    again = three.plottwist("reproduce", "--profile", "own.yaml", "--cores", "2")
    assert again.returncode == 0, again.stderr
    assert {n for n, t in before.items() if three.result(n, "own").stat().st_mtime_ns != t} == {"01_b", "02_c"}


def test_a_section_that_is_used_must_be_declared(three):
    three.notebook("01_b", "plots = run.profile.quickstart.plots\n" + LIGHT)
    failed = three.plottwist("run", "01", "--profile", "smoke")
    assert failed.returncode == 2 and "quickstart" in failed.stderr and "metadata.plottwist.sections" in failed.stderr
    assert not three.result("01_b").exists()


def test_a_notebook_that_leaves_no_result_is_not_saved_by_that_of_an_earlier_run(three):
    assert three.plottwist("run", "00", "--profile", "smoke").returncode == 0
    path = three.root / "notebooks/00_a.ipynb"
    path.write_text(path.read_text().replace("run.finish()", "pass"))
    failed = three.plottwist("run", "00", "--profile", "smoke")
    assert failed.returncode == 2 and "00_a ended without a result" in failed.stderr
