"""One notebook run headlessly (``run``), or the whole DAG of them through Snakemake (``reproduce``).

``reproduce`` is a thin front over the Snakefile: it holds a lock on the build folder, starts Snakemake and passes its
exit code on. Killed at any point, the next call goes on: finished notebooks are kept, half-written ones run again.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import psutil

from plottwist import artifacts, dag, figures, files, profiles, registry, reproducible
from plottwist.errors import PlotTwistError
from plottwist.paths import BUILD, NOTEBOOKS, ROOT

_PARENT = "PLOTTWIST_PARENT"
_LOCK_PATIENCE = 15  # seconds: jobs of a killed run notice within one second and take a moment to end


def reproduce(profile: str, only: str | None = None, seed: int = 0, seeds: int = 1, out: Path = BUILD, cores: int | None = None) -> int:
    """Run every notebook (or one, with what it needs) that is not up to date. Returns Snakemake's exit code.

    Raises:
        PlotTwistError: unknown profile or notebook, unwritable folder, or another reproduction is at work in it.
    """
    settings = profiles.load(profile)
    names = [dag.find(only)] if only else list(dag.notebooks())
    if seeds > 1 and not any("SEEDS" in parameters_of(dag.notebooks()[name]) for name in names):
        raise PlotTwistError(f"none of {', '.join(names)} repeats its experiment over seeds; leave --seeds out")
    out = out.resolve()
    targets = [str(out / "results" / settings.name / f"{name}.json") for name in names]
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(out)),
        *("--cores", str(cores or os.cpu_count()), "--rerun-incomplete", "--nolock", "--keep-going", "--quiet", "all"),
        *("--config", f"profile={profiles.path(profile).resolve() if profile.endswith(('.yaml', '.yml')) else profile}"),
        *(f"seed={seed}", f"seeds={seeds}", f"out={out}"),
        *("--", *targets),
    ]
    with _locked(out) as lock:
        for target in map(Path, targets):
            if target.is_file() and _made_with_other_seeds(target, seed, seeds):  # by `run`, which the Snakefile does not see
                target.unlink()
        environment = {**os.environ, _PARENT: f"{os.getpid()}:{psutil.Process().create_time()}"}
        code = subprocess.run(command, env=environment, pass_fds=[lock.fileno()], check=False).returncode
        results = out / "results" / settings.name
        for figure in figures.available(results):  # a figure whose code alone has changed needs no training
            figures.draw(figure, results, results / "figures")
    return code


def _made_with_other_seeds(result: Path, seed: int, seeds: int) -> bool:
    provenance = files.read_json(result)["provenance"]
    return provenance["seed"] != seed or provenance.get("parameters", {}).get("seeds", seeds) != seeds


def run(notebook: str, profile: str, out: Path, parameters: Mapping[str, Any], folder: Path = NOTEBOOKS) -> Path:
    """Execute one notebook through papermill; returns the executed copy in ``<out>/notebooks/<profile>/``.

    ``parameters`` are checked against the notebook's ``parameters`` cell; PROFILE and OUT are filled in.

    Raises:
        PlotTwistError: unknown parameter, a cell that failed (named, with its error), or data read but not declared.
    """
    _end_with_parent()
    name = dag.find(notebook, folder)
    source, settings = folder / f"{name}.ipynb", profiles.load(profile)
    values = _checked(source, {"PROFILE": profile, "OUT": str(out.resolve()), **parameters})
    os.environ.update(reproducible.environment(settings.threads, settings.hub, settings.device) | {"JUPYTER_PREFER_ENV_PATH": "1"})
    executed = out.resolve() / "notebooks" / settings.name / f"{name}.ipynb"
    began = time.perf_counter()
    print(f"{name}  started", file=sys.stderr, flush=True)
    result = out.resolve() / "results" / settings.name / f"{name}.json"
    before = _written(result)
    _execute(source, executed, values)
    if _written(result) in (None, before):
        raise PlotTwistError(f"{name} ended without a result; its last cell must call run.finish()")
    _check_declared(source, result)
    print(f"{name}  done in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return executed


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Names and defaults (as source text) of the notebook's ``parameters`` cell."""
    import papermill

    return {name: spec["default"] for name, spec in papermill.inspect_notebook(str(notebook)).items()}


def _checked(notebook: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    known = parameters_of(notebook)
    if unknown := [name for name in values if name not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=2, cutoff=0.3) or list(known)
        raise PlotTwistError(f"{notebook.name} has no parameter '{unknown[0]}'; nearest known: {', '.join(near)}")
    return dict(values)


def _execute(source: Path, executed: Path, parameters: dict[str, Any]) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    partial = executed.with_name(f".{executed.stem}.running.ipynb")
    try:
        executed.parent.mkdir(parents=True, exist_ok=True)
        papermill.execute_notebook(
            *(str(source), str(partial), parameters),
            kernel_name="python3",
            cwd=str(source.parent),
            progress_bar=False,
            extra_arguments=["--log-level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        failed = executed.with_name(f"{executed.stem}.failed.ipynb")
        partial.replace(failed)
        reason = f"{error.ename}: {error.evalue.splitlines()[0] if error.evalue else ''}"
        raise PlotTwistError(f"{source.stem}: cell {error.exec_count} failed with {reason}; see {failed}") from error
    except DeadKernelError as error:
        partial.unlink(missing_ok=True)
        raise PlotTwistError(f"{source.stem}: its kernel was killed, perhaps for memory; run the same command again to go on") from error
    except OSError as error:
        raise PlotTwistError(f"cannot write {executed}: {error.strerror}; choose another folder with --out") from error
    partial.replace(executed)


def _written(path: Path) -> int | None:
    """When a file was last written, in nanoseconds; None if it is not there."""
    return path.stat().st_mtime_ns if path.is_file() else None


def _check_declared(source: Path, result: Path) -> None:
    provenance = files.read_json(result)["provenance"]
    read = {name.split("/")[0] for name in provenance["data"] if not name.startswith(registry.THIRD_PARTY)}
    declared = dag.declared(source)
    made = [artifacts.ARTIFACTS[name] for name in declared.artifacts]  # made by the notebook itself where the DAG has not
    data = {*declared.data, *(d for a in made for d in a.data)}
    sections = {*declared.sections, *(s for a in made for s in a.sections)}
    for kind, missing in (("data", read - data), ("sections", set(provenance["settings"]) & set(profiles.sections()) - sections)):
        if missing:
            result.unlink()
            raise PlotTwistError(
                f"{source.name} uses '{min(missing)}' but does not declare it; add it to metadata.plottwist.{kind} of the notebook"
            )


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[TextIO]:
    """An exclusive lock on the build folder, held until every process of the run has ended."""
    path = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+")
    except OSError as error:
        raise PlotTwistError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from error
    with stream:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while not _try_lock(stream):
            if time.monotonic() > deadline:
                raise PlotTwistError(f"another reproduction is at work in {out}; wait for it, or choose another folder with --out")
            time.sleep(0.2)
        yield stream


def _try_lock(stream: TextIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_with_parent() -> None:
    """End this process and its kernel when the ``reproduce`` that started it has gone: SIGKILL reaches only one process."""
    if (parent := os.environ.get(_PARENT)) is None:
        return
    pid, created = parent.split(":")
    threading.Thread(target=_watch, args=(int(pid), float(created)), daemon=True).start()


def _watch(pid: int, created: float) -> None:
    while _alive(pid, created):
        time.sleep(0.5)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


def _alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
