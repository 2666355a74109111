"""Storyworld: a small narrative simulator that writes at a known level of each NQD.

``simulate`` writes; ``plottwist.corpora.storyworld.reader``, which this module never imports, reads any text back and
is the gold judge. The two share the words of ``data/storyworld`` and a few constants of ``world``, nothing else.

**State.** A protagonist with a role, a want and a flaw; dead kin who left an object; a companion; an opponent who puts
an obstacle up; a town and another place; an object that is kept and one that is given away. Who is known or dead,
what is held, where the protagonist is: each event reads and changes this.

**Beats.** Setup (intro, flaw, inheritance), rising (the obstacle opens it; departure, a meeting, a wrong done), middle (a
feat with the inherited object), crisis (the opponent strikes; a choice at home), end (the climax; the obstacle undone
and the want gained; what has changed). Six turns of fortune, good or bad, and a few pastimes lie between. A long story
has the same beats over 5-50 paragraphs, with episodes, and side threads that open early and close late.

**Levels** never choose words. Each rules how many of a few places stand in the right relation:

========== ==================================================== ================================================
NQD        high                                                 low
========== ==================================================== ================================================
character  wrong, choices and change answer the stated flaw,    they answer other flaws and other wants
           search and gain the stated want (6 places)
tone       every event in the palette of the story              palettes mixed evenly
pacing     events shared among the five beats as                trouble comes late, pastimes pile up in one beat
           ``world.BEAT_SHARES`` says
coherence  people are met before they are wronged, held objects the wronged are met later, objects given away are
           are used, places reached first, the living speak,    used, places appear from nowhere, the dead speak,
           the stated obstacle is undone (7 places)             another obstacle is undone
emotion    fortune turns at each of the four changes of beat    it stays as it is there, or turns elsewhere
           and nowhere else
========== ==================================================== ================================================

A flat or a mixed story has the same kinds of events and as many words as a strong one. In a long story of fewer than
about ten paragraphs the beats have hardly any room to move, so its pacing stays high whatever the level.

**Scores.** The reader parses each sentence with the inverse of the phrasings, replays the events on its own state and
measures the same relations: answers that fit / 6 or more, share of the main palette, distance of the beats from
balance, links that hold / 7 or more, and changes of beat at which fortune turns. Each value is multiplied by the
share of sentences understood (one said twice is not) and put on 1-10. Contradictions of any other kind, a second
ending, somebody else acting as the protagonist, and threads left open count as broken links.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from plottwist.corpora.storyworld.longplan import long_steps
from plottwist.corpora.storyworld.plan import Cast, Event, Levels, Plan, Step, plot_steps
from plottwist.corpora.storyworld.realise import assign_tones, make_events, write_paragraph, write_premise
from plottwist.corpora.storyworld.world import words
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["LONG", "TONES", "Event", "Levels", "Plan", "Story", "long_stories", "plots", "premise_terms", "simulate"]

TONES: tuple[str, ...] = words().tones
LONG = (5, 50)  # paragraphs of a long story
PLOT_LENGTH = (165, 50, 90, 220)  # words: least target, spread of the target, bounds
PARAGRAPH_LENGTH = (42, 16, 35, 70)


@dataclass(frozen=True, slots=True)
class Story:
    """A premise, its story and all that is known about it."""

    seed: int
    premise: str
    text: str
    paragraphs: tuple[str, ...]
    levels: Levels
    tone: str
    plan: Plan

    @property
    def id(self) -> str:
        """The id by which the project's split function knows it."""
        return f"sw-{self.seed}"


def simulate(
    seed: int,
    levels: Levels | None = None,
    paragraphs: int | None = None,
    tone: str | None = None,
    wording: int = 0,
) -> Story:
    """One story; the same arguments give the same text on any machine.

    Args:
        seed: any integer >= 0; people, places, want, flaw and obstacle depend on it alone.
        levels: quality per NQD; None draws each uniformly.
        paragraphs: None for a plot of one paragraph, 5-50 for a long story.
        tone: one of ``TONES``; None draws one.
        wording: another number tells the same events in other words (same tones, same plan).

    Raises:
        PlotTwistError: on a negative seed, an unknown tone or a number of paragraphs outside 5-50.
    """
    _check(seed, paragraphs, tone)
    rng = Random(seed)
    drawn, own_tone = Levels(*[rng.random() for _ in NQDS]), TONES[int(rng.random() * len(TONES))]
    levels, tone = levels or drawn, tone or own_tone
    cast = Cast(rng)
    told = [plot_steps(cast, levels, rng)] if paragraphs is None else long_steps(cast, levels, paragraphs, rng)
    flat = [step for steps in told for step in steps]
    palette = assign_tones(tone, len(flat), levels.tone, rng)
    words_rng = Random(f"{seed} {wording}")  # a string is hashed by SHA-512, alike everywhere
    premise = write_premise(cast, flat, tone, words_rng)
    parts, places = _tell(cast, told, palette, words_rng)
    plan = Plan(cast.characters(), cast.want, cast.obstacle, cast.flaw, make_events(cast, told, palette, places))
    return Story(seed, premise, "\n\n".join(parts), parts, levels, tone, plan)


