"""What two notebooks train alike, trained once: each artifact is a node of the DAG with a folder of its own.

An artifact is a folder ``<out>/artifacts/<profile>/<name>/`` with a file ``done``; a notebook asks for it in its metadata.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plottwist import dag, files, profiles, registry, reproducible
from plottwist.errors import PlotTwistError
from plottwist.paths import BUILD, SHIPPED


@dataclass(frozen=True)
class Artifact:
    """How to make it: ``make(profile, seed, folder)`` fills the folder; ``module`` is where it is defined."""

    make: Callable[[profiles.Profile, int, Path], None]
    module: str
    data: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _reward_model(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.reward import experiments

    experiments.make_artifact(profile, seed, path)


ARTIFACTS: dict[str, Artifact] = {
    "reward_model": Artifact(_reward_model, "plottwist.reward.experiments", data=("plots", "ratings")),
}


def folder(name: str, profile: str, out: str | Path = BUILD, seed: int = 0) -> Path:
    """The folder of an artifact; made first where it is missing or was made from another seed (the DAG makes it beforehand).

    Raises:
        PlotTwistError: no such artifact.
    """
    _known(name)
    path = Path(out).resolve() / "artifacts" / profiles.load(profile).name / name
    done = path / "done"
    if not done.is_file() or done.read_text(encoding="utf-8") != _stamp(seed):
        make(name, profile, seed, Path(out))
    return path


def make(name: str, profile: str, seed: int, out: Path) -> Path:
    """Make an artifact; its ``done`` file is written last."""
    _known(name)
    settings = profiles.load(profile)
    path = out.resolve() / "artifacts" / settings.name / name
    os.environ.update(reproducible.environment(settings.threads, settings.hub))
    import torch  # noqa: F401  (so that the line below reaches it)

    reproducible.seed_everything(seed, settings.threads)
    ARTIFACTS[name].make(settings, seed, path)
    files.write_text(path / "done", _stamp(seed))
    return path


def inputs(name: str, profile: str) -> list[str]:
    """Files whose change makes it necessary to make the artifact again."""
    artifact = ARTIFACTS[name]
    data = [str(SHIPPED / f) for f in registry.shipped_files() if f.split("/")[0] in artifact.data]
    return [*dag.module_files({artifact.module}), str(profiles.path(profile)), *data]


def _stamp(seed: int) -> str:
    return f"seed {seed}\n"


def _known(name: str) -> None:
    if name not in ARTIFACTS:
        raise PlotTwistError(f"no artifact '{name}'; known: {', '.join(ARTIFACTS)}")
