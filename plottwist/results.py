"""What an experiment leaves behind: metrics with their uncertainty, tables, figures, and where they came from.

A notebook opens a ``Run`` in its first code cell and finishes it in its last one. Everything lands under
``build/results/<profile>/``; the committed reference in ``results/`` changes only through ``record``, and ``compare``
says what moved between the two. Nothing here imports torch.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import resource
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plottwist import files, profiles, registry, reproducible
from plottwist.errors import PlotTwistError
from plottwist.paths import BUILD, RESULTS, ROOT
from plottwist.stats import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "trl", "datasets", "sentence-transformers")
_EXACT = 1e-6
_CLOCK = 0.25  # of a ratio of times, between two runs


@dataclass
class Run:
    """One execution of one notebook. Open it with ``start``."""

    notebook: str
    profile: profiles.Profile
    seed: int
    folder: Path
    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    _started: float = field(default_factory=time.perf_counter)

    def metric(self, key: str, value: Estimate | float, n: int | None = None, seeds: int = 1, clock: bool = False) -> None:
        """Keep a metric. An ``Estimate`` brings its 95% CI and n; a plain number is one that has no sampling error. ``clock``: read from
        a clock, so that no two runs share it (``compare``)."""
        if key in self.metrics:
            raise ValueError(f"metric '{key}' is recorded twice in {self.notebook}")
        if isinstance(value, Estimate):
            ci, n, value = [value.low, value.high], value.n, value.value
        else:
            ci = None
        if not math.isfinite(value):
            raise ValueError(f"metric '{key}' of {self.notebook} is {value}; a result must be a number")
        self.metrics[key] = {"value": float(value), "ci": ci, "n": n, "seeds": seeds} | ({"clock": True} if clock else {})

    def table(self, name: str, frame: pd.DataFrame) -> Path:
        """Keep a table as CSV; figures are drawn from these files alone."""
        path = self.folder / "tables" / f"{self.notebook}.{name}.csv"
        files.write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        return path

    def figure(self, name: str) -> Figure:
        """Draw the figure of that name from the tables kept so far, keep it as PNG beside its table, and return it."""
        from plottwist import figures

        return figures.draw(f"{self.notebook}.{name}", self.folder, self.folder / "figures")

    def model(self, name: str, folder: Path, card: str) -> Path:
        """Keep a trained model (a flat folder) with its card and the sha256 of its files."""
        target = self.folder / "models" / f"{self.notebook}.{name}"
        kept = [p for p in sorted(folder.iterdir()) if p.suffix in {".safetensors", ".json", ".txt"}]
        for path in kept:
            files.write_bytes(target / path.name, path.read_bytes())
        sums = "\n".join(f"{registry.sha256(p)}  {p.name}" for p in kept)
        files.write_text(target / "README.md", f"# {self.notebook}.{name}\n\n{card.strip()}\n\n```\n{sums}\n```\n")
        return target

    def finish(self) -> Path:
        """Write ``<notebook>.json``: metrics and provenance, whole or not at all."""
        path = self.folder / f"{self.notebook}.json"
        files.write_json(
            path, {"notebook": self.notebook, "profile": self.profile.name, "metrics": self.metrics, "provenance": self._provenance()}
        )
        return path

    def _provenance(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "parameters": self.parameters,
            "threads": self.profile.threads,
            "settings": self.profile.settings(profiles.used()),
            "data": registry.used(),
            "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in _PACKAGES}},
            "machine": platform.machine(),
            "commit": commit(),
            "seconds": round(time.perf_counter() - self._started, 1),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def start(notebook: str, profile: str, seed: int, out: str | Path, **parameters: Any) -> Run:
    """Open a run: load the profile, fix seeds and threads, start the clock.

    Args:
        out: the build folder; results go to ``<out>/results/<profile>/``.
        parameters: whatever else decides which metrics there are, such as ``seeds``.
    """
    settings = profiles.load(profile)
    reproducible.seed_everything(seed, settings.threads)
    folder = results_folder(out, settings.name)
    for old in _files_of(folder, notebook):  # or those of two runs would lie side by side, should this one fail
        old.unlink(missing_ok=True)
    return Run(notebook, settings, seed, folder, parameters)


def results_folder(out: str | Path, profile: str) -> Path:
    return Path(out).resolve() / "results" / profile


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Every notebook's result in a results folder, by notebook name."""
    return {p.stem: files.read_json(p) for p in sorted(folder.glob("[0-9][0-9]_*.json"))}


