"""What each notebook depends on, for the Snakefile: package modules, data, artifacts, and other notebooks' results.

Modules are found by following imports, so nobody keeps a list. Data and artifacts are declared in the notebook's own metadata:
``{"plottwist": {"data": ["storyworld"], "sections": ["reward"], "artifacts": ["reward_model"], "needs": ["01_reward_model"]}}``, with
the sections of the profile that it uses; the runner refuses a notebook that read shipped data or settings it did not declare.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import nbformat
from pydantic import BaseModel, ConfigDict, ValidationError

from plottwist import profiles, registry
from plottwist.errors import PlotTwistError
from plottwist.paths import NOTEBOOKS, ROOT, SHIPPED, public_data


class Declared(BaseModel):
    """The ``plottwist`` entry of a notebook's metadata."""

    model_config = ConfigDict(extra="forbid")
    data: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()  # those of ``artifacts`` that the notebook asks for with each of its SEEDS
    needs: tuple[str, ...] = ()


def notebooks(folder: Path = NOTEBOOKS) -> dict[str, Path]:
    """Name -> path of every numbered notebook, in order."""
    return {p.stem: p for p in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def find(name: str, folder: Path = NOTEBOOKS) -> str:
    """The full name of the notebook that ``name`` is, or is the number of. Raises PlotTwistError if there is none."""
    known = notebooks(folder)
    for candidate in known:
        if name in (candidate, candidate[:2], f"{candidate}.ipynb"):
            return candidate
    raise PlotTwistError(f"no notebook '{name}'; known: {', '.join(known)}")


def declared(notebook: Path) -> Declared:
    try:
        return Declared.model_validate(_read(notebook).metadata.get("plottwist", {}))
    except ValidationError as error:
        first = error.errors()[0]
        raise PlotTwistError(f"{notebook.name}: metadata 'plottwist': {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def inputs(notebook: Path, profile: str) -> list[str]:
    """Files whose change makes a rerun of the notebook necessary: itself, the package modules, its data."""
    return [str(notebook), *module_files(imported_by(_read(notebook))), *data_files(declared(notebook).data, profile)]


def data_files(names: Collection[str], profile: str) -> list[str]:
    """Shipped files of these data sets and, where the profile reads third-party data, the index with the sha256 of each of its tables."""
    index = public_data() / "index.json"
    third_party = [str(index)] if "public" in profiles.load(profile).data and index.is_file() else []
    return [*(str(SHIPPED / file) for file in registry.shipped_files() if file.split("/")[0] in names), *third_party]


def imported_by(notebook: nbformat.NotebookNode) -> set[str]:
    """Modules of the package that the notebook's code cells import."""
    found: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found |= _imports(ast.parse("\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))))
    return {name for name in found if name.split(".")[0] == "plottwist"}


def module_files(modules: set[str]) -> list[str]:
    """Source files of these modules and of everything in the package that they import, directly or not."""
    graph = _graph()
    closure: set[str] = set()
    for module in modules:
        known = module if module in graph.modules else module.rpartition(".")[0]  # `from a import b`: b may be a function
        closure |= {known, *graph.find_upstream_modules(known)}
    closure |= {".".join(parts[:i]) for m in closure for parts in [m.split(".")] for i in range(1, len(parts))}
    sources = [_source(module) for module in closure]
    return sorted(map(str, [*sources, *(p for source in sources for p in _data_beside(source))]))


@cache
def _graph() -> Any:
    return grimp.build_graph("plottwist", cache_dir=None)


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _data_beside(source: Path) -> list[Path]:
    """Data files of the package that lie beside a module and are named in it."""
    text = source.read_text(encoding="utf-8")
    return [p for p in source.parent.glob("*.yaml") if f'"{p.name}"' in text]


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _read(notebook: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(notebook, as_version=4)
    except OSError as error:
        raise PlotTwistError(f"cannot read notebook {notebook}: {error.strerror}") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise PlotTwistError(f"{notebook} is not a valid notebook: {' '.join(str(error).split())[:200]}") from error
