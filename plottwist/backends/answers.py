"""From the text of an answer to a validated object: find the JSON, check it, ask again with the error, then report.

What goes back to the model names the place and the kind of the error, never a word of the answer: an answer may quote
the text under judgement, and outside its fence (``fence.py``) that text could give orders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from plottwist.backends.base import Backend, Failure, Messages, Sampling

Answer = TypeVar("Answer", bound=BaseModel)

_MAX_CANDIDATES = 200  # braces tried as the start of an object; beyond that the answer is noise, and trying is quadratic
_PLAIN = re.compile(r"[A-Za-z_]\w{0,39}")


def ask(
    backend: Backend,
    requests: Sequence[Messages],
    schema: type[Answer],
    sampling: Sampling,
    attempts: int = 3,
    valid: Callable[[int, Answer], str | None] | None = None,
) -> list[Answer | Failure]:
    """Ask for one ``schema`` object per request; a bad answer is asked again with the error, at most ``attempts`` times in all.

    ``valid(index, answer)`` may refuse an answer that fits the schema: it returns what is wrong, in words that quote
    nothing of the answer, or None. A request that the backend could not answer is not asked again here.

    Returns:
        One object or ``Failure`` per request, in order. No answer, whatever its text, raises.
    """
    chats = [list(messages) for messages in requests]
    results: list[Answer | Failure] = [Failure("not asked") for _ in requests]
    pending = list(range(len(chats)))
    for attempt in range(1, attempts + 1):
        answers = backend.complete([chats[index] for index in pending], sampling) if pending else []
        again = []
        for index, answer in zip(pending, answers, strict=True):
            outcome = answer if isinstance(answer, Failure) else _checked(answer, schema, index, valid)
            if isinstance(outcome, str):
                results[index] = Failure(f"no usable answer in {attempt} attempts; the last: {outcome}")
                chats[index] += _correction(answer, outcome)
                again.append(index)
            else:
                results[index] = outcome
        pending = again
    return results


def parse(text: str, schema: type[Answer]) -> Answer:
    """The one JSON object in ``text`` that fits ``schema``; code fences, prose and thoughts around it are passed over.

    Raises:
        ValueError: no object, none that fits, or two different ones that fit; the message quotes nothing of the text.
    """
    fitting: list[Answer] = []
    errors: list[str] = []
    for found in _objects(text.rpartition("</think>")[2]):
        try:
            fitting.append(schema.model_validate(found))
        except ValidationError as problem:
            errors.append(_told(problem))
    if not fitting:
        raise ValueError("it holds no complete JSON object" + (f" that fits ({errors[0]})" if errors else ""))
    if any(other != fitting[0] for other in fitting):
        raise ValueError("it holds different JSON objects that fit; give exactly one")
    return fitting[0]


def _checked(text: str, schema: type[Answer], index: int, valid: Callable[[int, Answer], str | None] | None) -> Answer | str:
    """The object, or what is wrong with the answer."""
    try:
        answer = parse(text, schema)
    except ValueError as error:
        return str(error)
    refusal = valid(index, answer) if valid else None
    return answer if refusal is None else refusal


def _correction(answer: str, error: str) -> Messages:
    said = answer.encode("utf-8", "replace").decode("utf-8").strip()
    again = f"That answer cannot be used: {error}. Answer again with one JSON object in the format asked for, and nothing else."
    return [{"role": "assistant", "content": said or "(no answer)"}, {"role": "user", "content": again}]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that stands in the text and inside no other one, from left to right."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_MAX_CANDIDATES):
        if start < 0:
            return
        try:
            found, end = decoder.raw_decode(text, start)
            yield found
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


def _told(problem: ValidationError) -> str:
    """At most three errors by place and kind. A key that the schema does not know is the answer's own word: not repeated."""
    errors = problem.errors(include_url=False, include_context=False, include_input=False)[:3]
    return "; ".join(f"{_place(error['loc'], error['type'] == 'extra_forbidden')}: {error['msg']}" for error in errors)


def _place(location: tuple[int | str, ...], foreign: bool) -> str:
    known = location[:-1] if foreign else location
    parts = [str(part) if isinstance(part, int) or _PLAIN.fullmatch(part) else "(a key)" for part in known]
    return ".".join([*parts, "(a key)"] if foreign else parts) or "the object"