@dataclass(frozen=True)
class Move:
    """A metric that differs from the committed one by more than its tolerance, or stands on one side only."""

    notebook: str
    key: str
    reference: float | None
    value: float | None
    tolerance: float | None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.notebook}: {self.key} is missing (was {self.reference:.6g})"
        if self.reference is None:
            return f"{self.notebook}: {self.key} is new ({self.value:.6g}); record it"
        return f"{self.notebook}: {self.key} moved from {self.reference:.6g} to {self.value:.6g} (tolerance {self.tolerance:.2g})"


def compare(reference: dict[str, dict], result: dict[str, dict], elsewhere: bool = False) -> tuple[list[Move], int]:
    """What moved, notebook by notebook, and how many metrics were compared.

    The tolerance of a metric is half the width of its recorded 95% CI; one recorded without a CI (a count, a checksum-like number) must
    be equal. A metric of another seed or of another number of seeds is another draw: its two CIs must meet. One read from a clock has
    a CI over the rounds of its own run, which knows nothing of the next one: it may move by a quarter. Where a notebook was run with
    other parameters, a number without a CI is compared only if it rests on as many items and seeds, and with another ``grid`` a metric
    may be missing.

    Args:
        elsewhere: the run was made on another kind of processor, which sums in another order, and training makes much of it: every
            metric is another draw, and numbers without a CI are not compared.
    """
    moves, compared = [], 0
    for notebook in sorted(reference.keys() | result.keys()):
        before = reference.get(notebook, {}).get("metrics", {})
        after = result.get(notebook, {}).get("metrics", {})
        differ = _differing(reference.get(notebook), result.get(notebook)) | ({"processor"} if elsewhere else set())
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            if (differ - {"seeds", "processor"} and not (old and new)) or (differ and old and new and not _alike(old, new, differ)):
                continue
            compared += 1
            if move := _moved(notebook, key, old, new, bool(differ & {"seed", "processor"})):
                moves.append(move)
    return moves, compared


def _alike(old: dict[str, Any], new: dict[str, Any], differ: set[str]) -> bool:
    if old["ci"] is not None:
        return True
    return not differ & {"seed", "processor"} and (old["n"], old["seeds"]) == (new["n"], new["seeds"])


def _differing(before: dict[str, Any] | None, after: dict[str, Any] | None) -> set[str]:
    """Parameters in which two results of a notebook differ."""
    if before is None or after is None:
        return set()
    one, other = _parameters(before), _parameters(after)
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def made_otherwise(reference: dict[str, dict], result: dict[str, dict]) -> list[str]:
    """A line for each notebook that was run with other parameters than the recorded ones."""
    lines = []
    for notebook in sorted(reference.keys() & result.keys()):
        before, after = _parameters(reference[notebook]), _parameters(result[notebook])
        if before != after:
            told = [", ".join(f"{k} {v}" for k, v in sorted(p.items())) or "none" for p in (after, before)]
            lines.append(f"{notebook}: made with {told[0]}, recorded with {told[1]}; compared by what both can say")
    return lines


def _parameters(result: dict[str, Any]) -> dict[str, Any]:
    provenance = result["provenance"]
    return provenance.get("parameters", {}) | ({"seed": provenance["seed"]} if provenance.get("seed") else {})


def tolerance(metric: dict[str, Any]) -> float:
    if metric["ci"] is None:
        return _EXACT * max(1.0, abs(metric["value"]))
    return max((metric["ci"][1] - metric["ci"][0]) / 2, _EXACT)


