"""What a text says of itself, measured without any model: sentence labels, turning points, emotional arc, cast.

General measures of English, the same for a fairy tale and a film synopsis; they see words, not meaning, and an explanation says
only what they measured. Sources: labels O / Happen / Conflict / Solution of the article (PAPERS.md, section 4); five turning points
and where screenwriting theory puts them (TRIPOD, Papalampidi, Keller and Lapata 2019); valence by VADER (Hutto and Gilbert 2014);
the six shapes of emotional arcs (Reagan et al. 2016).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from plottwist.corpora.surface import sentences, words

Label = Literal["O", "Happen", "Conflict", "Solution"]
Turn = Literal["opportunity", "change of plans", "point of no return", "major setback", "climax"]
LABELS: tuple[Label, ...] = get_args(Label)
TURNING_POINTS: tuple[Turn, ...] = get_args(Turn)
MOST_SENTENCES = 30_000  # of the longest text that is read (60,000 characters)
THEORY = (0.10, 0.25, 0.50, 0.75, 0.95)  # where screenwriting theory puts the five, as a share of the story
PLACES = (0.14, 0.31, 0.52, 0.73, 0.88)  # where the training films of TRIPOD have them on average
SHAPES = {
    "rise": (0, 1), "fall": (1, 0), "fall, then rise": (1, 0, 1), "rise, then fall": (0, 1, 0),
    "rise, fall, rise": (0, 1, 0, 1), "fall, rise, fall": (1, 0, 1, 0),
}  # fmt: skip

_SPREAD = 0.05  # how far a turning point strays from its place (standard deviation), as a share of the story
_PULL = 0.25  # weight of the strength of a turn against its place
_AGAINST = frozenset(
    """accuse accused accuses against ambush attack attacked attacks betray betrayed betrays block blocked blocks burn burned but
    cancelled capture captured cheat cheated closed danger dangerous denied denies deny despite destroy destroyed destroys drown
    drowned enemy evict evicted fail failed fails fear fears fight fights forbade forbid forbids forged fought hate hated hates
    however hunt hunted hunts imprison imprisoned jail kill killed kills lie lied lies lock locked lose loses lost murder murdered
    obstacle poison poisoned prison quarrel refuse refused refuses rival rivals ruin ruined sabotage seize seized seizes smash
    smashed steal steals stole stolen threat threaten threatened threatens tore trap trapped unless war warrant wreck wrecked wrong
    wronged""".split()
)
_SOLVED = frozenset(
    """apologise apologised apologises back changed confess confessed confesses defeat defeated defeats ended escape escaped escapes
    finally forgave forgive forgives free freed frees gain gained gave heal healed healing home kept last learn learned learns
    lifted married marries mend mended peace reconcile reconciled release released reopened rescue rescued rescues restore restored
    return returned returns reunited safe save saved saves settle settled share shared solve solved solves spare spared succeed
    succeeded survive survived together truth undone unite united victory win wins won""".split()
)
_STATIC = frozenset(
    """always are believed believes called every had has have is knew known lived lives named old once owned owns usually wanted
    wants was were whose worked works years""".split()
)
_WANT = re.compile(
    r"\b(?:wants?|wanted|long(?:s|ed)|hope[sd]?|hopes|dream(?:s|ed)|need(?:s|ed)?|plan(?:s|ned)|vow(?:s|ed)|swore|swears|wish(?:es|ed)?|"
    r"yearn(?:s|ed)|meant|means|hunger(?:s|ed)|ached?|tries|tried|determined|decide[sd]|intend(?:s|ed)|begged|set out)\b[^.;!?]{0,40}?"
    r"\bto ((?!the\b|a\b|an\b)[a-z]+(?: [^\s.,;!?]+){0,7})"
)
_NAME = re.compile(r"\b[A-Z][^\W\d_]+(?:[-'’][A-Z][^\W\d_]+)?(?: (?:[A-Z][^\W\d_]+|de|von|van) ?(?:[A-Z][^\W\d_]+)?)?")
_NOT_NAMES = frozenset(
    """A Across After Against All Although Amid Among An And April As At August Because Before Behind Between Beyond But By December
    Dr During Each Even Every Everybody Everyone Faces February Five For Four Friday From He Her Here His Hope How I If In Instead
    It Its January July June Later Long March May Meanwhile Monday Mr Mrs Ms No Nobody Not November Now October On Once One Only Out
    Over People Saturday September She Since So Somebody Soon Still Sunday That The Their Then There These They This Those Though
    Three Through Thursday Time Tuesday Two Under Until Upon We Wednesday What When Where While Who Why With Without
    Years""".split()
)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TurningPoint(_Record):
    """One of the five turns: its name, the sentence (from 0), its words, and how feeling changes there (-2 to 2)."""

    name: Turn
    sentence: int = Field(ge=0)
    text: str
    change: float = Field(ge=-2, le=2)


class Person(_Record):
    """Somebody named: how often, in which sentences first and last, what the text says they want, and what stands in the way."""

    name: str
    mentions: int
    first: int
    last: int
    wants: str | None = None
    against: str | None = None


class Reading(_Record):
    """All that is measured of one text."""

    sentences: list[str] = Field(max_length=MOST_SENTENCES)
    labels: list[Label]
    arc: list[Annotated[float, Field(ge=-1, le=1)]]
    shape: str
    turning_points: list[TurningPoint]
    cast: list[Person]

    @model_validator(mode="after")
    def _of_one_text(self) -> Reading:
        if not len(self.sentences) == len(self.labels) == len(self.arc):
            raise ValueError("needs one label and one place of the arc for each sentence")
        if any(point.sentence >= len(self.sentences) for point in self.turning_points):
            raise ValueError("a turning point lies behind the last sentence")
        return self


def read(text: str) -> Reading:
    """Measure a text; one without a sentence has nothing in it, and one of fewer than five has no five turning points."""
    parts = sentences(text)
    feeling = arc(parts)
    return Reading(
        sentences=parts,
        labels=labels(parts),
        arc=[round(float(v), 4) for v in feeling],
        shape=shape(feeling),
        turning_points=[
            TurningPoint(name=name, sentence=i, text=parts[i], change=round(_change(feeling, i), 4))
            for name, i in zip(TURNING_POINTS, turning_points(parts), strict=True)
        ]
        if len(parts) >= len(TURNING_POINTS)
        else [],
        cast=cast(parts),
    )


def valence(parts: Sequence[str]) -> NDArray[np.float64]:
    """VADER's compound score of each sentence, -1 to 1."""
    return np.array([_vader().polarity_scores(part)["compound"] for part in parts], dtype=float)


