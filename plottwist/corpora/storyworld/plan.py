"""Plans: which events happen in which order, to whom, at a known level of each NQD.

A level never chooses words. It chooses, among alternatives that use the same kinds of events, how many stand in the
right relation to each other (see the package docstring). Rounding is random but unbiased, so levels are graded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise, product
from random import Random
from typing import NamedTuple

from plottwist.corpora.storyworld.world import BEAT_SHARES, BEATS, fact_id, words
from plottwist.nqd import NQDS

PACING_FREE, PACING_SPAN = 0.04, 0.20  # distance from the balanced shares that costs nothing; that costs everything
MOVED = (0, 1, 3)  # how many events of the journey come before the obstacle when trouble comes late
TURN_SLOTS = (0, 1, 1, 2, 3, 4)  # beat of each turn of fortune in a plot
FILLERS = ("weather", "work", "meal", "beast", "road", "rumour")
JOYS, WOES = ("praise", "comfort", "luck", "hope"), ("shame", "hurt", "loss", "dread")


@dataclass(frozen=True, slots=True)
class Levels:
    """How well a story does on each NQD, each in [0, 1].

    Raises:
        ValueError: if a level is outside [0, 1] or not a number.
    """

    character: float = 1.0
    tone: float = 1.0
    pacing: float = 1.0
    coherence: float = 1.0
    emotion: float = 1.0

    def __post_init__(self) -> None:
        for name in NQDS:
            if not 0.0 <= getattr(self, name) <= 1.0:  # also refuses NaN
                raise ValueError(f"level of {name} is {getattr(self, name)}, outside [0, 1]")

    def as_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in NQDS}


class Event(NamedTuple):
    """One thing that happens; ``causes`` are indices of the earlier events that it rests on."""

    beat: str
    kind: str
    actor: str
    args: dict[str, str]
    causes: tuple[int, ...]
    valence: int
    sentence: int
    label: str
    tone: str
    paragraph: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a story is about and all that happens in it, in the order of telling."""

    characters: dict[str, dict[str, str]]
    want: str
    obstacle: str
    flaw: str
    events: tuple[Event, ...]

    def facts(self) -> list[tuple[str, str, str]]:
        """(relation, subject, object), matters by their id, in the order of telling and without repeats."""
        found = (fact for e in self.events for fact in event_facts(e.kind, {"A": e.actor, **e.args}))
        return list(dict.fromkeys(found))


def event_facts(kind: str, args: dict[str, str]) -> list[tuple[str, str, str]]:
    """The facts that an event of this kind states about its arguments."""
    return [(relation, args[s], fact_id(o, args[o])) for relation, s, o in words().kinds[kind]["facts"]]


class Cast:
    """Who and what a story draws on: four people, a town, another place, two objects, one want, flaw and obstacle."""

    def __init__(self, rng: Random) -> None:
        w = words()
        lists = w.lists
        self.rng = rng
        self.female = rng.random() < 0.5
        kin_female, other = rng.random() < 0.5, rng.random() < 0.5
        self.names: set[str] = set()
        self.roles: set[str] = set()
        self.A = self.name(self.female)
        self.B, self.kin = self.name(kin_female), pick(rng, lists["female_kin" if kin_female else "male_kin"])
        self.C, self.D = self.name(not self.female if other else self.female), self.name(rng.random() < 0.5)
        self.role, self.c_role = self.job(), self.job()
        self.d_role = pick(rng, lists["villains"])
        self.T = pick(rng, lists["towns"])
        self.objects: set[str] = set()
        self.places: set[str] = set()
        self.o, self.g = self.thing(), self.thing()
        self.P = self.place()
        self.want, self.flaw = pick(rng, tuple(w.matters["want"])), pick(rng, tuple(w.matters["flaw"]))
        self.obstacle = pick(rng, tuple(w.matters["obstacle"]))

    def name(self, female: bool | None = None) -> str:
        """A name not used yet in this story."""
        pool = words().lists["female" if (self.rng.random() < 0.5 if female is None else female) else "male"]
        return _fresh(self.rng, pool, self.names)

    def job(self) -> str:
        return _fresh(self.rng, words().lists["roles"], self.roles)

    def thing(self) -> str:
        """An object of which neither adjective nor noun is used yet."""
        lists = words().lists
        adjective = _fresh(self.rng, lists["object_adjectives"], self.objects)
        return f"{adjective} {_fresh(self.rng, lists['object_nouns'], self.objects)}"

    def place(self) -> str:
        """A place whose noun is not used yet."""
        lists = words().lists
        return f"the {pick(self.rng, lists['place_adjectives'])} {_fresh(self.rng, lists['place_nouns'], self.places)}"

    def phrase(self, slot: str, matter: str) -> str:
        return pick(self.rng, words().matters[slot][matter])

    def other(self, slot: str, matter: str) -> str:
        """A phrase of the same slot that belongs to another matter."""
        table = words().matters[slot]
        keys = tuple(table)
        while (key := pick(self.rng, keys)) == matter:
            pass
        return pick(self.rng, table[key])

    def of(self, slot: str, matter: str, good: bool) -> str:
        return self.phrase(slot, matter) if good else self.other(slot, matter)

    def at(self, place: str) -> str:
        """Where: the full name of a place is given once, then its noun serves."""
        return f"at the {place.rsplit(' ', 1)[-1]}" if place.startswith("the ") else f"in {place}"

    def characters(self) -> dict[str, dict[str, str]]:
        """Name -> role and relation, as far as the story says them."""
        return {
            self.A: {"part": "protagonist", "role": self.role, "gender": "female" if self.female else "male"},
            self.B: {"part": "dead kin", "relation": self.kin},
            self.C: {"part": "companion", "role": self.c_role},
            self.D: {"part": "opponent", "role": self.d_role},
        }


