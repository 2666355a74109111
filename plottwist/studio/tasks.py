"""The three jobs as one text-to-text task on Storyworld, with ground truth from the simulator's plan, never from the reader.

- *generate*: a premise -> a plot.
- *refine*: a draft -> its repair. The same seed told at full levels shares the draft's people, places, want and obstacle; each event that
  the draft already tells rightly, in the palette of the story, keeps the draft's own words, every other one takes the full telling's. So a
  good draft is changed little and a poor one much, and the model learns to tell them apart. A draft called *poor* is written anew.
- *explain*: a plot -> the facts of its plan and what each turn rests on, in the order of telling. The model notes each in a shorthand whose
  words are tokens of the plot itself, so that it copies rather than spells; a note is then said as a plain sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from random import Random

from plottwist.corpora import storyworld as sw
from plottwist.corpora.split import premise_key, split
from plottwist.corpora.storyworld.world import article, words
from plottwist.nqd import NQDS
from plottwist.studio.prompting import Band

Fact = tuple[str, str, str]

ORDERS: dict[Band, str] = {"strong": "refine", "middling": "restructure", "poor": "rewrite"}
LIMITS = (1 / 3, 2 / 3)  # mean level of a draft: below the first it is poor, from the second on strong

# What an explanation states of a plan: who people are, what they want and hold, what stands in the way, what they do about it, what comes
# of it, and what each turn rests on; errands (who goes where, who meets whom) are left out. The letter notes the relation.
SAYINGS = {
    "is": ("I", "{s} is {o}."),
    "wants": ("W", "{s} wants {o}."),
    "flaw": ("F", "{s} is held back: {o}."),
    "holds": ("H", "{s} holds the {o}."),
    "obstacle": ("O", "{s} stands in the way: {o}."),
    "seeks": ("S", "{s} sets out {o}."),
    "fails": ("L", "{s} does wrong: {o}."),
    "does": ("D", "{s} succeeds: {o}."),
    "strikes": ("B", "{s} strikes: {o}."),
    "chooses": ("C", "{s} chooses: {o}."),
    "gives way": ("G", "{s} gives way: {o}."),
    "gains": ("N", "{s} gains: {o}."),
    "becomes": ("E", "{s} is changed: {o}."),
    "stays with": ("T", "{s} stays with {o}."),
    "rests on": ("R", "The {s} rests on the {o}."),
}
TURNS = {
    "inherit": "inheritance", "obstacle": "obstacle", "depart": "journey", "meet": "meeting", "fail": "wrong", "mid": "feat",
    "blow": "blow", "crisis": "choice", "climax": "last fight", "resolve": "release", "change": "change",
}  # fmt: skip
_TURN_MARKS = dict(zip(TURNS.values(), "IOJMWFBCLRE", strict=True))
_RELATIONS = {mark: relation for relation, (mark, _) in SAYINGS.items()}
_NOTE = re.compile(r"([A-Z]) (.+?): (.+)")
_MATTER = {
    "wants": "want", "flaw": "flaw", "obstacle": "obstacle", "seeks": "pursuit", "fails": "fail", "does": "feat", "strikes": "blow",
    "gives way": "undone", "gains": "done", "becomes": "change",
}  # fmt: skip


def ask_refine(draft: str, band: Band) -> str:
    """What the small model is asked when it is to refine."""
    return f"{ORDERS[band]}: {draft}"


def ask_explain(plot: str) -> str:
    """What the small model is asked when it is to explain."""
    return f"explain: {plot}"


def facts(story: sw.Story) -> list[Fact]:
    """The main facts of a plan, in its own phrases, and what each turn rests on; in the order of telling, without repeats."""
    found: list[Fact] = []
    for event in story.plan.events:
        args = {"A": event.actor} | {name: _filled(value, event.args, story) for name, value in event.args.items()}
        found += [(relation, args[s], args[o]) for relation, s, o in words().kinds[event.kind]["facts"] if relation in SAYINGS]
        causes = [story.plan.events[i].kind for i in event.causes]
        found += [("rests on", TURNS[event.kind], TURNS[cause]) for cause in causes if event.kind in TURNS and cause in TURNS]
    return list(dict.fromkeys(found))


def say(fact: Fact) -> str:
    """A fact as a sentence."""
    relation, subject, thing = fact
    return SAYINGS[relation][1].format(s=subject, o=article(thing) if relation == "is" else thing)


def note(fact: Fact) -> str:
    """A fact in the model's shorthand: ``W Anna: to win the boat race``; turns are letters, ``R F: C``."""
    relation, subject, thing = fact
    if relation == "rests on":
        subject, thing = _TURN_MARKS[subject], _TURN_MARKS[thing]
    return f"{SAYINGS[relation][0]} {subject}: {article(thing) if relation == 'is' else thing}"


def read_note(line: str) -> Fact | None:
    """The fact that a note states, or None: what the small model writes beside the form is counted, not guessed at."""
    match = _NOTE.fullmatch(line.strip())
    if not match or match[1] not in _RELATIONS:
        return None
    relation, subject, thing = _RELATIONS[match[1]], match[2], match[3]
    if relation == "rests on":
        turns = {mark: turn for turn, mark in _TURN_MARKS.items()}
        return (relation, turns[subject], turns[thing]) if subject in turns and thing in turns else None
    if relation == "is":
        noun = re.fullmatch(r"an? (\S+)", thing)
        return (relation, subject, noun[1]) if noun else None
    return relation, subject, thing


