"""The interface that every backend has: requests in, one answer or one ``Failure`` each, in the same order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from plottwist.errors import PlotTwistError

Messages = list[dict[str, str]]
"""A chat: ``{"role": "system" | "user" | "assistant", "content": text}``, oldest first."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. ``temperature`` 0 is greedy; ``seed`` is the same for every request of a call.

    Raises:
        PlotTwistError: a value outside its range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    max_tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (0 <= self.temperature <= 10, "0 to 10"),
            "top_p": (0 < self.top_p <= 1, "above 0, at most 1"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None"),
            "max_tokens": (self.max_tokens >= 1, "at least 1"),
            "seed": (0 <= self.seed < 2**31, "0 to 2147483647"),
        }
        for name, (fits, allowed) in ranges.items():
            if not fits:
                raise PlotTwistError(f"sampling: {name} is {getattr(self, name)}; it must be {allowed}")


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer that a request did not get, as a value: it is reported in its place and costs no other request."""

    reason: str


def unsendable(messages: Messages) -> Failure | None:
    """What keeps a request from being sent at all: characters that no encoding has (half of a surrogate pair)."""
    try:
        json.dumps(messages, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return Failure("the request holds half of a surrogate pair, which is no character; clean the text")
    return None


class Backend(Protocol):
    """Whatever answers requests. ``name`` is the model's id, recorded with every result."""

    name: str

    def complete(self, requests: Sequence[Messages], sampling: Sampling) -> list[str | Failure]:
        """One answer or ``Failure`` per request, in order. The same request with the same sampling has the same answer."""
        ...