def arc(parts: Sequence[str]) -> NDArray[np.float64]:
    """The emotional arc: valence smoothed over about a tenth of the story on either side. (sentences,), -1 to 1."""
    raw = valence(parts)
    if len(raw) < 3:
        return raw
    places = np.arange(len(raw))
    width = max(1.0, len(raw) / 12)
    kernel = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    return kernel @ raw / kernel.sum(axis=1)


def shape(feeling: NDArray) -> str:
    """The one of six basic shapes that an arc is most like; ``flat`` where it never moves."""
    if len(feeling) < 3 or np.ptp(feeling) < 0.05:
        return "flat"
    at = np.linspace(0, 1, len(feeling))
    like = {name: np.corrcoef(feeling, np.interp(at, np.linspace(0, 1, len(points)), points))[0, 1] for name, points in SHAPES.items()}
    return max(like, key=like.__getitem__)


def labels(parts: Sequence[str]) -> list[Label]:
    """O (state of things), Happen, Conflict or Solution for each sentence.

    Points for words of opposition and bad feeling (Conflict), for words of undoing and good feeling late in the story (Solution), for
    states of being early in it (O); whatever has too few of any happens.
    """
    feeling = valence(parts)
    return [_label(part, feeling[i], i / max(1, len(parts) - 1)) for i, part in enumerate(parts)]


def turning_points(parts: Sequence[str]) -> list[int]:
    """Five sentences in order, one for each of ``TURNING_POINTS``: at its usual place, moved to a near sentence that turns more.

    A sentence turns the story where the feeling after it differs from the feeling before it, where it is strong, opposes, and says much.
    Places and weights were looked at on training films alone.
    """
    if not parts:
        return []
    n, feeling = len(parts), valence(parts)
    strength = sum(_standard(scores) for scores in (_contrast(feeling), np.abs(feeling), _opposition(parts), _lengths(parts))) / 4
    at = (np.arange(n) + 0.5) / n
    chosen: list[int] = []
    for place in PLACES:
        score = _PULL * strength - 0.5 * ((at - place) / _SPREAD) ** 2
        allowed = np.arange(n) > chosen[-1] if chosen and chosen[-1] + 1 < n else np.ones(n, dtype=bool)
        chosen.append(int(np.argmax(np.where(allowed, score, -np.inf))))
    return sorted(chosen)


