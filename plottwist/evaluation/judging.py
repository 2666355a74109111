"""``plottwist judge``: any number of texts before the panel, as a stream of judgements."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from tqdm import tqdm

from plottwist import registry
from plottwist.backends import Backend
from plottwist.corpora import texts
from plottwist.errors import PlotTwistError
from plottwist.evaluation.panel import Mind, Recorded, judge
from plottwist.evaluation.records import Judgement, unjudged

MindName = Literal["analytic", "api", "local", "replay"]

_ROWS_AT_ONCE = 16


def judge_file(source: str, column: str = "plot", mind: MindName = "analytic", out: Path | None = None, model: str | None = None) -> int:
    """Judge every row of ``source``; one JSON judgement a row, its item the row's line, to ``out`` (or standard output).

    ``out`` appears whole when the last row is judged; what a served model answered before an interruption is kept (``Api``) and not
    asked again, a local one begins anew. Returns the number of rows; raises PlotTwistError at the first line that is not a row.
    """
    judged = _judged(texts.read(source, column), the_mind(mind, model))
    progress = tqdm(judged, desc="judging", unit=" texts", disable=not sys.stderr.isatty())
    lines = (json.dumps(judgement.model_dump(mode="json"), ensure_ascii=False) + "\n" for judgement in progress)
    if out is None:
        return sum(bool(sys.stdout.write(line)) for line in lines)
    temporary = out.with_name(f".{out.name}.{uuid4().hex}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            rows = sum(bool(stream.write(line)) for line in lines)
        temporary.replace(out)
        return rows
    except OSError as error:
        raise PlotTwistError(f"cannot write {out}: {error.strerror}; choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def the_mind(name: MindName, model: str | None = None) -> Backend | Mind:
    """The mind of that name: fixed measures, the server that the environment names, a chat model in this process (``model``, a folder or
    Hub id), or the shipped judgements."""
    if name not in get_args(MindName):
        raise PlotTwistError(f"no mind '{name}'; known: {', '.join(get_args(MindName))}")
    if (name == "local") != (model is not None):
        raise PlotTwistError("--mind local and --model go together: the folder or Hub id of a chat model")
    if name == "analytic":
        from plottwist.evaluation.analytic import Analytic

        return Analytic()
    if name == "api":
        from plottwist.backends.api import Api

        return Api()
    if name == "local":
        from plottwist.backends.local import Local

        return Local(model)
    return Recorded(*recorded_files())


def recorded_files() -> list[Path]:
    """The shipped judgements that ``replay`` answers from."""
    return [registry.path(f"judgements/{name}.jsonl") for name in ("judgements", "storyworld", "checks")]


def _judged(rows: Iterator[tuple[int, str]], mind: Backend | Mind) -> Iterator[Judgement]:
    """Judgements in the order of the rows, a batch at a time; a row without a letter gets a record without scores."""
    while batch := dict(islice(rows, _ROWS_AT_ONCE)):
        readable = {str(line): text for line, text in batch.items() if any(c.isalnum() for c in text)}
        of_line = {judgement.item: judgement for judgement in judge(readable, mind)}
        for line, text in batch.items():
            yield of_line.get(str(line)) or unjudged(str(line), text, mind.name, "empty text")
