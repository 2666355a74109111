"""Bad input at the command line: one clear line and exit code 2."""

import os

import pytest


def _one_line(answer, *words):
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert all(word in answer.stderr for word in words), answer.stderr


def test_unknown_profile(repository):
    _one_line(repository.plottwist("reproduce", "--profile", "cpuu"), "unknown profile", "cpu")


def test_unknown_profile_key(repository):
    file = repository.root / "own.yaml"
    file.write_text((repository.root / "plottwist/profiles/smoke.yaml").read_text() + "thread: 2\n")
    _one_line(repository.plottwist("reproduce", "--profile", str(file)), "thread", "threads")


def test_misspelled_parameter(repository):
    repository.notebook("00_a", "pass")
    _one_line(repository.plottwist("run", "00", "--profile", "smoke", "-p", "SEDE=1"), "SEDE", "SEED")


def test_unknown_notebook_and_figure(repository):
    _one_line(repository.plottwist("reproduce", "--only", "77", "--profile", "smoke"), "77")
    _one_line(repository.plottwist("figures", "99_x.y", "--results", str(repository.root)), "99_x.y")


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs /proc as a folder nobody can write to")
def test_unwritable_results_folder(repository):
    repository.notebook("00_a", "pass")
    _one_line(repository.plottwist("reproduce", "--profile", "smoke", "--out", "/proc/build"), "/proc/build")


def test_a_failing_cell_is_named_and_the_copy_kept(repository):
    repository.notebook("00_a", "1 / 0")
    answer = repository.plottwist("run", "00", "--profile", "smoke")
    line = answer.stderr.splitlines()[-1]
    assert answer.returncode == 2
    assert "ZeroDivisionError" in line and "00_a.failed.ipynb" in line
    assert (repository.out / "notebooks/smoke/00_a.failed.ipynb").is_file()
    assert not repository.result("00_a").exists()


def test_data_that_is_read_must_be_declared(repository):
    name = (repository.root / "data/registry.txt").read_text().split()[1]
    repository.notebook("00_a", f"from plottwist import registry\nregistry.path('{name}')")
    answer = repository.plottwist("run", "00", "--profile", "smoke")
    assert answer.returncode == 2 and "does not declare it" in answer.stderr
    repository.notebook("00_a", f"from plottwist import registry\nregistry.path('{name}')", data=[name.split("/")[0]])
    assert repository.plottwist("run", "00", "--profile", "smoke").returncode == 0