def uniform_points(n: int) -> list[int]:
    """The baseline that reads nothing: the five at even distances, at 1/6, 2/6, ... 5/6 of n sentences."""
    return [min(n - 1, int(n * k / 6)) for k in range(1, 6)]


def placed_points(n: int, places: Sequence[float] = THEORY) -> list[int]:
    """A baseline that reads nothing but knows where turning points usually are (``THEORY`` or ``PLACES``)."""
    return [min(n - 1, int(n * place)) for place in places]


def cast(parts: Sequence[str], most: int = 8) -> list[Person]:
    """The people named at least twice or with a wish, by mentions; a name is a capitalised word that is not always a sentence's first."""
    found = _names(parts)
    counts = Counter(name for names in found for name in names)
    wishes = _wishes(parts, found)
    people = [name for name, count in counts.most_common() if count > 1 or name in wishes][:most]
    return [_person(name, found, parts, wishes) for name in people]


def _person(name: str, found: list[list[str]], parts: Sequence[str], wishes: dict[str, str]) -> Person:
    places = [i for i, names in enumerate(found) if name in names]
    kinds = labels(parts)
    against = None
    if name in wishes:
        hostile = [i for i, kind in enumerate(kinds) if kind == "Conflict"]
        others = [i for i in hostile if set(found[i]) - {name}]
        against = parts[(others or hostile)[0]] if hostile else None
    return Person(
        name=name,
        mentions=sum(names.count(name) for names in found),
        first=places[0],
        last=places[-1],
        wants=wishes.get(name),
        against=against,
    )


def _wishes(parts: Sequence[str], found: list[list[str]]) -> dict[str, str]:
    """Name -> the first wish said of it: of the name before the verb, else of the last name before this sentence."""
    wishes: dict[str, str] = {}
    last: str | None = None
    for part, names in zip(parts, found, strict=True):
        for match in _WANT.finditer(part):
            before = [name for name in names if 0 <= part.find(name) < match.start()]
            who = before[0] if before else last
            if who and who not in wishes:
                wishes[who] = f"to {match.group(1)}"
        last = names[0] if names else last
    return wishes


def _names(parts: Sequence[str]) -> list[list[str]]:
    """Names in each sentence. A word that only ever opens a sentence, and opens one only once, may be any word: it is left out."""
    raw = [[(m.start(), _plain_name(m.group())) for m in _NAME.finditer(part)] for part in parts]
    inside = {name for row in raw for start, name in row if start > 0}
    opening = Counter(name for row in raw for start, name in row if start == 0)
    sure = {name for name in inside | {name for name, count in opening.items() if count > 1} if name and name not in _NOT_NAMES}
    return [[name for _, name in row if name in sure] for row in raw]


def _plain_name(match: str) -> str:
    """A name by its first part that is no common word: 'Then Graça' and 'Graça Falcão' are 'Graça'."""
    kept = [word for word in match.replace("’s", "").replace("'s", "").split() if word not in _NOT_NAMES]
    return kept[0] if kept else ""


def _label(part: str, feeling: float, place: float) -> Label:
    tokens = [word.lower() for word in words(part)]
    count = {name: sum(t in lexicon for t in tokens) for name, lexicon in (("c", _AGAINST), ("s", _SOLVED), ("o", _STATIC))}
    points: dict[Label, float] = {
        "Happen": 1.0,
        "Conflict": count["c"] + max(0.0, -feeling),
        "Solution": (count["s"] + max(0.0, feeling)) * (0.5 + place) + (0.6 if place > 0.8 else 0.0) - (0.8 if place < 0.5 else 0.0),
        "O": count["o"] * (1.1 - place),
    }
    return max(points, key=points.__getitem__)


def _contrast(feeling: NDArray) -> NDArray[np.float64]:
    """How the three sentences from each on differ in feeling from the three before it."""
    return np.array([abs(feeling[i : i + 3].mean() - feeling[max(0, i - 3) : i].mean()) if i else 0.0 for i in range(len(feeling))])


def _opposition(parts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([sum(word.lower() in _AGAINST for word in words(part)) for part in parts], dtype=float)


def _lengths(parts: Sequence[str]) -> NDArray[np.float64]:
    return np.array([len(words(part)) for part in parts], dtype=float)


def _standard(scores: NDArray) -> NDArray[np.float64]:
    return (scores - scores.mean()) / (scores.std() or 1.0)


def _change(feeling: NDArray, i: int) -> float:
    """How feeling differs between what comes before a sentence and what it begins."""
    return float(feeling[i:].mean() - feeling[:i].mean()) if 0 < i < len(feeling) else 0.0


@lru_cache(maxsize=1)
def _vader() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
