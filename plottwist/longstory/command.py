"""``plottwist longstory``: a story on standard output, paragraph by paragraph as it is written; stopped and resumed at will."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from plottwist.errors import PlotTwistError
from plottwist.longstory import building
from plottwist.longstory.generation import Decoding, Telling, begin, tell
from plottwist.longstory.keywords import rake
from plottwist.longstory.order import check_paragraphs
from plottwist.longstory.storyteller import Storyteller
from plottwist.paths import RESULTS

PARAGRAPHS = 8
COMMITTED = RESULTS / "cpu" / "models" / "04_longstory_ablations.longstory"


def stream(
    folder: Path,
    keywords: str | None,
    premise: str | None,
    paragraphs: int | None,
    how: Decoding,
    seed: int | None = None,
    state: Path | None = None,
) -> Iterator[str]:
    """The paragraphs of a story, each as soon as it is written; with a state file, it is brought up to date after each.

    Args:
        keywords: phrases, parted by commas; or else a ``premise``, whose key phrases are taken.
        paragraphs, seed: 8 and 0 for a new story, if left out.
        state: if it exists, its story is gone on with, and whatever is asked besides must fit it.

    Raises:
        PlotTwistError: neither or both of keywords and premise, keywords longer than the model reads, a number of paragraphs outside
            1-1000, or a state of another story or model.
    """
    disable_progress_bar()
    check_paragraphs(PARAGRAPHS if paragraphs is None else paragraphs)
    resuming = state is not None and state.is_file()
    if (keywords is not None and premise is not None) or (keywords is None and premise is None and not resuming):
        raise PlotTwistError("say what the story is about: either --keywords 'lighthouse, brother, storm' or --premise '...'")
    model = building.load(folder)
    phrases = _split(keywords) if keywords is not None else _of_premise(model, premise) if premise is not None else None
    if resuming:
        telling = _resumed(state, {"keywords": phrases, "paragraphs": paragraphs, "seed": seed})
    else:
        telling = begin(model, phrases or (), PARAGRAPHS if paragraphs is None else paragraphs, seed or 0)
    for after in tell(model, telling, how):
        if state is not None:
            after.save(state)
        yield after.last.text if after.last and after.last.text else "(an empty paragraph)"


def _resumed(state: Path, asked: dict[str, Any]) -> Telling:
    telling = Telling.load(state)
    for name, value in asked.items():
        if value is not None and value != (own := getattr(telling, name)):
            told = ", ".join(own) if name == "keywords" else own
            raise PlotTwistError(f"{state} holds a story with {name} {told}; ask for no other, or name another state file")
    if telling.done:
        raise PlotTwistError(f"the story in {state} has all its {telling.paragraphs} paragraphs; delete the file to begin anew")
    return telling


def _split(keywords: str) -> tuple[str, ...]:
    return tuple(k.strip() for k in keywords.split(",") if k.strip())


def _of_premise(model: Storyteller, premise: str) -> tuple[str, ...]:
    phrases = model.tokenizer.fitting(rake(premise), model.limits.source_tokens)
    if not phrases:
        raise PlotTwistError("the premise has no key phrase; write a sentence or two with the people and things of the story")
    return phrases
