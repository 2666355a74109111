"""Shared by all tests: a small repository to break, and the third-party data if it is there."""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")  # before anything imports torch

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from plottwist import paths


@pytest.fixture
def public_data() -> Path:
    folder = paths.public_data()
    if not (folder / "index.json").is_file():
        pytest.skip(f"needs the third-party data, which is not in {folder}; set PLOTTWIST_DATA")
    return folder


class Repository:
    """A copy of the package with notebooks of its own, so that a test may kill, change and corrupt it."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "build"
        for folder in ("plottwist", "data", "results"):
            shutil.copytree(paths.ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(paths.ROOT / "Snakefile", root)
        (root / "notebooks").mkdir()

    def notebook(self, name: str, body: str, parameters: str = "", **metadata: list[str]) -> Path:
        cells = [
            nbformat.v4.new_code_cell(f'PROFILE = "smoke"\nSEED = 0\nOUT = "../build"\n{parameters}', metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(f'from plottwist import results\nrun = results.start("{name}", PROFILE, SEED, OUT)'),
            nbformat.v4.new_code_cell(body),
            nbformat.v4.new_code_cell("run.finish()"),
        ]
        node = nbformat.v4.new_notebook(cells=cells, metadata={"plottwist": metadata})
        node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(node, path)
        return path

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PLOTTWIST_")}
        return {**kept, "PYTHONPATH": str(self.root)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "plottwist", *arguments]

    def plottwist(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*arguments), cwd=self.root, env=self.environment(), capture_output=True, text=True, timeout=timeout
        )

    def result(self, name: str, profile: str = "smoke") -> Path:
        return self.out / "results" / profile / f"{name}.json"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "my repository")  # some paths have spaces
