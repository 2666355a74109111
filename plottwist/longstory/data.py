"""Story sets, each split by story: what storytellers are trained on, and what they are asked to write.

Storyworld in three length classes stands for the paper's three sets (WritingPrompts, Reedsy Prompts, BookSum); profile ``public`` takes
fairy tales, writing prompts and film plots, profile ``paper`` the three sets from the Hub. Training stories are shared out for good:
three in five teach storytellers, the other two the judges of coherence and completeness, so that no judge has read a storyteller's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from plottwist.corpora import public, storyworld
from plottwist.corpora.split import prompt_key, split
from plottwist.errors import PlotTwistError
from plottwist.profiles import LongStorySettings, Profile

Share = Literal["train", "judges", "validation", "test"]
SHARES: tuple[Share, ...] = ("train", "judges", "validation", "test")
CLASSES = {"short": (5, 7), "medium": (8, 12), "long": (13, 18)}  # paragraphs of a Storyworld story
TONE = "fairytale"  # of all Storyworld stories here
HUB = {"writing prompts": "euclaise/writingprompts", "reedsy prompts": "Iyan/reedsyPrompts", "booksum": "kmfoda/booksum"}

_SEEDS = 1_000_000  # Storyworld seeds of a class
_TEXT, _GROUP = ("story", "chapter", "text"), ("prompt", "bid", "book_id", "book_title")  # columns of the Hub sets, first found
_SENTENCE = re.compile(r"\S.*?(?:[.!?…][\"'”’)\]]*(?=\s)|$)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class StorySet:
    """Stories of one kind, as tuples of paragraphs, by share."""

    name: str
    stories: dict[Share, list[tuple[str, ...]]]


def load(profile: Profile) -> tuple[StorySet, ...]:
    """The story sets of a profile: of the Hub, of third-party data, or of Storyworld. Made once.

    Raises:
        PlotTwistError: data are missing, or a set has no story for one of its shares.
    """
    return _load(profile.data, profile.longstory)


def total(sets: Sequence[StorySet], share: Share) -> list[tuple[str, ...]]:
    """The mix of all sets ("Total"), set after set in turn, as many stories of each as the smallest set has."""
    return [story for row in zip(*(s.stories[share] for s in sets), strict=False) for story in row]


def share(key: str) -> Share:
    """Which share the story with this key belongs to."""
    own = split(key)
    return own if own != "train" else "train" if split(f"judges {key}") == "train" else "judges"


def pack(sentences: Iterable[str], most: int, length: Callable[[str], int]) -> tuple[str, ...]:
    """Paragraphs of whole sentences, as many as fit into ``most``; a sentence over the limit is cut at words."""
    paragraphs: list[str] = []
    for piece in (part for sentence in sentences for part in _within(sentence, most, length)):
        joined = f"{paragraphs[-1]} {piece}" if paragraphs else piece
        if paragraphs and length(joined) <= most:
            paragraphs[-1] = joined
        else:
            paragraphs.append(piece)
    return tuple(paragraphs)


def sentences(text: str) -> list[str]:
    return [" ".join(s.split()) for s in _SENTENCE.findall(text.strip())]


@cache
def _load(worlds: tuple[str, ...], settings: LongStorySettings) -> tuple[StorySet, ...]:
    if "hub" in worlds:
        return tuple(_packed(name, _hub(where), settings) for name, where in HUB.items())
    if "public" in worlds:
        return tuple(_packed(name, rows(), settings) for name, rows in _PUBLIC.items())
    return tuple(_storyworld(name, settings) for name in CLASSES)


def _storyworld(name: str, settings: LongStorySettings) -> StorySet:
    """Sound stories (every level 1) in one tone, as many of each share as wanted. A small model has no room for six tones."""
    wanted = _wanted(settings)
    found: dict[Share, list[tuple[str, ...]]] = {s: [] for s in SHARES}
    seed = _SEEDS * (1 + list(CLASSES).index(name))
    while any(len(found[s]) < wanted[s] for s in SHARES):
        place = found[share(f"sw-{seed}")]
        if len(place) < wanted[share(f"sw-{seed}")]:
            paragraphs = Random(f"paragraphs {seed}").randint(*CLASSES[name])
            place.append(storyworld.simulate(seed, storyworld.Levels(), paragraphs, TONE).paragraphs)
        seed += 1
    return StorySet(name, found)


def _packed(name: str, rows: Iterable[tuple[str, list[str]]], settings: LongStorySettings) -> StorySet:
    """A set from (key, sentences), packed into paragraphs; stories of fewer than two paragraphs or too many are left out."""
    wanted = _wanted(settings)
    found: dict[Share, list[tuple[str, ...]]] = {s: [] for s in SHARES}
    for key, told in rows:
        place = found[share(key)]
        if len(place) < wanted[share(key)]:
            paragraphs = pack(told, settings.paragraph_words, lambda text: text.count(" ") + 1)
            if 2 <= len(paragraphs) <= settings.most_paragraphs:
                place.append(paragraphs)
    if missing := [s for s in SHARES if not found[s]]:
        raise PlotTwistError(f"the set '{name}' has no story for {missing[0]}; raise longstory.most_paragraphs or bring more stories")
    return StorySet(name, found)


def _wanted(settings: LongStorySettings) -> dict[Share, int]:
    return {s: getattr(settings, s) for s in SHARES}


def _fairytales() -> Iterable[tuple[str, list[str]]]:
    for row in public.table("stories/fairytales"):
        yield f"fairytale:{row['story_id']}", [s for section in row["sections"] for s in sentences(section)]


def _writing_prompts() -> Iterable[tuple[str, list[str]]]:
    for row in public.table("stories/writing_prompts"):
        yield prompt_key(row["prompt"]), sentences(row["story"])


def _film_plots() -> Iterable[tuple[str, list[str]]]:
    for row in public.table("films/plots"):
        yield public.film_group(row["title"]), sentences(row["plot"])


_PUBLIC = {"fairy tales": _fairytales, "writing prompts": _writing_prompts, "film plots": _film_plots}


def _hub(where: str) -> Iterable[tuple[str, list[str]]]:
    """(key, sentences) of every text of a set on the Hub or in a folder of that format, all its splits in one: we split by key.

    The columns of Reedsy Prompts are not known to us, so the first known name is taken.
    """
    import datasets

    try:
        found = datasets.load_dataset(where)
    except (OSError, ValueError) as error:
        raise PlotTwistError(f"cannot load the data set '{where}': {str(error).splitlines()[0]}") from error
    for part in found.values():
        text = next((c for c in _TEXT if c in part.column_names), None)
        if text is None:
            raise PlotTwistError(f"data set '{where}' has none of the columns {', '.join(_TEXT)}; it has {', '.join(part.column_names)}")
        group = next((c for c in _GROUP if c in part.column_names), text)
        for row in part:
            yield prompt_key(str(row[group])[:200]), sentences(row[text] or "")


def _within(sentence: str, most: int, length: Callable[[str], int]) -> list[str]:
    if length(sentence) <= most:
        return [sentence]
    words, parts = sentence.split(), [""]
    for word in words:
        joined = f"{parts[-1]} {word}".strip()
        if parts[-1] and length(joined) > most:
            parts.append(word)
        else:
            parts[-1] = joined
    return parts
