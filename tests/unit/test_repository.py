"""The house rules that a machine can hold: pins, walls, stripped notebooks, imports."""

import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml

from plottwist import claims, dag
from plottwist.paths import NOTEBOOKS, ROOT


def _lock():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_pins_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [re.split(r"[<>=\[]", d)[0] for d in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    assert {_plain(d) for d in direct} <= {_plain(n) for n in _lock()}


def test_torch_is_pinned_without_a_local_tag():
    assert _lock()["torch"] == "2.13.0"
    assert not any("+" in version for version in _lock().values())


def test_environment_yml_is_the_lock_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert pip == "pip" and packages == {"pip": ["-r requirements.lock", "-e ."]}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python == "python=3.11" and wanted == ">=3.11,<3.12"


def test_what_is_installed_is_what_is_locked():
    from importlib.metadata import version

    wrong = {n: (v, version(n)) for n, v in _lock().items() if version(n).split("+")[0] != v}
    assert not wrong


@pytest.mark.parametrize("module", ["plottwist.cli", "plottwist.results", "plottwist.figures", "plottwist.stats", "plottwist.claims"])
def test_the_light_modules_import_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", dag.notebooks().values(), ids=lambda p: p.stem)
def test_a_notebook_is_stripped_and_has_its_parameters(path):
    node = nbformat.read(path, as_version=4)
    code = [c for c in node.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    tagged = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert {"PROFILE", "SEED", "OUT"} <= set(re.findall(r"^([A-Z_]+) = ", tagged[0].source, re.MULTILINE))
    assert node.metadata.kernelspec.name == "python3"
    assert "run.finish()" in code[-1].source


def test_no_function_is_defined_in_two_notebooks():
    defined = {}
    for path in dag.notebooks().values():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                for name in re.findall(r"^def (\w+)", cell.source, re.MULTILINE):
                    defined.setdefault(name, []).append(path.stem)
    assert not {name: where for name, where in defined.items() if len(where) > 1}


def test_claims_name_notebooks_that_exist():
    assert {c.notebook for c in claims.read()} <= set(dag.notebooks())


def test_a_notebook_depends_on_what_it_imports_and_on_nothing_else():
    name = next(iter(dag.notebooks()))
    files = [p.removeprefix(f"{ROOT}/") for p in dag.inputs(NOTEBOOKS / f"{name}.ipynb", "smoke")]
    assert {"plottwist/results.py", "plottwist/errors.py", "plottwist/__init__.py"} <= set(files)
    assert "plottwist/cli.py" not in files
    assert not [f for f in files if f.endswith(".yaml") and "profiles" in f]  # of a profile, only the declared sections count
    assert "plottwist/figures/reward.py" not in files  # looks never make an experiment run again
