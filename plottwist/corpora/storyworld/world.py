"""The words of Storyworld: vocabulary, matters (wants, flaws, obstacles, ...) and phrasings, loaded from data/storyworld.

Both the simulator and the reader load their words here, and the few constants below (the beats and their shares); nothing else is shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from plottwist import registry
from plottwist.errors import PlotTwistError

MATTERS = {  # slot of a phrasing -> the table of matters.yaml that fills it
    "want": "wants", "pursuit": "wants", "done": "wants",
    "flaw": "flaws", "fail": "flaws", "virtue": "flaws", "deed": "flaws", "change": "flaws",
    "obstacle": "obstacles", "undone": "obstacles",
    "blow": "blows", "secret": "secrets", "feat": "feats",
}  # fmt: skip
BEATS = ("setup", "rising", "middle", "crisis", "end")
BEAT_SHARES = {"setup": 0.20, "rising": 0.30, "middle": 0.15, "crisis": 0.15, "end": 0.20}
ANCHORS = {"obstacle": "rising", "mid": "middle", "blow": "crisis", "climax": "end"}  # the event that opens a beat


@dataclass(frozen=True)
class Words:
    """All of data/storyworld in memory.

    ``matters[slot]`` maps an id to its phrases (``{C}``, ``{him}`` ... are open slots); ``phrase_ids[slot]`` is the
    inverse. ``kinds`` holds label, valence, facts and frames of each event kind; ``threads`` adds their kinds to it.
    """

    lists: dict[str, tuple[str, ...]]
    tones: tuple[str, ...]
    moods: dict[str, tuple[str, ...]]
    openers: tuple[str, ...]
    premise: dict[str, tuple[str, ...]]
    kinds: dict[str, dict]
    matters: dict[str, dict[str, tuple[str, ...]]]
    phrase_ids: dict[str, dict[str, str]]
    threads: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def words() -> Words:
    """Load the three YAML files once.

    Raises:
        PlotTwistError: if a file is missing, changed against its sha256, or not YAML.
    """
    vocabulary, matters, phrasings = (_read(registry.path(f"storyworld/{n}.yaml")) for n in ("vocabulary", "matters", "phrasings"))
    lists = {k: tuple(v.split("\n") if "\n" in v.strip() else v.split()) for k, v in vocabulary.items()}
    lists = {k: tuple(x.strip() for x in v if x.strip()) for k, v in lists.items()} | {"errands": tuple(matters["errands"])}
    table = {slot: {i: tuple(m[slot] if isinstance(m, dict) else m) for i, m in matters[name].items()} for slot, name in MATTERS.items()}
    return Words(
        lists=lists,
        tones=tuple(phrasings["moods"]),
        moods={t: tuple(m) for t, m in phrasings["moods"].items()},
        openers=tuple(phrasings["openers"]),
        premise={t: tuple(p) for t, p in phrasings["premise"].items()},
        kinds=phrasings["kinds"] | _thread_kinds(matters["threads"]),
        matters=table,
        phrase_ids={slot: {p: i for i, ps in m.items() for p in ps} for slot, m in table.items()},
        threads={name: tuple(t["keys"]) for name, t in matters["threads"].items()},
    )


def article(noun: str) -> str:
    """The noun with a or an before it."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def fact_id(slot: str, value: str) -> str:
    """What a fact stores for an argument: the id of a matter, any other value as it is."""
    return words().phrase_ids[slot].get(value, value) if slot in MATTERS else value


def _read(path: Path) -> dict:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as err:
        raise PlotTwistError(f"cannot read {path}: {' '.join(str(err).split())}; restore it from the repository") from err


def _thread_kinds(threads: dict) -> dict[str, dict]:
    """``debt_open``, ``debt_touch``, ``debt_close``, ...: event kinds made of the thread table."""
    label = {"open": "Conflict", "touch": "Happen", "close": "Solution"}
    return {
        f"{name}_{step}": {"label": label[step], "facts": [[f"{name} {step}", "X", "K"]], "any": t[step]}
        for name, t in threads.items()
        for step in label
    }
