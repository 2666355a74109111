"""What the analytic critics measure: a few plain numbers per dimension, each an answer to part of the dimension's question.

They were written down from the questions (``nqd.QUESTIONS`` and what ``prompting`` tells every critic to attend to) and from the
literature named at each; words are general English. Larger is better for all. A measure returns its value and the sentence it
rests on. It sees words and sentence vectors, not events: what it cannot see is in notebook 03.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plottwist.evaluation.reading import Reading, arc

Found = tuple[float, int]

_WANTS = frozenset(
    """want wants wanted wish wishes wished hope hopes hoped need needs needed long longs longed dream dreams dreamed vow vows vowed
    swear swears swore promise promises promised plan plans planned intend intends decide decides decided resolve resolves resolved
    refuse refuses refused fear fears feared afraid try tries tried seek seeks sought choose chooses chose must""".split()
)
_REASON = re.compile(r"\b(?:because|since|so that|in order to|for fear|lest|therefore|so as to|that is why|which is why)\b", re.IGNORECASE)
_CHANGED = re.compile(
    r"\b(?:no longer|never again|for the first time|at last|instead|finally|now|learn(?:s|ed)?|becomes?|became|chang\w+|forg[ia]ves?|admits?"
    r"|admitted|understands?|understood|reali[sz]e[sd]?|accept(?:s|ed)?|gives? up|gave up|lets? go|not as before)\b",
    re.IGNORECASE,
)
_DEATH = re.compile(r"\b(?:die[sd]?|dead|killed|buried|drown(?:s|ed)|murdered)\b")


@dataclass(frozen=True)
class Measure:
    """``of`` a reading of at least one sentence: its value and the sentence it rests on; what is said of a high and of a low value."""

    critic: str
    name: str
    of: Callable[[Reading], Found]
    high: str
    low: str


def motives(reading: Reading) -> Found:
    """Share of sentences that state a want or a reason: intentional acts make a plot believable (Riedl & Young 2010)."""
    said = np.array([bool(_WANTS & {w.lower() for w in row}) for row in reading.words])
    said |= np.array([bool(_REASON.search(s)) for s in reading.sentences])
    return float(said.mean()), int(said.argmax())


def follow_through(reading: Reading) -> Found:
    """How near the end comes to what was wanted in the first half (goals and their outcomes: Trabasso & van den Broek 1985).

    Cosine of the nearest sentence in the last third, averaged over the sentences of want (the first sentence where there is none).
    """
    half, third = max(1, len(reading) // 2), max(1, len(reading) // 3)
    wanted = [i for i in range(half) if _WANTS & {w.lower() for w in reading.words[i]}] or [0]
    near = reading.vectors[wanted] @ reading.vectors[-third:].T  # (wants, last third)
    return float(near.max(axis=1).mean()), len(reading) - third + int(near.max(axis=0).argmax())


def change(reading: Reading) -> Found:
    """Share of sentences in the last third that speak of somebody now being, knowing or doing otherwise."""
    third = max(1, len(reading) // 3)
    said = np.array([bool(_CHANGED.search(s)) for s in reading.sentences[-third:]])
    return float(said.mean()), len(reading) - third + int(said.argmax())


def bonds(reading: Reading) -> Found:
    """Share of sentences where two named people meet (conversational networks: Elson et al. 2010)."""
    met = np.array([len(set(row)) > 1 for row in reading.people])
    return float(met.mean()), int(met.argmax())


def unity(reading: Reading) -> Found:
    """Mean cosine of a sentence with the sum of all others: does the telling stay with one matter and manner?"""
    fits = _fits(reading)
    return float(fits.mean()), int(fits.argmin())


def stray(reading: Reading) -> Found:
    """Cosine of the least fitting sentence with the sum of all others: the episode from another kind of story."""
    fits = _fits(reading)
    return float(fits.min()), int(fits.argmin())


def mood_kept(reading: Reading) -> Found:
    """Mean cosine of all later sentences with the first two: is the mood they set kept?"""
    start = reading.vectors[:2].sum(axis=0)
    near = reading.vectors[2:] @ (start / np.linalg.norm(start))
    return (float(near.mean()), 2 + int(near.argmin())) if len(near) else (1.0, 0)


def balance(reading: Reading) -> Found:
    """How evenly events fall on five stages of the text: 1 less half the distance from a fifth each, over clauses by their words."""
    clauses = [max(1, len(re.findall(r"[,;:]| and | but | then ", s))) for s in reading.sentences]
    words = np.array([len(row) for row in reading.words], dtype=float)
    stage = np.minimum(4, (5 * (np.cumsum(words) - words / 2) / words.sum()).astype(int))
    share = np.array([sum(c for c, at in zip(clauses, stage, strict=True) if at == k) for k in range(5)]) / sum(clauses)
    return 1 - float(np.abs(share - 0.2).sum()) / 2, int(np.argmax(stage == share.argmax()))


def rush(reading: Reading) -> Found:
    """Less the share of all words that stand in the longest sentence: where a story hurries, one sentence holds much of it."""
    words = np.array([len(row) for row in reading.words])
    return -float(words.max() / words.sum()), int(words.argmax())


def fresh_events(reading: Reading) -> Found:
    """Less the mean share of a sentence's content words that one other sentence has too: near-identical trials repeat."""
    shared = np.array([_most_shared(reading.content, i) for i in range(len(reading))])
    return -float(shared.mean()), int(shared.argmax())


