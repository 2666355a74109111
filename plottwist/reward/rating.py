"""``plottwist rate``: any number of texts through the reward model, as a stream of JSON objects."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from plottwist import files, registry
from plottwist.corpora import texts
from plottwist.errors import PlotTwistError
from plottwist.paths import RESULTS
from plottwist.reward import experiments
from plottwist.reward.model import MAX_SENTENCE_WORDS, MAX_SENTENCES, is_cut

COMMITTED = RESULTS / "cpu" / "models" / "01_reward_model.pn"

_ROWS_AT_ONCE = 64


def rate_file(source: str, column: str = "plot", out: Path | None = None, model: Path = COMMITTED) -> int:
    """Rate every row of ``source`` and write one JSON object a row to ``out`` (or standard output); returns their number.

    A row that cannot be rated gets ``error`` instead of scores. An ``out`` that holds rows already is continued after the last
    one. Raises PlotTwistError at the first line that is not a row; what was rated before it stays written.
    """
    rater = experiments.load(model)
    weights = sorted(model.glob("*.safetensors"))
    digest = hashlib.sha256("".join(registry.sha256(p) for p in weights).encode()).hexdigest()[:12]
    rows = texts.read(source, column)
    done = _skip_done(rows, out, digest)
    progress = tqdm(desc="rating", unit=" texts", initial=done, disable=not sys.stderr.isatty())
    try:
        with out.open("a", encoding="utf-8") if out else nullcontext(sys.stdout) as stream, progress:
            for answer in rate_rows(rows, rater):
                stream.write(json.dumps(answer | {"model": digest}, ensure_ascii=False) + "\n")
                done += 1
                progress.update()
    except OSError as error:
        raise PlotTwistError(f"cannot write {out or 'standard output'}: {error.strerror}") from error
    return done


def rate_rows(rows: Iterator[tuple[int, str]], rater: experiments.AnyRewardModel) -> Iterator[dict[str, Any]]:
    """(line, text) -> the line's scores by name, ``overall``, ``uncertainty``; or its ``error``.

    A broken row ends the stream, but only after the rows before it were answered.
    """
    failure: PlotTwistError | None = None
    while failure is None:
        batch: list[tuple[int, str]] = []
        try:
            for row in islice(rows, _ROWS_AT_ONCE):
                batch.append(row)  # one by one: the rows before a broken one must not be lost
        except PlotTwistError as error:
            failure = error
        if not batch and failure is None:
            return
        yield from _answers(batch, rater)
    raise failure


def _answers(batch: list[tuple[int, str]], rater: experiments.AnyRewardModel) -> Iterator[dict[str, Any]]:
    readable = [(line, text) for line, text in batch if any(c.isalnum() for c in text) and not _broken(text)]
    rated = dict(zip((line for line, _ in readable), rater.rate_stream(text for _, text in readable), strict=True))
    for line, text in batch:
        if line not in rated:
            error = "characters that are no text (half of a surrogate pair)" if _broken(text) else "empty text"
            yield {"line": line, "text_sha256": _digest(text), "error": error}
            continue
        answer = rated[line]
        row: dict[str, Any] = {
            "line": line,
            "text_sha256": _digest(text),
            **{n: round(s, 2) for n, s in answer.scores.items()},
            "overall": round(answer.scores.overall, 2),
        }
        row["uncertainty"] = {n: round(u, 2) for n, u in answer.uncertainty.items()}
        if is_cut(text):
            row["note"] = f"not read to the end: more than {MAX_SENTENCES} sentences, or one of more than {MAX_SENTENCE_WORDS} words"
        yield row


def _skip_done(rows: Iterator[tuple[int, str]], out: Path | None, model: str) -> int:
    """Pass over the rows that ``out`` holds already; returns their number. Raises PlotTwistError if they are of other texts or another model."""
    if out is None or not out.exists():
        return 0
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and content and not content.startswith(b'{"line": '):
        raise PlotTwistError(f"{out} is no file of ratings; choose another --out")
    done = [files.parse_row(line, str(out), number) for number, line in enumerate(whole.splitlines(), start=1) if line.strip()]
    for number, row in enumerate(done, start=1):
        line, text = next(rows, (0, ""))
        if (row.get("line"), row.get("text_sha256"), row.get("model")) != (line, _digest(text), model):
            raise PlotTwistError(
                f"{out}, line {number}: a rating of another input or by another model; remove the file or choose another --out"
            )
    if whole != content:
        files.write_bytes(out, whole)  # a kill may leave half a line; only of a file that is known to be ours
    return len(done)


def _broken(text: str) -> bool:
    """JSON can name half of a surrogate pair, which no encoder takes."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
