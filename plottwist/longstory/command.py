"""``plottwist longstory``: a story on standard output, paragraph by paragraph as it is written; stopped and resumed at will."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from plottwist.errors import PlotTwistError
from plottwist.longstory import building
from plottwist.longstory.generation import Decoding, Telling, begin, tell
from plottwist.longstory.keywords import rake
from plottwist.longstory.order import check_paragraphs
from plottwist.longstory.storyteller import Storyteller
from plottwist.paths import RESULTS

COMMITTED = RESULTS / "cpu" / "models" / "04_longstory_ablations.longstory"


def stream(
    folder: Path, keywords: str | None, premise: str | None, paragraphs: int, how: Decoding, seed: int = 0, state: Path | None = None
) -> Iterator[str]:
    """The paragraphs of a story, each as soon as it is written; with a state file, it is brought up to date after each.

    Args:
        keywords: phrases, parted by commas; or else a ``premise``, whose key phrases are taken.
        state: if it exists, its story is gone on with, and whatever is asked besides must fit it.

    Raises:
        PlotTwistError: neither or both of keywords and premise, keywords longer than the model reads, a number of paragraphs outside
            1-1000, or a state of another story or model.
    """
    disable_progress_bar()
    check_paragraphs(paragraphs)
    phrases = _split(keywords) if keywords is not None else None
    if state is not None and state.is_file():
        telling = _resumed(state, phrases)
        model = building.load(folder)
    else:
        if (keywords is None) == (premise is None):
            raise PlotTwistError("say what the story is about: either --keywords 'lighthouse, brother, storm' or --premise '...'")
        model = building.load(folder)
        telling = begin(model, phrases if phrases is not None else _of_premise(model, premise or ""), paragraphs, seed)
    for after in tell(model, telling, how):
        if state is not None:
            after.save(state)
        yield after.last.text if after.last and after.last.text else "(an empty paragraph)"


def _resumed(state: Path, phrases: tuple[str, ...] | None) -> Telling:
    telling = Telling.load(state)
    if phrases is not None and phrases != telling.keywords:
        raise PlotTwistError(f"{state} holds a story about {', '.join(telling.keywords)}; leave --keywords out, or name another state file")
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