class Step(NamedTuple):
    """An event before it is told: beat, kind, arguments, the names (or kinds) of events it rests on, and its own name."""

    beat: int
    kind: str
    args: dict[str, str]
    needs: tuple[str, ...] = ()
    name: str = ""


def plot_steps(cast: Cast, levels: Levels, rng: Random) -> list[Step]:
    """The steps of a one-paragraph plot, in the order of telling."""
    ok = good_slots(rng, 7, levels.coherence)
    fit = good_slots(rng, 6, levels.character)
    s = core_steps(cast, ok, fit)
    late, fillers = _pick_graded(rng, pacing_table(2 + int(rng.random() * 2)), levels.pacing)
    signs = _pick_graded(rng, turn_table(), levels.emotion)
    turns = turn_steps(rng, TURN_SLOTS, signs)
    acquaint = [s["meet"], s["fail"]] if ok[0] else [s["fail"], s["meet"]]
    journey = [s["depart"], *acquaint]
    moved, stays = journey[: MOVED[late]], journey[MOVED[late] :]
    beats = [
        [s["intro"], s["flaw"], s["inherit"], turns[0], *(x._replace(beat=0) for x in moved)],
        [s["obstacle"], turns[1], *stays, turns[2]],
        [s["mid"], turns[3]],
        [s["blow"], turns[4], s["crisis"]],
        [s["climax"], s["resolve"], turns[5], s["change"]],
    ]
    pastimes = rng.sample(FILLERS, sum(fillers))
    for beat, count in enumerate(fillers):
        _insert_fillers(rng, beats[beat], beat, [pastimes.pop() for _ in range(count)])
    return [step for beat in beats for step in beat]


def core_steps(cast: Cast, ok: Sequence[bool], fit: Sequence[bool]) -> dict[str, Step]:
    """The thirteen events every story turns on; ``ok`` rules the seven links, ``fit`` the six answers to want and flaw."""
    c = cast
    mid_place, last_place = (c.P if ok[1] else c.T), (c.T if ok[3] else c.P)
    mid_thing, last_thing = (c.o if ok[2] else c.g), (c.o if ok[4] else c.g)
    steps = (
        Step(0, "intro", {"role": c.role, "T": c.T, "want": c.phrase("want", c.want)}),
        Step(0, "flaw", {"flaw": c.phrase("flaw", c.flaw)}),
        Step(0, "inherit", {"B": c.B, "kin": c.kin, "o": c.o}),
        Step(1, "obstacle", {"D": c.D, "d_role": c.d_role, "obstacle": c.phrase("obstacle", c.obstacle)}),
        Step(1, "depart", {"g": c.g, "P": c.P, "pursuit": c.of("pursuit", c.want, fit[1])}),
        Step(1, "meet", {"C": c.C, "c_role": c.c_role}),
        Step(1, "fail", {"C": c.C, "fail": c.of("fail", c.flaw, fit[0])}, ("meet",) if ok[0] else ()),
        Step(2, "mid", {"P": mid_place, "o": mid_thing, "feat": any_phrase(c, "feat")}, (*_if(ok[1], "depart"), *_if(ok[2], "inherit"))),
        Step(3, "blow", {"D": c.D, "blow": any_phrase(c, "blow")}, ("obstacle",)),
        Step(3, "crisis", {"T": c.T, "virtue": c.of("virtue", c.flaw, fit[2])}),
        Step(4, "climax", {"P": last_place, "D": c.D, "o": last_thing, "deed": c.of("deed", c.flaw, fit[3])},
             ("obstacle", *_if(ok[3], "crisis"), *_if(ok[4], "inherit"))),
        Step(4, "resolve", {"D": c.D, "undone": c.of("undone", c.obstacle, ok[5]), "done": c.of("done", c.want, fit[4])}, _if(ok[5], "obstacle")),
        Step(4, "change", {"X": c.C if ok[6] else c.B, "change": c.of("change", c.flaw, fit[5])}, _if(ok[6], "meet")),
    )  # fmt: skip
    return {step.kind: step for step in steps}