def plots(n: int, seed: int = 0, levels: Levels | None = None) -> Dataset:
    """n plots (seeds seed, seed + 1, ...) as a table.

    Returns:
        columns id, premise, text, tone (the palette's name, one of ``TONES``) and five floats in [0, 1]:
        level_character, level_tone, level_pacing, level_coherence, level_emotion.
    """
    stories = [simulate(s, levels) for s in range(seed, seed + n)]
    return _dataset(stories, {"text": [s.text for s in stories]})


def long_stories(n: int, paragraphs: tuple[int, int], seed: int = 0, levels: Levels | None = None) -> Dataset:
    """n long stories as a table: as ``plots``, with ``paragraphs`` (a list of text) in place of ``text``.

    Args:
        paragraphs: least and most number of paragraphs, drawn uniformly for each story.
        levels: one level for all; None draws each. Threads are all closed only at coherence 1.
    """
    lengths = [Random(f"paragraphs {s}").randint(*paragraphs) for s in range(seed, seed + n)]
    stories = [simulate(s, levels, length) for s, length in zip(range(seed, seed + n), lengths, strict=True)]
    return _dataset(stories, {"paragraphs": [list(s.paragraphs) for s in stories]})


def premise_terms() -> frozenset[str]:
    """Every word, in lower case, that a premise of this world can hold; others are outside what Storyworld knows."""
    w = words()
    phrases = [p for tone in w.premise.values() for p in tone]
    phrases += [p for slot in ("want", "obstacle") for options in w.matters[slot].values() for p in options]
    phrases += [n for name in ("female", "male", "towns", "roles", "villains") for n in w.lists[name]]
    return frozenset(t.strip(".,") for p in phrases for t in p.lower().split() if "{" not in t) | {"a", "an"}


def _tell(cast: Cast, told: list[list[Step]], palette: list[str], rng: Random) -> tuple[tuple[str, ...], list[int]]:
    """The paragraphs and the sentence of each step, numbered through the story."""
    low, spread, least, most = PLOT_LENGTH if len(told) == 1 else PARAGRAPH_LENGTH
    parts: list[str] = []
    places: list[int] = []
    said: set[str] = set()
    for steps in told:
        tones = palette[len(places) : len(places) + len(steps)]
        target = low + int(rng.random() * spread)
        for _ in range(20):
            text, sentences, clauses = write_paragraph(cast, steps, tones, target, rng, said)
            if least <= (length := text.count(" ") + 1) <= most:
                break
            target += 10 if length < least else -10
        said.update(clauses)
        start = places[-1] + 1 if places else 0
        places += [start + i for i in sentences]
        parts.append(text)
    return tuple(parts), places


def _dataset(stories: list[Story], content: dict[str, list]) -> Dataset:
    from datasets import Dataset  # takes seconds to import; only whoever asks for a table pays

    columns = {"id": [s.id for s in stories], "premise": [s.premise for s in stories], **content}
    columns["tone"] = [s.tone for s in stories]
    return Dataset.from_dict(columns | {f"level_{name}": [getattr(s.levels, name) for s in stories] for name in NQDS})


def _check(seed: int, paragraphs: int | None, tone: str | None) -> None:
    if seed < 0:
        raise PlotTwistError(f"storyworld seed {seed} is negative; use 0 or more")
    if tone is not None and tone not in TONES:
        raise PlotTwistError(f"storyworld has no tone {tone!r}; choose one of {', '.join(TONES)}")
    if paragraphs is not None and not LONG[0] <= paragraphs <= LONG[1]:
        raise PlotTwistError(f"storyworld cannot tell {paragraphs} paragraphs; use None for a plot, or {LONG[0]}-{LONG[1]}")
