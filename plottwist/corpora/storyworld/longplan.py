"""Plans of long stories: the same five beats over 5-50 paragraphs, with episodes and side threads between them.

A thread (a debt, a promise, a lost animal, ...) is opened in the first two fifths, comes back now and then, and is
closed in the last two fifths, the last one beside the ending. A bad link closes a thread with somebody it never
concerned, so that it stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from random import Random

from plottwist.corpora.storyworld.plan import (
    FILLERS,
    Cast,
    Levels,
    Step,
    core_steps,
    filler_step,
    good_slots,
    pacing_value,
    pick,
    turn_steps,
)
from plottwist.corpora.storyworld.world import BEAT_SHARES, BEATS, words

USUAL = {"intro": 13, "flaw": 8, "depart": 14, "climax": 13, "resolve": 12, "act": 15, "learn": 12, "greet": 9, "turn": 7, "meet": 8,
         "fail": 8, "blow": 9}  # words; 10 for any other kind  # fmt: skip
EPISODES = ("act", "visit", "talk", "choice", "filler", "filler", "find", "learn", "greet")


def long_steps(cast: Cast, levels: Levels, paragraphs: int, rng: Random) -> list[list[Step]]:
    """The steps of each paragraph of a long story, in the order of telling."""
    counts = share_paragraphs(rng, paragraphs, levels.pacing)
    beats = [beat for beat, count in enumerate(counts) for _ in range(count)]
    teller = _Teller(cast, levels, rng)
    ok, fit = good_slots(rng, 7, levels.coherence), good_slots(rng, 6, levels.character)
    core = _place_core(core_steps(cast, ok, fit), beats, ok[0])
    crowded = {p for p, steps in enumerate(core) if len(steps) > 3}
    threads = _place_threads(cast, paragraphs, crowded, rng)
    fill = [max(38.0, min(56.0, 46 * paragraphs * BEAT_SHARES[b] / c)) for b, c in zip(BEATS, counts, strict=True)]
    told = [teller.paragraph(beat, core[p], threads[p], fill[beat]) for p, beat in enumerate(beats)]
    _give_turns(told, levels.emotion, rng)
    return told


def share_paragraphs(rng: Random, n: int, level: float) -> list[int]:
    """Paragraphs per beat: balanced at level 1, one beat swallowing the others at level 0; at least one each."""
    counts = [max(1, round(n * BEAT_SHARES[b])) for b in BEATS]
    while (surplus := sum(counts) - n) != 0:
        i = counts.index(max(counts))
        counts[i] -= 1 if surplus > 0 else -1
    greedy = pick(rng, (0, 1, 2, 4))
    path = [list(counts)]
    while sum(counts) - counts[greedy] > len(BEATS) - 1:
        i = max((i for i in range(len(BEATS)) if i != greedy), key=lambda i: counts[i])
        counts[i], counts[greedy] = counts[i] - 1, counts[greedy] + 1
        path.append(list(counts))
    return min(path, key=lambda c: abs(pacing_value(c) - level))


def _place_core(core: dict[str, Step], beats: list[int], met_first: bool) -> list[list[Step]]:
    """The thirteen events of the main story on their paragraphs; a turn of fortune wherever a beat begins."""
    placed: list[list[Step]] = [[] for _ in beats]
    first = [beats.index(b) for b in range(len(BEATS))]
    last = [p - 1 for p in first[1:]] + [len(beats) - 1]
    turn = [Step(b, "turn", {}) for b in range(len(BEATS))]
    placed[0] += [core["intro"], core["flaw"], core["inherit"], turn[0]]
    placed[first[1]] += [core["obstacle"], turn[1]]
    early = last[1] == first[1] and first[1] > 1  # one paragraph cannot hold it all
    placed[first[1] - 1 if early else min(first[1] + 1, last[1])] += [core["depart"]]
    pair = [core["meet"], core["fail"]]
    placed[min(first[1] + 2, last[1])] += pair if met_first else pair[::-1]
    placed[first[2]] += [core["mid"], turn[2]]
    placed[first[3]] += [core["blow"], turn[3]]
    placed[last[3]] += [core["crisis"]]
    placed[first[4]] += [core["climax"], turn[4]]
    placed[-1] += [core["resolve"], core["change"]]
    return placed


def _place_threads(cast: Cast, n: int, crowded: set[int], rng: Random) -> list[list[tuple[str, dict[str, str]]]]:
    """Per paragraph: (step, {thread, K, X}) of the threads opened, touched or closed there; crowded ones are spared."""
    table = words().threads
    count = min(10, 2 + (n - 5) // 5)
    names = rng.sample(tuple(table), len(table)) * 2
    used: set[str] = set()
    threads = []
    for name in names[:count]:
        key = pick(rng, [k for k in table[name] if k not in used])
        used.add(key)
        threads.append({"thread": name, "K": key, "X": cast.name()})
    span = max(2, int(0.4 * n))
    openings, closings = (_free(range(*r), crowded, count) for r in ((0, span), (n - span, n)))
    placed: list[list[tuple[str, dict[str, str]]]] = [[] for _ in range(n)]
    opened = [openings[i * len(openings) // count] for i in range(count)]
    closed = [closings[-1 - i * len(closings) // count] for i in range(count)]
    rng.shuffle(closed)
    for thread, a, b in zip(threads, opened, closed, strict=True):
        placed[a].append(("open", thread))
        placed[b].append(("close", thread))
    for p in range(1, n):
        pending = [t for t, a, b in zip(threads, opened, closed, strict=True) if a < p < b]
        if pending and not placed[p] and rng.random() < 0.75:
            placed[p].append(("touch", pick(rng, pending)))
    return placed


def _free(paragraphs: Sequence[int], crowded: set[int], wanted: int) -> list[int]:
    """The paragraphs that are not crowded, or all of them where too few are left; the last may always close a thread."""
    free = [p for p in paragraphs if p not in crowded or p == paragraphs[-1]]
    return free if len(free) >= wanted else list(paragraphs)


def _give_turns(told: list[list[Step]], level: float, rng: Random) -> None:
    """Put signs on the turns: so many of the four changes of beat reverse fortune, so often it turns elsewhere."""
    slots = [(p, i) for p, steps in enumerate(told) for i, step in enumerate(steps) if step.kind == "turn"]
    hits = ceil((len(BEATS) - 1) * level)
    stray = _Dither(rng, min(1.0, 2 * (1 - (len(BEATS) - 1) * level / hits)) if hits else 0.5)
    turning = set(rng.sample(range(1, len(BEATS)), hits))
    beats = [told[p][i].beat for p, i in slots]
    signs = [1 if level == 1 or rng.random() < 0.5 else -1]
    for before, beat in pairwise(beats):
        flips = beat in turning if beat != before else stray.next()
        signs.append(-signs[-1] if flips else signs[-1])
    for (p, i), step in zip(slots, turn_steps(rng, beats, signs), strict=True):
        told[p][i] = step


class _Dither:
    """Yes or no, so that the share of yes keeps to a level however few are asked for."""

    def __init__(self, rng: Random, level: float) -> None:
        self.level, self.sum = level, rng.random()

    def next(self) -> bool:
        self.sum += self.level
        yes = self.sum >= 1
        self.sum -= yes
        return yes


class _Teller:
    """Fills paragraphs with episodes, following where the protagonist is, what is at hand and who is known."""

    def __init__(self, cast: Cast, levels: Levels, rng: Random) -> None:
        self.cast, self.rng = cast, rng
        self.sound, self.true_to_self = _Dither(rng, levels.coherence), _Dither(rng, levels.character)
        self.place, self.been = cast.T, [cast.T]
        self.held, self.lost = [], []
        self.known: list[str] = []
        self.at_home = False  # between the crisis and the climax nobody leaves town
        self.learned: set[str] = set()

    def paragraph(self, beat: int, core: Sequence[Step], threads: Sequence[tuple[str, dict[str, str]]], full: float) -> list[Step]:
        """One paragraph: the main events due here, the threads, and episodes until it has about ``full`` words."""
        steps: list[Step] = []
        for step in core:
            steps.append(self._core(step, beat))
        tail = bool(steps) and steps[-1].kind == "change"
        for what, thread in threads:
            steps.insert(len(steps) - 2 if tail else len(steps), self._thread(beat, what, thread))
        if not any(s.kind == "turn" for s in steps) and not tail and self.rng.random() < 0.6:
            steps.append(Step(beat, "turn", {}))
        while sum(USUAL.get(s.kind, 10) for s in steps) < full - 4:
            extra = self._episode(beat)
            place = len(steps) - 2 if tail else len(steps)
            steps[place:place] = extra
        return steps

    def _core(self, step: Step, beat: int) -> Step:
        if step.kind == "mid" and step.args["P"] != self.cast.T:
            step = step._replace(args={**step.args, "P": self.place}, needs=(*step.needs, f"at {self.place}"))
        if step.kind == "inherit":
            self.held.append(self.cast.o)
        elif step.kind == "depart":
            self.lost.append(self.cast.g)
            self._move(self.cast.P)
        elif step.kind == "meet":
            self.known.append(self.cast.C)
        elif step.kind == "crisis":
            self._move(self.cast.T)
            self.at_home = True
        elif step.kind == "climax":
            self.at_home = False
        return step._replace(beat=beat)

    def _move(self, place: str) -> None:
        self.place = place
        if place not in self.been:
            self.been.append(place)

    def _thread(self, beat: int, what: str, thread: dict[str, str]) -> Step:
        args = {"K": thread["K"], "X": thread["X"]}
        name = f"{thread['thread']} {thread['K']}"
        if what == "open":
            self.known.append(args["X"])
            return Step(beat, f"{thread['thread']}_open", args, (), name)
        strangers = [x for x in self.known if x != args["X"]]
        if what == "close" and strangers and not self.sound.next():
            return Step(beat, f"{thread['thread']}_close", {**args, "X": pick(self.rng, strangers)})
        return Step(beat, f"{thread['thread']}_{what}", args, (name,))

    def _episode(self, beat: int) -> list[Step]:
        kind = pick(self.rng, EPISODES)
        if kind == "filler" or (tell := getattr(self, f"_{kind}")(beat)) is None:
            return [filler_step(self.rng, beat, pick(self.rng, FILLERS))]
        return tell

    def _visit(self, beat: int) -> list[Step] | None:
        if self.at_home or len(self.been) > 14:
            return None
        self._move(self.cast.place())
        return [Step(beat, "go", {"P": self.place}, (), f"at {self.place}")]

    def _act(self, beat: int) -> list[Step] | None:
        if not self.held:
            return None
        place, thing = self.place, pick(self.rng, self.held)
        elsewhere = [p for p in self.been if p != place]
        if elsewhere and not self.sound.next():
            place = pick(self.rng, elsewhere)
        if self.lost and not self.sound.next():
            thing = pick(self.rng, self.lost)
        args = {"P": place, "o": thing, "errand": pick(self.rng, words().lists["errands"])}
        return [Step(beat, "act", args, (f"at {place}", f"has {thing}"))]

    def _talk(self, beat: int) -> list[Step] | None:
        if not self.known:
            return None
        return [Step(beat, "talk", {"X": pick(self.rng, self.known) if self.sound.next() else self.cast.B})]

    def _greet(self, beat: int) -> list[Step] | None:
        if beat > 2 or len(self.known) > 8:
            return None
        self.known.append(newcomer := self.cast.name())
        return [Step(beat, "greet", {"X": newcomer, "x_role": self.cast.job()})]

    def _choice(self, beat: int) -> list[Step] | None:
        good = self.true_to_self.next()
        if beat >= 3:
            return [Step(beat, "grow", {"virtue": self.cast.of("virtue", self.cast.flaw, good)})]
        if not self.known:
            return None
        other = pick(self.rng, self.known) if self.sound.next() else self.cast.B
        return [Step(beat, "stumble", {"C": other, "fail": self.cast.of("fail", self.cast.flaw, good)})]

    def _find(self, beat: int) -> list[Step] | None:
        if len(self.held) > 3:
            thing = self.held.pop(1)
            self.lost.append(thing)
            return [Step(beat, "drop", {"o": thing}, (f"has {thing}",))]
        if beat > 2:
            return None
        thing = self.cast.thing()
        self.held.append(thing)
        return [Step(beat, "find", {"o": thing}, (), f"has {thing}")]

    def _learn(self, beat: int) -> list[Step] | None:
        secrets = [s for s in words().matters["secret"] if s not in self.learned]
        if beat not in (1, 2) or len(self.learned) > 2 or self.cast.C not in self.known:
            return None
        self.learned.add(secret := pick(self.rng, secrets))
        teller = pick(self.rng, self.known) if self.sound.next() else self.cast.B
        return [
            Step(
                beat,
                "learn",
                {"X": teller, "D": self.cast.D, "secret": self.cast.phrase("secret", secret)},
                ("obstacle",),
            )
        ]