def tension(reading: Reading) -> Found:
    """Correlation of the arc's dark side with a line that rises to three quarters of the text and falls (Freytag's pyramid)."""
    at = np.linspace(0, 1, len(reading))
    dark = -arc(reading.valence)
    ideal = np.where(at < 0.75, at / 0.75, (1 - at) / 0.25)
    if len(reading) < 3 or dark.std() < 1e-9:
        return 0.0, int(dark.argmax())
    return float(np.corrcoef(dark, ideal)[0, 1]), int(dark.argmax())


def links(reading: Reading) -> Found:
    """Share of neighbouring sentences that share a name or a content word (local coherence: Barzilay & Lapata 2008)."""
    named = [set(p) | c for p, c in zip(reading.people, reading.content, strict=True)]
    linked = np.array([bool(a & b) for a, b in itertools.pairwise(named)])
    return (float(linked.mean()), int(linked.argmin())) if len(linked) else (1.0, 0)


def sequence(reading: Reading) -> Found:
    """By how much nearer neighbouring sentences are than distant ones: a causal chain has an order (Barzilay & Lapata 2008, insertion)."""
    if len(reading) < 4:
        return 0.0, 0
    near = reading.vectors @ reading.vectors.T  # (sentences, sentences)
    neighbours, distant = np.diag(near, 1), near[np.triu_indices(len(near), 2)]
    return float(neighbours.mean() - distant.mean()), 1 + int(neighbours.argmin())


def acquaintance(reading: Reading) -> Found:
    """Less the share of sentences that introduce ('a lamp') what was spoken of as known before ('the lamp') (givenness: Prince 1981)."""
    known: set[str] = set()
    late = np.zeros(len(reading), dtype=bool)
    for place, row in enumerate(reading.words):
        pairs = [(a.lower(), b.lower()) for a, b in itertools.pairwise(row)]
        late[place] = any(a in ("a", "an") and b in known for a, b in pairs)
        known |= {b for a, b in pairs if a in ("the", "his", "her", "their")}
    return -float(late.mean()), int(late.argmax())


def the_dead_rest(reading: Reading) -> Found:
    """Less the share of sentences that open with somebody who was alone in a sentence of death before."""
    dead: set[str] = set()
    acting = np.zeros(len(reading), dtype=bool)
    for place, (row, people) in enumerate(zip(reading.words, reading.people, strict=True)):
        acting[place] = row[0] in dead
        if len(set(people)) == 1 and _DEATH.search(reading.sentences[place]):
            dead |= set(people)
    return -float(acting.mean()), int(acting.argmax())