def filler_step(rng: Random, beat: int, kind: str) -> Step:
    """Something that passes the time: it changes neither fortune nor state."""
    lists = words().lists
    args = {"sky": "skies", "task": "tasks", "food": "foods", "beast": "beasts"}
    return Step(beat, kind, {slot: pick(rng, lists[name]) for slot, name in args.items()})


def turn_steps(rng: Random, beats: Sequence[int], signs: Sequence[int]) -> list[Step]:
    """Turns of fortune with these signs; a kind comes back only when its four have all been used."""
    joys, woes = rng.sample(JOYS, len(JOYS)), rng.sample(WOES, len(WOES))
    steps = []
    for beat, sign in zip(beats, signs, strict=True):
        kinds = joys if sign > 0 else woes
        kinds.append(kind := kinds.pop(0))
        steps.append(Step(beat, kind, {}))
    return steps


def good_slots(rng: Random, n: int, level: float) -> list[bool]:
    """n places of which level * n (rounded at random, without bias) are good, shuffled."""
    good = int(n * level + rng.random())
    slots = [True] * good + [False] * (n - good)
    rng.shuffle(slots)
    return slots


def pacing_value(counts: Sequence[int]) -> float:
    """1 for beats in balance, falling to 0 with the total variation distance from the balanced shares."""
    total = sum(counts)
    distance = sum(abs(c / total - BEAT_SHARES[b]) for c, b in zip(counts, BEATS, strict=True)) / 2
    return max(0.0, min(1.0, 1 - (distance - PACING_FREE) / PACING_SPAN))


def emotion_value(signs: Sequence[int], beats: Sequence[int]) -> float:
    """Share of the four changes of beat at which fortune turns, less up to half for turns that fall elsewhere."""
    steps = list(pairwise(zip(signs, beats, strict=True)))
    hits = sum(a != b for (a, x), (b, y) in steps if x != y)
    inside = [a != b for (a, x), (b, y) in steps if x == y]
    return hits / (len(BEATS) - 1) * (1 - 0.5 * sum(inside) / max(1, len(inside)))


def _table(rows: list[tuple[float, object]]) -> list[tuple[float, tuple]]:
    grades: dict[float, list] = {}
    for value, row in rows:
        grades.setdefault(round(value, 6), []).append(row)
    return sorted((v, tuple(r)) for v, r in grades.items())


@cache
def pacing_table(fillers: int) -> list[tuple[float, tuple]]:
    """Grades of pacing and, for each, the (how late trouble comes, fillers per beat) that have it."""
    rows = []
    for late, split in product((0, 1, 2), product(range(fillers + 1), repeat=len(BEATS))):
        if sum(split) == fillers:
            moved = MOVED[late]
            counts = [f + s for f, s in zip((4 + moved, 6 - moved, 2, 3, 4), split, strict=True)]
            rows.append((round(pacing_value(counts) * 16) / 16, (late, split)))
    return _table(rows)


@lru_cache(maxsize=1)
def turn_table() -> list[tuple[float, tuple]]:
    """Grades of emotion and, for each, the sign sequences with it that are nearest to half joy, half woe."""
    rows = [(emotion_value(signs, TURN_SLOTS), signs) for signs in product((1, -1), repeat=len(TURN_SLOTS))]
    table = [(v, tuple(s for s in r if abs(sum(s)) == min(abs(sum(x)) for x in r))) for v, r in _table(rows)]
    return [(v, tuple(s for s in r if s[0] > 0) if v == 1 else r) for v, r in table]


def _pick_graded(rng: Random, table: list[tuple[float, tuple]], level: float):
    """A row of one of the two grades around the level, chosen so that the mean grade is the level."""
    upper = next((i for i, (v, _) in enumerate(table) if v >= level), len(table) - 1)
    low, high = table[max(0, upper - 1)], table[upper]
    gap = high[0] - low[0]
    take_high = gap == 0 or rng.random() * gap < level - low[0]
    return pick(rng, (high if take_high else low)[1])


def _insert_fillers(rng: Random, steps: list[Step], beat: int, kinds: Sequence[str]) -> None:
    last = len(steps) - (beat == len(BEATS) - 1)
    first = 3 if beat == 0 else 1
    for n, kind in enumerate(kinds):
        steps.insert(first + int(rng.random() * (last + n - first + 1)), filler_step(rng, beat, kind))


def any_phrase(cast: Cast, slot: str) -> str:
    return cast.phrase(slot, pick(cast.rng, tuple(words().matters[slot])))


def _if(condition: bool, need: str) -> tuple[str, ...]:
    return (need,) if condition else ()


def pick(rng: Random, options: Sequence):
    return options[int(rng.random() * len(options))]


def _fresh(rng: Random, pool: Sequence[str], used: set[str]) -> str:
    while (choice := pool[int(rng.random() * len(pool))]) in used:
        pass
    used.add(choice)
    return choice
