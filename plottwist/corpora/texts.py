"""Texts a person brings: JSON Lines, CSV or standard input, read as a stream, with the number of the line that is wrong."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from plottwist.errors import PlotTwistError
from plottwist.files import parse_row

csv.field_size_limit(2**31 - 1)


def read(source: str, column: str) -> Iterator[tuple[int, str]]:
    """(line number, text) for every row of a ``.csv`` or JSON Lines file, or of standard input (``-``: JSON Lines).

    Raises:
        PlotTwistError: unreadable file, wrong encoding, malformed line, missing column (with the ones there are).
    """
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as stream:
            yield from _csv(stream, source, column) if source.endswith(".csv") else _jsonl(stream, source, column)
    except OSError as error:
        raise PlotTwistError(f"cannot read {source}: {error.strerror}") from error


def _jsonl(stream: BinaryIO, source: str, column: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            row = parse_row(line, source, number)
            _check_column(column, row, source, number)
            if not isinstance(row[column], str):
                raise PlotTwistError(f"{source}, line {number}: '{column}' is not text; each row needs a string there")
            yield number, row[column]


def _csv(stream: BinaryIO, source: str, column: str) -> Iterator[tuple[int, str]]:
    reader = csv.DictReader(_decoded(stream, source), strict=True)
    try:
        _check_column(column, reader.fieldnames or [], source, 1)
        for row in reader:
            if row[column] is None or None in row:
                raise PlotTwistError(f"{source}, line {reader.line_num}: the number of fields does not match the header")
            yield reader.line_num, row[column]
    except csv.Error as error:
        raise PlotTwistError(f"{source}, line {reader.line_num}: not valid CSV ({error})") from error


def _decoded(stream: BinaryIO, source: str) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise PlotTwistError(f"{source}, line {number}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error


def _check_column(column: str, columns: object, source: str, number: int) -> None:
    if column not in columns:
        raise PlotTwistError(
            f"{source}, line {number}: no column '{column}' (there are {', '.join(map(str, columns))}); name it with --text-column"
        )
