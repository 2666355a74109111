"""What was answered once and kept: the answers of a server by request, and records (JSON lines) by item.

A folder of answers is both the cache of ``api.Api`` and the record that ``Replay`` answers from: one JSON file per
answer, named after the sha256 of model, messages and sampling. It holds no key and no address.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from plottwist.backends.base import Failure, Messages, Sampling
from plottwist.errors import PlotTwistError
from plottwist.files import read_json, read_jsonl, write_text


class Answers:
    """The answers kept in ``folder`` for one model."""

    def __init__(self, folder: Path | str, model: str) -> None:
        self.folder, self.model = Path(folder), model

    def path(self, messages: Messages, sampling: Sampling) -> Path:
        """Where the answer to this request is kept."""
        return self._path(self.model, messages, asdict(sampling))

    def get(self, messages: Messages, sampling: Sampling) -> str | None:
        """The answer, or None if there is none. A file that cannot be used is reported as a warning and counts as none."""
        path = self.path(messages, sampling)
        if not path.exists():
            return None
        try:
            kept = _Kept.model_validate(read_json(path))
        except (PlotTwistError, ValidationError):
            kept = None
        if kept is None or self._path(kept.model, kept.messages, kept.sampling) != path:
            warnings.warn(f"the kept answer {path} is damaged and is discarded", stacklevel=2)
            return None
        return kept.answer

    def put(self, messages: Messages, sampling: Sampling, answer: str, served: str | None = None) -> None:
        """Keep an answer, whole or not at all; ``served`` is the model that the server says it used."""
        kept = _Kept(model=self.model, served=served, messages=messages, sampling=asdict(sampling), answer=answer)
        write_text(self.path(messages, sampling), json.dumps(kept.model_dump(), indent=1) + "\n")

    def _path(self, model: str, messages: Messages, sampling: dict[str, Any]) -> Path:
        key = hashlib.sha256(json.dumps([model, messages, sampling], sort_keys=True).encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.json"


class Replay:
    """A backend that answers only what is kept in ``folder`` for ``model``; any other request is a ``Failure`` that says which."""

    def __init__(self, folder: Path | str, model: str) -> None:
        if not Path(folder).is_dir():
            raise PlotTwistError(f"no folder of recorded answers at {folder}; record one with a live server, or name another")
        self.name, self._answers = model, Answers(folder, model)

    def complete(self, requests: Sequence[Messages], sampling: Sampling) -> list[str | Failure]:
        """The recorded answers, in order."""
        return [self._one(number, messages, sampling) for number, messages in enumerate(requests, start=1)]

    def _one(self, number: int, messages: Messages, sampling: Sampling) -> str | Failure:
        answer = self._answers.get(messages, sampling)
        if answer is not None:
            return answer
        name = self._answers.path(messages, sampling).name
        where = f"of {self.name} in {self._answers.folder} ({name})"
        return Failure(f"request {number} of this call has no recorded answer {where}; ask the model itself first")


Record = TypeVar("Record", bound=BaseModel)


class _Judged(Protocol):
    item: str
    text_sha256: str


def records(path: Path | str, schema: type[Record]) -> dict[str, Record]:
    """The rows of a JSON Lines file as validated records by their ``item``, in the order of the file.

    Raises:
        PlotTwistError: unreadable file, or a line that is not JSON, does not fit ``schema`` or repeats an item (with its number).
    """
    path, found = Path(path), {}
    for position, row in enumerate(read_jsonl(path)):
        try:
            record = schema.model_validate(row)
        except ValidationError as problem:
            error = problem.errors(include_url=False)[0]
            place = ".".join(map(str, error["loc"])) or "the row"
            where = f"{path}, line {_line(path, position)}"
            raise PlotTwistError(f"{where}: {place}: {error['msg']}; mend the line or take it out") from problem
        if record.item in found:
            raise PlotTwistError(f"{path}, line {_line(path, position)}: item {record.item!r} is there twice; keep one of the lines")
        found[record.item] = record
    return found


def verify_text(record: _Judged, text: str) -> None:
    """Raises: PlotTwistError if ``record`` is about another text than ``text`` (its sha256 differs)."""
    actual = text_sha256(text)
    if actual != record.text_sha256:
        differ = f"sha256 {record.text_sha256[:12]}, the text has {actual[:12]}"
        raise PlotTwistError(f"the record of {record.item!r} is about another text ({differ}); judge the text anew or restore it")


def text_sha256(text: str) -> str:
    """The sha256 of a text in UTF-8, as every record stores it."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Kept(BaseModel):
    """One answer as it is kept."""

    model_config = ConfigDict(extra="forbid")

    model: str
    served: str | None
    messages: Messages
    sampling: dict[str, Any]
    answer: str


def _line(path: Path, position: int) -> int:
    """The number of the line of the row at ``position``: ``read_jsonl`` passes over empty lines."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        filled = [number for number, line in enumerate(stream, start=1) if line.strip()]
    return filled[position]
