"""Files written whole or not at all, and JSON lines read with the number of the line that is wrong."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from plottwist.errors import PlotTwistError


def write_text(path: Path, text: str) -> None:
    """Write to a temporary neighbour, then rename: a reader sees the old file or the new one, never half of one.

    Raises:
        PlotTwistError: the folder cannot be written or the disk is full.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As ``write_text``, for bytes."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PlotTwistError(f"cannot write {path}: {error.strerror}; choose another folder or free some space") from error


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """Raises: PlotTwistError naming the file, if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlotTwistError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlotTwistError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def read_yaml(path: Path) -> Any:
    """Raises: PlotTwistError naming the file, if it cannot be read or is not YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PlotTwistError(f"cannot read {path}: {error}") from error


def parse_yaml(text: str, source: str) -> Any:
    """The value of a text in YAML. Raises PlotTwistError naming the source; a day that no month has is no YAML either."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:  # all of these, of some text
        raise PlotTwistError(f"{source} is not valid YAML: {str(error) or type(error).__name__}") from error


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON Lines file (gzipped if it ends in .gz), one object a line.

    Raises:
        PlotTwistError: unreadable file, wrong encoding or a malformed line, with its number.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield parse_row(line, str(path), number)
    except (OSError, EOFError) as error:
        raise PlotTwistError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def insert(path: Path, begin: str, end: str, content: str) -> None:
    """Replace what stands between two marker lines of a text file. Raises PlotTwistError if a marker is missing."""
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise PlotTwistError(f"{path} lost its markers; put '{begin}' and '{end}' back")
    write_text(path, f"{text.split(begin)[0]}{begin}\n\n{content}\n\n{end}{text.split(end, 1)[1]}")


def parse_row(line: bytes, source: str, number: int) -> dict[str, Any]:
    """One line of a JSON Lines file as an object. Raises PlotTwistError naming source and line."""
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise PlotTwistError(f"{source}, line {number}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise PlotTwistError(f"{source}, line {number}: not valid JSON ({error}); each line must be one JSON object") from error
    if not isinstance(row, dict):
        raise PlotTwistError(f"{source}, line {number}: a JSON {type(row).__name__}, not an object; each line must be one JSON object")
    return row
