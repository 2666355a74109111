"""What a paragraph costs, by its place in the story: seconds, and the most memory that tensors take at once.

Every model writes after true paragraphs and is made to write as many tokens, so that nothing but the place differs; models and places
take turns, so that a busy moment of the machine harms all alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch.profiler import ProfilerActivity, profile

from plottwist.longstory.generation import Decoding, Telling, begin, write
from plottwist.longstory.storyteller import Storyteller


@dataclass(frozen=True)
class Cost:
    """One measured paragraph: its model, its place (from 1), seconds and bytes."""

    model: str
    paragraph: int
    seconds: float
    peak_bytes: int


def measure(
    models: Mapping[str, Storyteller],
    story: Sequence[str],
    keywords: tuple[str, ...],
    places: Sequence[int],
    rounds: int,
    memory: bool = True,
) -> Iterator[Cost]:
    """Each model at each place (from 1) of a story, ``rounds`` times in turn, after one round that does not count."""
    tellings = {(name, place): _at(model, story, keywords, place) for name, model in models.items() for place in places}
    for number in range(rounds + 1):
        for (name, place), telling in tellings.items():
            began = time.perf_counter()
            _write(models[name], telling)
            seconds = time.perf_counter() - began
            peak = _peak(models[name], telling) if memory and number == rounds else 0
            if number:
                yield Cost(name, place, seconds, peak)


def _at(model: Storyteller, story: Sequence[str], keywords: tuple[str, ...], place: int) -> Telling:
    telling = begin(model, keywords, len(story))
    return replace(telling, position=place - 1, earlier=tuple(story[max(0, place - 1 - model.reads) : place - 1]))


def _write(model: Storyteller, telling: Telling) -> None:
    """One paragraph of 32 tokens, whatever the model would rather do."""
    limits, model.limits = model.limits, model.limits.model_copy(update={"paragraph_tokens": 32})
    model.generation_config.min_new_tokens = 32
    try:
        write(model, [telling], Decoding(repetition_penalty=1.0, no_repeat=32))
    finally:
        model.limits, model.generation_config.min_new_tokens = limits, None


def _peak(model: Storyteller, telling: Telling) -> int:
    """The most bytes that tensors made while writing take at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        _write(model, telling)
    now = most = 0
    for event in sorted((e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most
