"""From steps to English: each event is said by one phrasing of its tone, steered towards a target length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from plottwist.corpora.storyworld.plan import FILLERS, JOYS, WOES, Cast, Event, Step
from plottwist.corpora.storyworld.world import BEATS, article, words

SHORTEST_SENTENCE, LONGEST_SENTENCE = 6, 22
OWN_WEIGHT = 3  # a tone's own phrasings are drawn so many times as often as moods over a plain one
TRIES = 80  # at saying an event in words that the story has not used yet
SLOT = re.compile(r"\{(\w+)\}")
SLOT_WORDS = {"want": 5, "pursuit": 4, "flaw": 4, "fail": 4, "virtue": 4, "deed": 4, "change": 3, "obstacle": 4, "undone": 3,
              "done": 4, "secret": 5, "feat": 5, "blow": 5, "mood": 3, "task": 5, "errand": 5, "at": 3, "P": 3, "a_o": 3,
              "g": 2, "a_beast": 2, "a_role": 2, "a_crole": 2, "a_xrole": 2, "K": 3}  # fmt: skip
OTHERS = frozenset("BCDX")


class Frame(NamedTuple):
    """A phrasing, ready for ``%``: its length in words, and what it says about who is spoken of."""

    template: str
    named: str  # the same with the protagonist's name at the first pronoun
    length: int
    mood: bool
    opens_with_person: bool
    names_protagonist: bool
    names_other: bool
    pronoun: bool  # may "she" stand for the protagonist: not after another person's name


@lru_cache(maxsize=1)
def frames() -> dict[tuple[str, str], tuple[Frame, ...]]:
    """(kind, tone) -> its frames, moods left open."""
    return {
        (kind, tone): tuple(_frame(text, kind) for text in (*spec.get(tone, ()) * OWN_WEIGHT, *mood_frames(spec)))
        for kind, spec in words().kinds.items()
        for tone in words().tones
    }


@lru_cache(maxsize=1)
def usual_lengths() -> dict[str, float]:
    """Mean length of each kind's frames, in words."""
    lengths: dict[str, list[int]] = {}
    for (kind, _), options in frames().items():
        lengths.setdefault(kind, []).extend(f.length for f in options)
    return {kind: sum(ls) / len(ls) for kind, ls in lengths.items()}


def mood_frames(spec: dict) -> list[str]:
    """The cores of a kind with the slot for a mood in front, or behind where the kind allows it."""
    cores = spec.get("any", ())
    front = [c if "{mood}" in c else f"{{mood}}, {c}" for c in cores]
    return front + [f"{c} {{mood}}" for c in cores if spec.get("mood_behind")]


def _frame(text: str, kind: str) -> Frame:
    slots = SLOT.findall(text)
    length = len(text.split()) + sum(SLOT_WORDS.get(s, 1) - 1 for s in slots)
    return Frame(
        _template(text),
        _template(_named(text)) if "valence" in words().kinds[kind] else _template(text),
        length,
        "mood" in slots,
        bool(re.match(r"\{[ADX]\}", text)) and kind not in ("intro", "flaw", "inherit", "change"),
        bool({"A", "N", "him", "her", "she", "hers"} & set(slots)),
        bool(OTHERS & set(slots)) or kind in ("fail", "stumble"),
        "A" in slots and not OTHERS & set(slots[: slots.index("A")]),
    )


def _template(text: str) -> str:
    return SLOT.sub(r"%(\1)s", text)


def _named(text: str) -> str:
    """The text with the first mention of the protagonist by name."""
    first = re.search(r"\{(A|him|her|she)\}", text)
    name = "{N}'s" if first and first[1] == "her" else "{N}"
    return text[: first.start()] + name + text[first.end() :] if first else text


@lru_cache(maxsize=1)
def premise_templates() -> dict[str, tuple[str, ...]]:
    return {tone: tuple(SLOT.sub(r"%(\1)s", t) for t in texts) for tone, texts in words().premise.items()}


def base_context(cast: Cast) -> dict[str, str]:
    """The slots that stay the same through a story."""
    she, her, him, hers = ("she", "her", "her", "hers") if cast.female else ("he", "his", "him", "his")
    return {"N": cast.A, "she": she, "her": her, "him": him, "hers": hers}


def write_premise(cast: Cast, steps: Sequence[Step], tone: str, rng: Random) -> str:
    """One or two sentences: who, where, wants what, and who stands in the way."""
    options = premise_templates()[tone]
    context = base_context(cast)
    for step in steps:
        if step.kind in ("intro", "obstacle"):
            context |= _slots(step.args, cast)
    text = options[int(rng.random() * len(options))] % context
    return ". ".join(_capital(part) for part in text.split(". ")) + "."


def write_paragraph(
    cast: Cast, steps: Sequence[Step], tones: Sequence[str], target: int, rng: Random, said: set[str]
) -> tuple[str, list[int], set[str]]:
    """The text of one paragraph, for each step the index of its sentence within it, and all clauses said so far.

    Args:
        target: the number of words aimed at.
        said: clauses of earlier paragraphs, which are not said again.
    """
    writer = _Writer(cast, tones, rng, said)
    usual = usual_lengths()
    left = sum(usual[step.kind] for step in steps)
    for step, tone in zip(steps, tones, strict=True):
        share = usual[step.kind] / left
        writer.tell(step, tone, (target - writer.written) * share)
        left -= usual[step.kind]
    return " ".join(_capital(s) + "." for s in writer.sentences), writer.places, writer.said