def _moved(notebook: str, key: str, before: dict | None, after: dict | None, other_draw: bool) -> Move | None:
    if before is None or after is None:
        return Move(notebook, key, before and before["value"], after and after["value"], None)
    clock = after.get("clock", False)
    allowed = _CLOCK * abs(before["value"]) if clock else tolerance(before)
    another_draw = not clock and (other_draw or before["seeds"] != after["seeds"]) and before["ci"] and after["ci"]
    if another_draw and before["ci"][0] <= after["ci"][1] and after["ci"][0] <= before["ci"][1]:
        return None
    if not another_draw and abs(before["value"] - after["value"]) <= allowed:
        return None
    return Move(notebook, key, before["value"], after["value"], allowed)


def verify(profile: str, out: Path = BUILD, reference: Path = RESULTS, elsewhere: bool = False) -> tuple[list[Move], int, list[str]]:
    """What moved between the committed results of a profile and a run's, how many metrics were compared, and ``made_otherwise``;
    ``elsewhere`` as in ``compare``.

    Raises:
        PlotTwistError: there is nothing to compare on one side.
    """
    committed, made = load(reference / profile), load(results_folder(out, profile))
    if not committed:
        raise PlotTwistError(f"no committed results for profile '{profile}' in {reference}; run `plottwist record` first")
    if not made:
        raise PlotTwistError(f"no results of profile '{profile}' in {out}; run `plottwist reproduce --profile {profile}` first")
    return *compare(committed, made, elsewhere), made_otherwise(committed, made)


def record(profile: str, reason: str, out: Path = BUILD, reference: Path = RESULTS, notebooks: Iterable[str] | None = None) -> list[Path]:
    """Make a run's results the committed reference: metrics, tables, figures, models.

    Raises:
        PlotTwistError: no reason, a dirty tree (now, or when the results were made), or nothing to record.
    """
    if not reason.strip():
        raise PlotTwistError("recording needs a reason: plottwist record --reason '...'")
    if (state := commit()).endswith("-dirty") or state == "unknown":
        raise PlotTwistError("the tree has uncommitted changes; commit them, so that the results name a state that exists")
    source, target = results_folder(out, profile), reference / profile
    made = {name: r for name, r in load(source).items() if notebooks is None or name in set(notebooks)}
    if not made:
        raise PlotTwistError(f"nothing to record in {source}; run `plottwist reproduce --profile {profile}` first")
    for name, result in made.items():
        if result["provenance"]["commit"].endswith("-dirty"):
            raise PlotTwistError(f"{name} was run on uncommitted changes ({result['provenance']['commit']}); run it again on a clean tree")
    for gone in {p for name in made for p in _files_of(target, name)} - {
        target / p.relative_to(source) for name in made for p in _files_of(source, name)
    }:
        gone.unlink(missing_ok=True)
    written = [_copy(file, source, target) for name in made for file in _files_of(source, name)]
    log = target / "record.json"
    entries = files.read_json(log) if log.exists() else []
    entries.append({"date": date.today().isoformat(), "commit": state, "reason": reason.strip(), "notebooks": sorted(made)})
    files.write_json(log, entries)
    return [*written, log]


def _files_of(source: Path, notebook: str) -> list[Path]:
    found = [source / f"{notebook}.json", *source.glob(f"tables/{notebook}.*"), *source.glob(f"figures/{notebook}.*")]
    return [*found, *(p for p in sorted(source.glob(f"models/{notebook}.*/*")) if p.is_file())]


def _copy(file: Path, source: Path, target: Path) -> Path:
    destination = target / file.relative_to(source)
    files.write_bytes(destination, file.read_bytes())
    return destination


def commit() -> str:
    """The git commit of the repository, with ``-dirty`` where the tree has uncommitted changes; 'unknown' outside git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return f"{head}-dirty" if _git("status", "--porcelain", "--", ".", ":!build") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True).stdout.strip()
