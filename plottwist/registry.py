"""Shipped data files and their checksums: a file that is not what was committed is refused, and what was read is remembered.

``data/registry.txt`` holds one line a file: sha256, two spaces, path below ``data/`` (the format of ``sha256sum``).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.paths import SHIPPED

THIRD_PARTY = "third-party/"

_used: dict[str, str] = {}


def path(name: str) -> Path:
    """The checked path of a shipped file, e.g. ``plots/plots.jsonl``.

    Raises:
        PlotTwistError: unknown to the registry, missing on disk, or its sha256 is not the registered one.
    """
    registered = entries()
    if name not in registered:
        raise PlotTwistError(f"data/{name} is not in data/registry.txt; after adding a file run `plottwist data register`")
    _check(name, registered[name])
    _used[name] = registered[name]
    return SHIPPED / name


def note(name: str, digest: str) -> None:
    """Remember that a third-party table was read."""
    _used[THIRD_PARTY + name] = digest


def used() -> dict[str, str]:
    """The data files that this process has read, with their sha256: the provenance of a result."""
    return dict(sorted(_used.items()))


@cache
def entries() -> dict[str, str]:
    """File name -> sha256, as registered."""
    file = SHIPPED / "registry.txt"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PlotTwistError(f"cannot read {file}: {error.strerror}; is this a complete clone?") from error
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines if line.strip())}


def shipped_files() -> list[str]:
    """Every file below ``data/`` that belongs in the registry (cards and the registry itself do not)."""
    found = (p for p in SHIPPED.rglob("*") if p.is_file() and p.suffix in {".yaml", ".jsonl", ".csv"})
    return sorted(p.relative_to(SHIPPED).as_posix() for p in found)


def register() -> int:
    """Write ``data/registry.txt`` anew from the files on disk; returns their number."""
    lines = [f"{sha256(SHIPPED / name)}  {name}\n" for name in shipped_files()]
    files.write_text(SHIPPED / "registry.txt", "".join(lines))
    entries.cache_clear()
    _check.cache_clear()
    return len(lines)


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def _check(name: str, expected: str) -> None:
    file = SHIPPED / name
    if not file.is_file():
        raise PlotTwistError(f"data/{name} is missing; restore it with `git checkout -- data`")
    if sha256(file) != expected:
        raise PlotTwistError(
            f"data/{name} does not match its sha256 in data/registry.txt; restore it with `git checkout -- data`, "
            "or run `plottwist data register` if the change is meant"
        )