def span(reading: Reading) -> Found:
    """Distance from the lowest to the highest point of the emotional arc (Reagan et al. 2016)."""
    line = arc(reading.valence)
    return float(line.max() - line.min()), int(line.argmin())


def turns(reading: Reading) -> Found:
    """Mean of the five largest changes of valence from one sentence to the next."""
    steps = np.abs(np.diff(reading.valence))
    return (float(np.sort(steps)[-5:].mean()), 1 + int(steps.argmax())) if len(steps) else (0.0, 0)


def turns_hold(reading: Reading) -> Found:
    """Share of the variance of valence that lies between five stages: a turn that resonates lasts, a flicker does not."""
    total = float(np.square(reading.valence - reading.valence.mean()).sum())
    if total < 1e-9 or len(reading) < 5:
        return 0.0, 0
    stages = np.array_split(reading.valence, 5)
    between = sum(len(s) * float(s.mean() - reading.valence.mean()) ** 2 for s in stages)
    return between / total, int(np.abs(arc(reading.valence)).argmax())


def cost(reading: Reading) -> Found:
    """Mean darkness of the sentences: turns that cost nothing leave no mark."""
    dark = np.maximum(0, -reading.valence)
    return float(dark.mean()), int(dark.argmax())


MEASURES: tuple[Measure, ...] = (
    Measure("character", "motives", motives, "wants and reasons are stated", "few wants or reasons are stated"),
    Measure("character", "follow-through", follow_through, "the end answers what was wanted", "the end has little to do with what was wanted"),
    Measure("character", "change", change, "somebody is different at the end", "nobody is said to be different at the end"),
    Measure("character", "bonds", bonds, "people meet one another", "people are hardly seen together"),
    Measure("tone", "unity", unity, "one matter and manner throughout", "matter and manner change from sentence to sentence"),
    Measure("tone", "stray", stray, "no sentence falls out", "a sentence falls out of the rest"),
    Measure("tone", "mood kept", mood_kept, "the opening's mood is kept", "the opening's mood is left"),
    Measure("pacing", "balance", balance, "events fall evenly on the stages", "events crowd into one stage"),
    Measure("pacing", "rush", rush, "no sentence is hurried", "one sentence holds much of the story"),
    Measure("pacing", "fresh events", fresh_events, "events differ", "events repeat"),
    Measure("pacing", "tension", tension, "tension rises late and is released", "tension does not rise towards a late crisis"),
    Measure("coherence", "links", links, "sentences take one another up", "neighbouring sentences share little"),
    Measure("coherence", "sequence", sequence, "what belongs together stands together", "the order of sentences hardly matters"),
    Measure("coherence", "acquaintance", acquaintance, "things are introduced before they are used", "things are introduced after they were used"),
    Measure("coherence", "the dead rest", the_dead_rest, "the dead stay dead", "somebody acts after their death"),
    Measure("emotion", "span", span, "the arc has a wide span", "feeling stays on one level"),
    Measure("emotion", "turns", turns, "strong turns of feeling", "weak turns of feeling"),
    Measure("emotion", "turns hold", turns_hold, "the turns last", "the turns are flickers"),
    Measure("emotion", "cost", cost, "the turns cost something", "little is suffered"),
)  # fmt: skip


def _fits(reading: Reading) -> NDArray[np.float64]:
    """Cosine of each sentence with the sum of all others, (sentences,)."""
    if len(reading) < 2:
        return np.ones(len(reading))
    others = reading.vectors.sum(axis=0) - reading.vectors
    return (others * reading.vectors).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)


def _most_shared(content: list[set[str]], place: int) -> float:
    own = content[place]
    return max((len(own & other) / len(own) for i, other in enumerate(content) if i != place and own), default=0.0)