def borne_out(fact: Fact, plot: str) -> bool:
    """Whether the plot has the words of a fact: a name or a deed that does not occur in it is made up, whatever else may be true."""
    relation, subject, thing = fact
    return relation == "rests on" or all(re.search(rf"\b{re.escape(words)}\b", plot) for words in (subject, thing))


def meant(fact: Fact, story: sw.Story) -> Fact:
    """The fact with a matter in place of its phrase: two phrases of one want, flaw or obstacle mean the same."""
    relation, subject, thing = fact
    slots = ("virtue", "deed") if relation == "chooses" else (_MATTER.get(relation),)
    for slot in slots:
        for phrase, matter in words().phrase_ids.get(slot, {}).items():
            if _filled(phrase, {}, story) == thing:
                return relation, subject, f"{slot}:{matter}"
    return fact


def repair(draft: sw.Story, full: sw.Story) -> str:
    """The full telling of the same seed, with the draft's own words for every event that the draft tells rightly."""
    kept = {
        event.kind: (draft, event.sentence, clause)
        for event, clause in zip(draft.plan.events, _clauses(draft), strict=True)
        if clause and event.tone == full.tone and _fits(event, full)
    }
    told = [
        kept[event.kind] if clause and event.kind in kept else (full, event.sentence, clause)
        for event, clause in zip(full.plan.events, _clauses(full), strict=True)
    ]
    written = []
    for _, own in groupby(told, key=lambda t: (id(t[0]), t[1])):
        rows = list(own)
        source, sentence, _ = rows[0]
        clauses = [clause for *_, clause in rows if clause]
        written.append(", and ".join(clauses) if clauses else _sentences(source)[sentence])
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in written)


def examples(jobs: Sequence[str], n: int, seed: int, part: str) -> Iterator[dict[str, str]]:
    """n training rows, the jobs in turn: ``job, prompt (what the user says), completion``; premises of one part of the split only.

    Args:
        part: train, validation or test.
    """
    for made, draft in enumerate(stories(n, seed, part)):
        yield {"job": jobs[made % len(jobs)], **example(jobs[made % len(jobs)], draft)}


def stories(n: int, seed: int, part: str) -> Iterator[sw.Story]:
    """n stories of every quality whose premises belong to one part of the split."""
    rng, made, at = Random(f"studio {seed} {part}"), 0, seed * 1_000_000
    while made < n:
        at += 1
        story = sw.simulate(at, _levels(rng))
        if split(premise_key(story.premise)) == part:
            yield story
            made += 1


def example(job: str, draft: sw.Story) -> dict[str, str]:
    """One row of a job on one story."""
    if job == "generate":
        return {"prompt": draft.premise, "completion": draft.text}
    if job == "explain":
        return {"prompt": ask_explain(draft.text), "completion": "\n".join(note(fact) for fact in facts(draft))}
    band = band_of(draft.levels)
    full = sw.simulate(draft.seed, sw.Levels(), tone=draft.tone)
    return {"prompt": ask_refine(draft.text, band), "completion": full.text if band == "poor" else repair(draft, full)}


def band_of(levels: sw.Levels) -> Band:
    """The band of a draft whose levels are known (training alone; afterwards the rater's measure decides)."""
    mean = sum(levels.as_dict().values()) / len(NQDS)
    return "poor" if mean < LIMITS[0] else "strong" if mean >= LIMITS[1] else "middling"


def _levels(rng: Random) -> sw.Levels:
    """Levels around a common quality that is uniform, so that poor and strong drafts are as frequent as middling ones."""
    quality = rng.random()
    return sw.Levels(*(min(1.0, max(0.0, quality + 0.25 * (2 * rng.random() - 1))) for _ in NQDS))


def _fits(event: sw.Event, full: sw.Story) -> bool:
    """Whether an event of the draft may stand in the full telling: it answers want, flaw and obstacle, and its links hold."""
    args = event.args
    for slot, matter in (("pursuit", full.plan.want), ("done", full.plan.want), ("undone", full.plan.obstacle)):
        if slot in args and words().phrase_ids[slot].get(args[slot]) != matter:
            return False
    if any(slot in args and words().phrase_ids[slot].get(args[slot]) != full.plan.flaw for slot in ("fail", "virtue", "deed", "change")):
        return False
    same = {e.kind: e.args for e in full.plan.events}.get(event.kind, {})
    return all(args[slot] == same[slot] for slot in ("P", "o", "g", "T", "X", "C", "B", "D") if slot in args and slot in same)


def _clauses(story: sw.Story) -> list[str | None]:
    """The words of each event, without the full stop; None where two events share a sentence that cannot be parted for sure."""
    parts = _sentences(story)
    found: list[str | None] = []
    for sentence, sharing in groupby(event.sentence for event in story.plan.events):
        number, halves = len(list(sharing)), parts[sentence].split(", and ")
        found += [parts[sentence]] if number == 1 else halves if len(halves) == number else [None] * number
    return found


def _sentences(story: sw.Story) -> list[str]:
    return [part for part in (p.strip() for p in story.text.split(".")) if part]


def _filled(phrase: str, args: dict[str, str], story: sw.Story) -> str:
    """A phrase with the names and pronouns of its story."""
    if "{" not in phrase:
        return phrase
    people = story.plan.characters
    she, her, him = ("she", "her", "her") if people[_hero(story)]["gender"] == "female" else ("he", "his", "him")
    companion = next(name for name, about in people.items() if about["part"] == "companion")
    return phrase.format_map({"she": she, "her": her, "him": him, "C": args.get("C", companion)})


def _hero(story: sw.Story) -> str:
    return next(name for name, about in story.plan.characters.items() if about["part"] == "protagonist")
