"""What two notebooks train alike, trained once: each artifact is a node of the DAG with a folder of its own.

An artifact is a folder ``<out>/artifacts/<profile>/<name>/seed<seed>/`` with a file ``done``; a notebook asks for it in its metadata.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from plottwist import dag, files, profiles, reproducible
from plottwist.errors import PlotTwistError
from plottwist.paths import BUILD


@dataclass(frozen=True)
class Artifact:
    """How to make it: ``make(profile, seed, folder)`` fills the folder; ``modules`` are what decides what is in it."""

    make: Callable[[profiles.Profile, int, Path], None]
    modules: tuple[str, ...]
    data: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _reward_model(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.reward import experiments

    experiments.make_artifact(profile, seed, path)


def _longstory(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.longstory import experiments

    experiments.make_artifact(profile, seed, path)


def _story_classifiers(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.longstory import data
    from plottwist.metrics import long_form

    long_form.make_judges(data.total(data.load(profile), "judges"), profile.longstory.judge_epochs, seed, path)


def _writer(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.generator import experiments

    experiments.make_artifact(profile, seed, path)


def _studio_model(profile: profiles.Profile, seed: int, path: Path) -> None:
    from plottwist.studio import small

    writer = path.parents[1] / "writer" / path.name
    if not (writer / "done").is_file():
        _fill("writer", profile, seed, writer)
    small.make_artifact(profile.studio, writer, seed, path)


ARTIFACTS: dict[str, Artifact] = {
    "longstory": Artifact(_longstory, ("plottwist.longstory.experiments",), data=("storyworld", "films"), sections=("longstory",)),
    "story_classifiers": Artifact(
        _story_classifiers,
        ("plottwist.metrics.long_form", "plottwist.longstory.data"),
        data=("storyworld", "films"),
        sections=("longstory",),
    ),
    "reward_model": Artifact(_reward_model, ("plottwist.reward.experiments",), data=("plots", "ratings"), sections=("reward",)),
    "writer": Artifact(_writer, ("plottwist.generator.experiments",), data=("plots", "ratings", "storyworld"), sections=("generator",)),
    "studio_model": Artifact(_studio_model, ("plottwist.studio.small",), data=("storyworld",), sections=("studio",), needs=("writer",)),
}


def folder(name: str, profile: str, out: str | Path = BUILD, seed: int = 0) -> Path:
    """The folder of an artifact; made first where it is missing (the DAG makes that of the first seed beforehand).

    Raises:
        PlotTwistError: no such artifact.
    """
    path = _place(name, profiles.load(profile).name, Path(out), seed)
    if not is_made(name, profile, out, seed):
        make(name, profile, seed, Path(out))
    return path


def is_made(name: str, profile: str, out: str | Path = BUILD, seed: int = 0) -> bool:
    """Whether an artifact is there, whole. Raises PlotTwistError if none has that name."""
    _known(name)
    return (_place(name, profiles.load(profile).name, Path(out), seed) / "done").is_file()


def make(name: str, profile: str, seed: int, out: Path) -> Path:
    """Make an artifact; its ``done`` file is written last, and an old one is removed first."""
    _known(name)
    if name != "writer" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise PlotTwistError(f"the artifact '{name}' is made by one process; only 'writer' can be started with accelerate")
    settings = profiles.load(profile)
    path = _place(name, settings.name, out, seed)
    os.environ.update(reproducible.environment(settings.threads, settings.hub, settings.device))
    import torch  # noqa: F401  (so that the line below reaches it)

    reproducible.seed_everything(seed, settings.threads)
    _fill(name, settings, seed, path)
    return path


def _fill(name: str, settings: profiles.Profile, seed: int, path: Path) -> None:
    if reproducible.first_process():
        (path / "done").unlink(missing_ok=True)
    ARTIFACTS[name].make(settings, seed, path)
    if reproducible.first_process():
        files.write_text(path / "done", "")
        for left in path.glob("checkpoint*"):  # nobody goes on from what is finished
            shutil.rmtree(left)


def settings(profile: profiles.Profile, sections: Iterable[str], names: Iterable[str]) -> str:
    """The part of a profile that a notebook or artifact with these sections and artifacts depends on, as JSON."""
    return json.dumps(profile.settings({*sections, *(s for n in names for s in ARTIFACTS[n].sections)}), sort_keys=True)


def inputs(name: str, profile: str) -> list[str]:
    """Files whose change makes it necessary to make the artifact again."""
    return [*dag.module_files(set(ARTIFACTS[name].modules)), *dag.data_files(ARTIFACTS[name].data, profile)]


def _place(name: str, profile: str, out: Path, seed: int) -> Path:
    return out.resolve() / "artifacts" / profile / name / f"seed{seed}"


def _known(name: str) -> None:
    if name not in ARTIFACTS:
        raise PlotTwistError(f"no artifact '{name}'; known: {', '.join(ARTIFACTS)}")
