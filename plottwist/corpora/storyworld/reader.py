"""The gold reader: what happens in a text, and how well, judged from events alone.

It parses each sentence with the inverse of the phrasings (``grammar``), replays the events on a world of its own and
measures the five NQDs there. It knows nothing of plans or levels. Only notebooks and tests may import it: training code
and the critic panel must stay independent of their judge.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from plottwist.corpora.storyworld.grammar import Clause, Value, grammar
from plottwist.corpora.storyworld.world import ANCHORS, BEAT_SHARES, BEATS, words
from plottwist.nqd import NQDScores

LINKS, ANSWERS, TONED = (
    7,
    6,
    12,
)  # what a full plot holds at least: links of cause, answers to want and flaw, toned events
PACING_FREE, PACING_SPAN = 0.04, 0.20  # distance from balanced beats that costs nothing; that costs everything
SENTENCES = re.compile(r"[^.!?]+")
ONCE = frozenset(("intro", "flaw", "inherit", "obstacle", "depart", "mid", "blow", "crisis", "climax", "resolve", "change"))
FLAW_SLOTS, WANT_SLOTS = ("fail", "virtue", "deed", "change"), ("pursuit", "done")

Fact = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader found.

    Attributes:
        scores: the five NQDs, 1-10.
        understood: share of sentences read in full and not said before.
        facts: (relation, subject, object), in the order of telling; matters by id.
        premise_kept: share of the premise's facts that the text honours; None without a readable premise.
        threads_opened, threads_closed: side threads of a long story.
        ending_paragraph: index of the paragraph with the first resolution, or None.
        continuity_errors: contradictions per paragraph.
        labels: O, Happen, Conflict or Solution per sentence (of its first event); None where not understood.
    """

    scores: NQDScores
    understood: float
    facts: list[Fact]
    premise_kept: float | None
    threads_opened: int
    threads_closed: int
    ending_paragraph: int | None
    continuity_errors: list[int]
    labels: list[str | None]


def read(text: str, premise: str | None = None) -> Reading:
    """Read any text. Never raises on content; what it cannot read counts against every dimension."""
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
    world, seen, labels, errors = World(), set(), [], []
    for p, paragraph in enumerate(paragraphs):
        before = world.bad
        for sentence in SENTENCES.findall(paragraph):
            key = " ".join(sentence.lower().split())
            if not key:
                continue
            clauses = None if key in seen else grammar().read(sentence)
            seen.add(key)
            labels.append(words().kinds[clauses[0].kind]["label"] if clauses else None)
            for clause in clauses or ():
                world.happen(clause, p)
        errors.append(world.bad - before)
    understood = sum(label is not None for label in labels) / len(labels) if labels else 0.0
    closed = sum(world.threads.values())
    return Reading(
        NQDScores.from_levels([value * understood for value in world.values()]),
        understood,
        list(dict.fromkeys(world.facts)),
        _premise_kept(world, premise),
        len(world.threads),
        closed,
        world.ending,
        errors,
        labels,
    )


