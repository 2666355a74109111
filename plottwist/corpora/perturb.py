"""Changes made to a text on purpose: some that a judge must not mind, some that it must.

*Neutral* changes leave the story alone: other names and genders, one sentence reworded, padding. *Damage* harms exactly one
thing, and comes with a control of the same length, so that a judge cannot tell them apart by counting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from plottwist.corpora.surface import sentences

_POOL = ["Robin", "Sasha", "Jules", "Kim", "Alex", "Noor", "Toni", "Mika", "Dana", "Remy", "Ari", "Lou", "Sol", "Rene", "Indra", "Kit"]
_GENDERS = [
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"), ("father", "mother"),
    ("fathers", "mothers"), ("brother", "sister"), ("brothers", "sisters"), ("son", "daughter"), ("sons", "daughters"), ("husband", "wife"),
    ("uncle", "aunt"), ("nephew", "niece"), ("king", "queen"), ("prince", "princess"), ("grandfather", "grandmother"), ("widower", "widow"),
]  # fmt: skip
_REWORDED = [
    ("because", "since"), ("but", "yet"), ("cannot", "is unable to"), ("begins to", "starts to"), ("decides to", "resolves to"),
    ("finds", "discovers"), ("helps", "assists"), ("asks", "begs"), ("big", "large"), ("returns", "comes back"), ("leaves", "departs"),
    ("tries to", "attempts to"), ("kills", "slays"), ("learns", "finds out"),
]  # fmt: skip
# After "her" as an object ("sees her in the hall") no noun follows.
_AFTER_OBJECT = re.compile(
    r"\s*[.,;:!?)\"”]|\s*$|\s+(?:and|or|to|in|on|with|for|from|at|by|as|into|when|because|so|but|that|of|away|back|off|up|down|out|there|again|home|if|until|while|before|after|where|how|what|who|why|a|an|the|not|over|under|through|about)\b"
)
_CALENDAR = {
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
}
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][^\W\d_]+(?: [A-Z][^\W\d_]+)*")


def swap_names_and_genders(text: str, rng: Random) -> str:
    """Every name that stands inside a sentence (of a person or a place) replaced by a person's, every gendered word by its counterpart."""
    pool = rng.sample(_POOL, len(_POOL))
    parts = sorted({part for name in _NAME.findall(text) for part in name.split()} - _CALENDAR, key=lambda part: (text.find(part), part))
    named = {part: pool[i % len(pool)] + ("" if i < len(pool) else str(i)) for i, part in enumerate(parts)}
    text = re.sub(r"\b[A-Z][^\W\d_]+\b", lambda m: named.get(m.group(), m.group()), text)
    both = dict(_GENDERS) | {b: a for a, b in _GENDERS} | {"him": "her", "his": "her", "hers": "his"}

    def swapped(match: re.Match[str]) -> str:
        word = match.group()
        if word.lower() == "her":
            follows = _AFTER_OBJECT.match(text, match.end())
            return _like(word, {"her": "him" if follows else "his"})
        return _like(word, both)

    return re.sub(r"\b[A-Za-z]+\b", swapped, text)


def reword_one_sentence(text: str, rng: Random) -> str:
    """One sentence said in other words (the first of a random order in which a known phrase occurs)."""
    split = sentences(text)
    for place in rng.sample(range(len(split)), len(split)):
        for phrase, other in rng.sample(_REWORDED, len(_REWORDED)):
            changed = re.sub(rf"\b{phrase}\b", other, split[place], count=1)
            if changed != split[place]:
                return " ".join([*split[:place], changed, *split[place + 1 :]])
    return text


def pad(text: str, rng: Random) -> str:
    """A sentence that adds nothing, at the end, and white space around it."""
    return (
        "\n  " + text.rstrip() + "  " + rng.choice(["This is the whole story.", "Here the synopsis ends.", "That is the plot."]) + " \n\n"
    )


NEUTRAL: dict[str, Callable[[str, Random], str]] = {
    "names and genders": swap_names_and_genders,
    "one sentence reworded": reword_one_sentence,
    "padding": pad,
}


def damage(kind: str, split: Sequence[str], stranger: Sequence[str], rng: Random) -> tuple[str, str]:
    """(control, damaged) with the same number of sentences, from a story of at least eight; words may differ by a few.

    Args:
        kind: one of ``DAMAGE``.
        stranger: sentences of another story, for what must not fit.
    """
    split = list(split)
    third = len(split) // 3
    match kind:
        case "order":  # the middle told out of order
            middle = split[1:-1]
            while middle == split[1:-1]:
                middle = rng.sample(middle, len(middle))
            return _join(split), _join([split[0], *middle, split[-1]])
        case "cause":  # the block that leads to the last third is gone; in the control as many sentences are, one here, one there
            gone = set(range(third, 2 * third))
            spread = gone
            while spread == gone:
                spread = set(rng.sample(range(1, len(split) - 1), len(gone)))
            return _join(s for i, s in enumerate(split) if i not in spread), _join(s for i, s in enumerate(split) if i not in gone)
        case "names":  # people change into one another from sentence to sentence
            return _join(split), _mixed_names(split, rng)
        case "tone":  # three sentences are replaced by sentences of another story
            places = sorted(rng.sample(range(third, len(split) - 1), min(3, len(split) - 1 - third)))
            foreign = rng.sample(list(stranger), len(places))
            return _join(split), _join(foreign[places.index(i)] if i in places else s for i, s in enumerate(split))
        case "ending":  # cut off before the end; the control loses as many sentences from the middle
            cut = max(2, len(split) // 5)
            start = rng.randrange(1, len(split) - 2 * cut)
            return _join(split[:start] + split[start + cut :]), _join(split[:-cut])
    raise ValueError(f"no damage '{kind}'; known: {', '.join(DAMAGE)}")


DAMAGE = ("order", "cause", "names", "tone", "ending")


def _mixed_names(split: list[str], rng: Random) -> str:
    names = sorted({name for sentence in split for name in _NAME.findall(sentence)})

    def another(match: re.Match[str]) -> str:
        size = len(match.group().split())
        alike = [n for n in names if n != match.group() and len(n.split()) == size]
        return rng.choice(alike) if alike else " ".join(rng.sample(_POOL, size))

    return _join(_NAME.sub(another, sentence) for sentence in split)


def _like(word: str, other: dict[str, str]) -> str:
    found = other.get(word.lower())
    return word if found is None else found.capitalize() if word[0].isupper() else found


def _join(parts: object) -> str:
    return " ".join(parts)
