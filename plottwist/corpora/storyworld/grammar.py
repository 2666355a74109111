"""The inverse of the phrasings: a trie over words with typed slots, built from data/storyworld. Used by the reader alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from plottwist.corpora.storyworld.world import words

TOKEN = re.compile(r"'s\b|[^\W_]+(?:-[^\W_]+)*", re.UNICODE)
SLOT = re.compile(r"\{(\w+)\}")
JOINERS = frozenset(("and", "but", "so", "while"))
PERSON_SLOTS = frozenset("NBCDX")
LISTS = {"sky": "skies", "task": "tasks", "food": "foods", "beast": "beasts", "errand": "errands"}
Value = str | tuple[str, str]


class Node:
    """A place in the trie: words and slots that may follow, and what ends here."""

    __slots__ = ("ends", "slots", "words")

    def __init__(self) -> None:
        self.words: dict[str, Node] = {}
        self.slots: dict[str, Node] = {}
        self.ends: list[tuple] = []


class Sentence:
    """Tokens of one sentence, in lower case and as written, with a memory of slots already matched."""

    __slots__ = ("memo", "raw", "tokens")

    def __init__(self, text: str) -> None:
        self.raw = TOKEN.findall(text.replace("\u2019", "'"))
        self.tokens = [t.lower() for t in self.raw]
        self.memo: dict[tuple[str, int], list[tuple[int, Value]]] = {}


class Clause:
    """One event as read: its kind, its tone (None where the words carry none) and its slots."""

    __slots__ = ("kind", "slots", "tone")

    def __init__(self, kind: str, tone: str | None, slots: dict[str, Value]) -> None:
        self.kind, self.tone, self.slots = kind, tone, slots


class Grammar:
    """Reads sentences back into clauses.

    A sentence is understood when it is a chain of known clauses, joined by nothing, "and", "but", "so" or "while".
    """

    def __init__(self) -> None:
        w = words()
        self.clauses, self.premises, self.openers = Node(), Node(), Node()
        self.phrases: dict[str, Node] = {}
        self.literals: set[str] = set()
        self.female, self.male = (frozenset(n.lower() for n in w.lists[k]) for k in ("female", "male"))
        self.spelling = {n.lower(): n for k in ("female", "male", "towns") for n in w.lists[k]}
        self.towns, self.roles = (
            frozenset(t.lower() for t in w.lists["towns"]),
            frozenset(w.lists["roles"] + w.lists["villains"]),
        )
        self.adjectives = {k: frozenset(w.lists[f"{k}_adjectives"]) for k in ("place", "object")}
        self.nouns = {k: frozenset(w.lists[f"{k}_nouns"]) for k in ("place", "object")}
        self._add_phrases(w)
        self._add_frames(w)
        self.matchers = self._matchers()

    def read(self, text: str) -> list[Clause] | None:
        """The clauses of a sentence, or None when some of it cannot be read."""
        sentence = Sentence(text)
        return self._chain(sentence) if sentence.tokens else None

    def read_premise(self, text: str) -> dict[str, Value] | None:
        """The slots of a premise and its ``tone``, or None when it is not of this world."""
        sentence = Sentence(text)
        for end, (tone, names), values in self._walk(self.premises, sentence, 0):
            if end == len(sentence.tokens):
                return {"tone": tone, **dict(zip(names, values, strict=True))}
        return None

    def gender(self, name: str) -> str | None:
        """ "she" or "he" for a name of this world, None for any other."""
        return "she" if name.lower() in self.female else "he" if name.lower() in self.male else None

    # -- building ------------------------------------------------------------------------------------------------

    def _add_phrases(self, w) -> None:
        for slot, table in w.matters.items():
            for matter, phrases in table.items():
                for phrase in phrases:
                    self._insert(self.phrases.setdefault(slot, Node()), phrase, matter)
        for slot, name in LISTS.items():
            for phrase in w.lists[name]:
                self._insert(self.phrases.setdefault(slot, Node()), phrase, phrase)
        for tone, moods in w.moods.items():
            for mood in moods:
                self._insert(self.phrases.setdefault("mood", Node()), mood, tone)
        for keys in w.threads.values():
            for key in keys:
                self._insert(self.phrases.setdefault("K", Node()), key, key)
        for opener in w.openers:
            self._insert(self.openers, opener, opener)
        for kin in w.lists["female_kin"] + w.lists["male_kin"]:
            self._insert(self.phrases.setdefault("kin", Node()), kin, kin)

    def _add_frames(self, w) -> None:
        for kind, spec in w.kinds.items():
            for tone in w.tones:
                for text in spec.get(tone, ()):
                    self._insert(self.clauses, text, (kind, tone))
            for core in spec.get("any", ()):
                variants = [core] if "{mood}" in core else [core, f"{{mood}} {core}", f"{core} {{mood}}"]
                for text in variants:
                    self._insert(self.clauses, text, (kind, None))
        for tone, texts in w.premise.items():
            for text in texts:
                self._insert(self.premises, text, tone)

    def _insert(self, root: Node, text: str, meaning: object) -> None:
        """Add a phrasing; slots become typed edges, words literal ones."""
        node, names = root, []
        for piece in re.split(r"(\{\w+\})", text):
            if slot := SLOT.fullmatch(piece):
                names.append(slot[1])
                node = node.slots.setdefault(_slot_type(slot[1]), Node())
                continue
            for token in TOKEN.findall(piece):
                self.literals.add(token.lower())
                node = node.words.setdefault(token.lower(), Node())
        node.ends.append((meaning, tuple(names)))

    # -- matching ------------------------------------------------------------------------------------------------

    def _chain(self, s: Sentence) -> list[Clause] | None:
        """Depth-first over clause boundaries, longest clause first; a boundary that failed is not tried again."""
        n, failed = len(s.tokens), set()
        stack: list[tuple[int, tuple]] = [(0, ())]
        while stack:
            start, done = stack.pop()
            if start == n:
                return [self._clause(*c) for c in done]
            if start in failed:
                continue
            failed.add(start)
            found = self._walk(self.clauses, s, start)
            for opened, _, _ in self._walk(self.openers, s, start):
                found += self._walk(self.clauses, s, opened)
            for end, meaning, values in sorted(found, key=lambda f: f[0]):
                after = end + 1 if end < n - 1 and s.tokens[end] in JOINERS else end
                stack.append((after, (*done, (meaning, values))))
        return None

    @staticmethod
    def _clause(meaning: tuple, values: tuple[Value, ...]) -> Clause:
        (kind, tone), names = meaning
        slots = dict(zip(names, values, strict=True))
        return Clause(kind, tone or slots.pop("mood", None), slots)

    def _walk(self, root: Node, s: Sentence, start: int) -> list[tuple[int, tuple, tuple[Value, ...]]]:
        """Every (end, meaning, slot values) of a phrasing that begins at ``start``."""
        tokens, n, found = s.tokens, len(s.tokens), []
        stack: list[tuple[Node, int, tuple[Value, ...]]] = [(root, start, ())]
        while stack:
            node, i, values = stack.pop()
            for end in node.ends:
                found.append((i, end, values))
            if i >= n:
                continue
            for kind, child in node.slots.items():
                key = (kind, i)
                if (matches := s.memo.get(key)) is None:
                    matches = s.memo[key] = self.matchers[kind](s, i)
                for j, value in matches:
                    stack.append((child, j, (*values, value)))
            if (child := node.words.get(tokens[i])) is not None:
                stack.append((child, i + 1, values))
        return found

    def _matchers(self) -> dict[str, Callable[[Sentence, int], list[tuple[int, Value]]]]:
        """Slot type -> (sentence, start) -> [(end, value)]."""
        table = {slot: self._phrase_matcher(root) for slot, root in self.phrases.items()}
        table |= {
            "person": self._person,
            "subject": self._subject,
            "him": lambda s, i: self._pronoun(s, i, ("him", "her")) or self._person(s, i),
            "she": lambda s, i: self._pronoun(s, i, ("he", "she")) or self._person(s, i),
            "hers": lambda s, i: self._pronoun(s, i, ("his", "hers")),
            "her": self._possessive,
            "town": lambda s, i: self._proper(s, i, self.towns),
            "role": lambda s, i: [(i + 1, s.tokens[i])] if s.tokens[i] in self.roles else [],
            "a_beast": lambda s, i: table["beast"](s, i + 1) if _article(s, i) else [],
            "a_role": lambda s, i: [(i + 2, s.tokens[i + 1])] if _article(s, i) and s.tokens[i + 1] in self.roles else [],
            "P": lambda s, i: self._thing(s, i + 1, "place") if s.tokens[i] == "the" else self._proper(s, i, self.towns),
            "at": self._locative,
            "o": lambda s, i: self._thing(s, i, "object"),
            "a_o": lambda s, i: self._thing(s, i + 1, "object") if _article(s, i) else [],
        }
        return table

    def _phrase_matcher(self, root: Node) -> Callable[[Sentence, int], list[tuple[int, Value]]]:
        def match(s: Sentence, i: int) -> list[tuple[int, Value]]:
            found = []
            for end, (value, names), inner in self._walk(root, s, i):
                person = next((v for k, v in zip(names, inner, strict=True) if k == "C"), None)
                found.append((end, (value, person) if person else value))
            return found

        return match

    def _proper(self, s: Sentence, i: int, known: Iterable[str]) -> list[tuple[int, Value]]:
        """A proper name: one of the world's, or any capitalised word that the phrasings do not use."""
        token = s.tokens[i]
        if token in known:
            return [(i + 1, self.spelling[token])]
        unknown = s.raw[i][0].isupper() and token not in self.literals and token not in self.spelling
        return [(i + 1, s.raw[i])] if unknown else []

    def _person(self, s: Sentence, i: int) -> list[tuple[int, Value]]:
        token = s.tokens[i]
        if token in self.female or token in self.male:
            return [(i + 1, self.spelling[token])]
        return self._proper(s, i, ())

    def _subject(self, s: Sentence, i: int) -> list[tuple[int, Value]]:
        token = s.tokens[i]
        if token == "the" and i + 1 < len(s.tokens) and s.tokens[i + 1] in self.roles:
            return [(i + 2, ("role", s.tokens[i + 1]))]
        return self._pronoun(s, i, ("he", "she")) or self._person(s, i)

    def _possessive(self, s: Sentence, i: int) -> list[tuple[int, Value]]:
        owner = self._person(s, i) if i + 1 < len(s.tokens) and s.tokens[i + 1] == "'s" else []
        return [(i + 2, owner[0][1])] if owner else self._pronoun(s, i, ("his", "her"))

    @staticmethod
    def _pronoun(s: Sentence, i: int, forms: tuple[str, str]) -> list[tuple[int, Value]]:
        if s.tokens[i] not in forms:
            return []
        return [(i + 1, ("pronoun", "he" if s.tokens[i] == forms[0] else "she"))]

    def _thing(self, s: Sentence, i: int, kind: str) -> list[tuple[int, Value]]:
        """A place or object: its noun, or adjective and noun."""
        rest = s.tokens[i : i + 2]
        if rest and rest[0] in self.nouns[kind]:
            return [(i + 1, rest[0])]
        if len(rest) == 2 and rest[0] in self.adjectives[kind] and rest[1] in self.nouns[kind]:
            return [(i + 2, f"{'the ' if kind == 'place' else ''}{rest[0]} {rest[1]}")]
        return []

    def _locative(self, s: Sentence, i: int) -> list[tuple[int, Value]]:
        if s.tokens[i] == "at" and s.tokens[i + 1 : i + 2] == ["the"]:
            return self._thing(s, i + 2, "place")
        return self._proper(s, i + 1, self.towns) if s.tokens[i] == "in" and i + 1 < len(s.tokens) else []


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """The grammar, built once."""
    return Grammar()


def _article(s: Sentence, i: int) -> bool:
    return s.tokens[i] in ("a", "an") and i + 1 < len(s.tokens)


def _slot_type(name: str) -> str:
    if name in PERSON_SLOTS:
        return "person"
    return {"A": "subject", "T": "town", "g": "o", "a_crole": "a_role", "a_xrole": "a_role", "d_role": "role"}.get(name, name)