class _Writer:
    """Grows one paragraph: chooses phrasings by length, refers to the protagonist, joins short clauses."""

    def __init__(self, cast: Cast, tones: Sequence[str], rng: Random, said: set[str]) -> None:
        self.cast, self.draw, self.said = cast, rng.random, set(said)
        self.context = base_context(cast)
        self.moods = {t: rng.sample(words().moods[t], len(words().moods[t])) for t in sorted(set(tones))}
        self.sentences: list[str] = []
        self.places: list[int] = []
        self.written = self.length = 0  # words of the paragraph; of its last sentence
        self.known = self.joined = False  # may a pronoun stand for the protagonist; has the last sentence two clauses

    def tell(self, step: Step, tone: str, wish: float) -> None:
        """Add one event in about ``wish`` words."""
        self.context.update(_slots(step.args, self.cast))
        options = frames()[step.kind, tone]
        frame, clause = self._clause(options, tone, wish, 4)
        for _ in range(TRIES):
            if clause not in self.said and clause.count(" ") >= SHORTEST_SENTENCE - 1:
                break
            frame, clause = self._clause(options, tone, wish, 1)
        self.said.add(clause)
        length = clause.count(" ") + 1
        short_enough = self.sentences and not self.joined and self.length + length < LONGEST_SENTENCE
        if step.kind in _SMALL and short_enough and self.draw() < 0.4:
            self.sentences[-1] += ", and " + clause
            self.length += length + 1
            self.written += length + 1
            self.joined = True
        else:
            self._start(clause, length, frame)
        self.places.append(len(self.sentences) - 1)
        self.known = frame.names_protagonist and not frame.names_other

    def _clause(self, options: Sequence[Frame], tone: str, wish: float, tries: int) -> tuple[Frame, str]:
        """Of some frames drawn at random the one nearest to the wished length, filled in."""
        draw, context = self.draw, self.context
        frame = options[int(draw() * len(options))]
        for _ in range(tries - 1):
            rival = options[int(draw() * len(options))]
            if abs(rival.length - wish) < abs(frame.length - wish):
                frame = rival
        if self.known and frame.pronoun and draw() < 0.6:
            context["A"] = context["she"]
        else:
            context["A"] = f"the {self.cast.role}" if len(self.places) > 2 and draw() < 0.15 else self.cast.A
        if frame.mood:
            moods = self.moods[tone]
            moods.insert(0, moods.pop())  # each mood of a tone comes once before any comes back
            context["mood"] = moods[0]
        return frame, (frame.template if self.known else frame.named) % context

    def _start(self, clause: str, length: int, frame: Frame) -> None:
        """Begin a new sentence, now and then with an adverbial of time."""
        if frame.opens_with_person and length < LONGEST_SENTENCE - 2 and self.draw() < 0.15:
            openers = words().openers
            opener = openers[int(self.draw() * len(openers))]
            clause = f"{opener}{', ' if ' ' in opener else ' '}{clause}"
            length += opener.count(" ") + 1
        self.sentences.append(clause)
        self.length, self.joined = length, ", and " in clause
        self.written += length


_SMALL = frozenset((*JOYS, *WOES, *FILLERS))


def assign_tones(tone: str, count: int, level: float, rng: Random) -> list[str]:
    """The palette of each event: a fifth of them, and of the rest the share ``level``, keep to the story's tone."""
    main = int(count * (0.2 + 0.8 * level) + rng.random())
    others = [t for t in words().tones if t != tone]
    rng.shuffle(others)
    tones = [tone] * main + [others[i % len(others)] for i in range(count - main)]
    rng.shuffle(tones)
    return tones


def make_events(cast: Cast, paragraphs: Sequence[Sequence[Step]], tones: Sequence[str], places: Sequence[int]) -> tuple[Event, ...]:
    """The steps as events, with causes as indices of earlier events and sentences numbered through the story."""
    kinds = words().kinds
    events: list[Event] = []
    seen: dict[str, int] = {}
    for p, steps in enumerate(paragraphs):
        for step in steps:
            i = len(events)
            causes = tuple(sorted({seen[n] for n in step.needs if n in seen}))
            spec = kinds[step.kind]
            events.append(
                Event(
                    BEATS[step.beat],
                    step.kind,
                    cast.A,
                    step.args,
                    causes,
                    spec.get("valence", 0),
                    places[i],
                    spec["label"],
                    tones[i],
                    p,
                )
            )
            seen[step.kind] = i
            if step.name:
                seen[step.name] = i
    return tuple(events)


def _slots(args: dict[str, str], cast: Cast) -> dict[str, str]:
    """An event's arguments and what follows from them: articles, "at the mill", phrases with names filled in."""
    slots = dict(args)
    if "o" in args:
        slots["o"] = args["o"].rsplit(" ", 1)[-1]
    for name, filled in (
        ("o", "a_o"),
        ("role", "a_role"),
        ("c_role", "a_crole"),
        ("x_role", "a_xrole"),
        ("beast", "a_beast"),
    ):
        if name in args:
            slots[filled] = article(args[name])
    if "P" in args:
        slots["at"] = cast.at(args["P"])
    for name in ("fail", "deed", "blow"):
        if name in args and "{" in args[name]:
            pronouns = base_context(cast)
            slots[name] = args[name].format_map({**pronouns, "C": args.get("C", cast.C)})
    return slots


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