@dataclass
class World:
    """The state that a text builds up, and the tally of what holds and what breaks."""

    hero: str | None = None
    role: str | None = None
    town: str | None = None
    want: str | None = None
    flaw: str | None = None
    obstacle: str | None = None
    opponent: str | None = None
    place: str | None = None
    ending: int | None = None
    beat: int = 0
    good: int = 0
    bad: int = 0
    answered: int = 0
    asked: int = 0
    met: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)  # noun -> the full name of a place or thing
    counts: list[int] = field(default_factory=lambda: [0] * len(BEATS))
    turns: list[tuple[int, int]] = field(default_factory=list)  # (beat, valence)
    tones: Counter[str | None] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    threads: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    told: set[tuple] = field(default_factory=set)
    last: str | None = None

    def happen(self, clause: Clause, paragraph: int) -> None:
        """Replay one event."""
        kind, slots = clause.kind, self._arguments(clause)
        spec = words().kinds[kind]
        self.kinds[kind] += 1
        self.tones[clause.tone] += 1
        self._enter_beat(kind)
        self.counts[self.beat] += 1
        if kind in ONCE and self.kinds[kind] > 1:
            self.bad += 1  # a story has one beginning, one crisis, one end
        if kind == "intro" and self.hero is None:
            self.hero, self.role, self.town, self.want = slots["A"], slots["role"], slots["T"], slots["want"]
            self.place = self.town
        self._check_actor(slots)
        event = (kind, *sorted(slots.items()))
        good, answered = self.good, self.answered
        self._replay(kind, slots)
        self._answer(slots)
        if event in self.told:
            self.asked -= self.answered - answered  # the same thing again earns nothing, whatever mood it comes in
            self.good, self.answered = good, answered
        self.told.add(event)
        if kind == "resolve" and self.ending is None:
            self.ending = paragraph
        self.facts += [(r, slots[s], slots[o]) for r, s, o in spec["facts"] if s in slots and o in slots]

    def _replay(self, kind: str, slots: dict[str, str]) -> None:
        """The rule of this kind of event: a turn of fortune, a step of a side thread, or a method of its name."""
        if valence := words().kinds[kind].get("valence"):
            if slots["A"] == self.hero:
                self.turns.append((self.beat, valence))
        elif (rule := getattr(self, f"_{kind}", None)) is not None:
            rule(slots)
        elif "_" in kind:
            self._thread(*kind.split("_"), slots)

    def values(self) -> tuple[float, float, float, float, float]:
        """Character, tone, pacing, coherence, emotion, each in [0, 1]."""
        return self._character(), self._tone(), self._pacing(), self._coherence(), self._emotion()

    # -- the five measures -----------------------------------------------------------------------------------------

    def _character(self) -> float:
        return self.answered / max(ANSWERS, self.asked)

    def _tone(self) -> float:
        total = sum(self.tones.values())
        main = max((n for t, n in self.tones.items() if t), default=0)
        share = main / max(1, total)
        return max(0.0, (share - 0.2) / 0.8) * min(1.0, total / TONED)

    def _pacing(self) -> float:
        total = sum(self.counts)
        if not total:
            return 0.0
        distance = sum(abs(c / total - BEAT_SHARES[b]) for c, b in zip(self.counts, BEATS, strict=True)) / 2
        balance = max(0.0, min(1.0, 1 - (distance - PACING_FREE) / PACING_SPAN))
        return balance if self.ending is not None else 0.75 * balance

    def _coherence(self) -> float:
        left_open = sum(not closed for closed in self.threads.values())
        return self.good / max(LINKS, self.good + self.bad + left_open)

    def _emotion(self) -> float:
        steps = list(pairwise(self.turns))
        hits = sum(b[0] == a[0] + 1 and a[1] != b[1] for a, b in steps)
        inside = [a[1] != b[1] for a, b in steps if a[0] == b[0]]
        return hits / (len(BEATS) - 1) * (1 - 0.5 * sum(inside) / max(1, len(inside)))

    # -- what each kind of event asks of the world and does to it --------------------------------------------------

    def _flaw(self, s: dict[str, str]) -> None:
        self.flaw = self.flaw or s["flaw"]

    def _inherit(self, s: dict[str, str]) -> None:
        self.dead.add(s["B"])
        self.holds.add(s["o"])

    def _obstacle(self, s: dict[str, str]) -> None:
        if self.opponent is None:
            self.opponent, self.obstacle = s["D"], s["obstacle"]
        self.met.add(s["D"])

    def _depart(self, s: dict[str, str]) -> None:
        self.place = s["P"]
        self.holds.discard(s["g"])

    def _meet(self, s: dict[str, str]) -> None:
        self.met.add(s["C"])

    def _greet(self, s: dict[str, str]) -> None:
        self.met.add(s["X"])

    def _fail(self, s: dict[str, str]) -> None:
        self._link(self._present(s["C"]))

    _stumble = _fail

    def _learn(self, s: dict[str, str]) -> None:
        self._link(self._present(s["X"]))
        self._need(s["D"] == self.opponent)

    def _talk(self, s: dict[str, str]) -> None:
        self._link(self._present(s["X"]))

    def _mid(self, s: dict[str, str]) -> None:
        self._link(s["P"] == self.place)
        self._link(s["o"] in self.holds)

    _act = _mid

    def _blow(self, s: dict[str, str]) -> None:
        self._need(s["D"] == self.opponent)

    def _crisis(self, s: dict[str, str]) -> None:
        self.place = s["T"]
        self._need(s["T"] == self.town)

    def _climax(self, s: dict[str, str]) -> None:
        self._mid(s)
        self._need(s["D"] == self.opponent)

    def _resolve(self, s: dict[str, str]) -> None:
        self._link(self.obstacle is not None and s["undone"] == self.obstacle)
        self._need(s["D"] == self.opponent)

    def _change(self, s: dict[str, str]) -> None:
        self._link(self._present(s["X"]))

    def _go(self, s: dict[str, str]) -> None:
        self.place = s["P"]

    def _find(self, s: dict[str, str]) -> None:
        self.holds.add(s["o"])

    def _drop(self, s: dict[str, str]) -> None:
        self._need(s["o"] in self.holds)
        self.holds.discard(s["o"])

    def _thread(self, name: str, step: str, s: dict[str, str]) -> None:
        key = (name, s["K"], s["X"])
        if step == "open":
            self.threads.setdefault(key, False)
            self.met.add(s["X"])
        elif step == "touch":
            self._need(key in self.threads)
        else:
            self._link(self.threads.get(key) is False)
            if key in self.threads:
                self.threads[key] = True

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _link(self, holds: bool) -> None:
        if holds:
            self.good += 1
        else:
            self.bad += 1

    def _need(self, holds: bool) -> None:
        self.bad += not holds

    def _present(self, name: str) -> bool:
        return name in self.met and name not in self.dead

    def _check_actor(self, slots: dict[str, str]) -> None:
        self._need("A" not in slots or slots["A"] == self.hero)
        self._need("D" not in slots or slots["D"] not in self.dead)

    def _answer(self, slots: dict[str, str]) -> None:
        for names, wanted in ((FLAW_SLOTS, self.flaw), (WANT_SLOTS, self.want)):
            for name in names:
                if name in slots:
                    self.asked += 1
                    self.answered += slots[name] == wanted and slots["A"] == self.hero

    def _enter_beat(self, kind: str) -> None:
        if kind in ANCHORS:
            entered = BEATS.index(ANCHORS[kind])
            self._need(entered == self.beat + 1)
            self.beat = max(self.beat, entered)

    def _arguments(self, clause: Clause) -> dict[str, str]:
        """Slots by the name of their role: pronouns resolved, places and things by their full name."""
        slots: dict[str, str] = {}
        for name, value in clause.slots.items():
            if name == "fail" and isinstance(value, tuple):
                slots["fail"], slots["C"] = value
            elif name in ("A", "N", "him", "her", "she", "hers"):
                slots.setdefault("A", self._person(value))
            elif name == "at":
                slots["P"] = self._full(value)
            elif name in ("P", "o", "a_o", "g"):
                slots[name.removeprefix("a_")] = self._full(value)
            else:
                slots[{"a_role": "role", "a_crole": "c_role", "a_xrole": "x_role"}.get(name, name)] = value
        slots.setdefault("A", self.hero or "")
        return slots

    def _full(self, name: str) -> str:
        noun = name.rsplit(" ", 1)[-1]
        if " " in name:
            self.names[noun] = name
        return self.names.get(noun, name)

    def _person(self, value: Value) -> str:
        """A name; the protagonist for a pronoun or role that fits, else the last person named."""
        if isinstance(value, str):
            self.last = value
            return value
        form, what = value
        if form == "role":
            return self.hero if what == self.role and self.hero else f"the {what}"
        fits = self.hero is not None and grammar().gender(self.hero) in (None, what)
        return (self.hero if fits else self.last) or ""


def _premise_kept(world: World, premise: str | None) -> float | None:
    """Protagonist, role, town, want, obstacle and tone: the share that the text shares with its premise."""
    told = grammar().read_premise(premise) if premise else None
    if told is None:
        return None
    tone = max((t for t in world.tones if t), key=world.tones.__getitem__, default=None)
    kept = (
        told["N"] == world.hero,
        told.get("a_role", told.get("role")) == world.role,
        told["T"] == world.town,
        told["want"] == world.want,
        told["D"] == world.opponent and told["obstacle"] == world.obstacle,
        told["tone"] == tone,
    )
    return sum(kept) / len(kept)
