"""All metrics of long stories, a row a story, with one rule for failure: a paragraph that is empty, was cut off or repeats an earlier
one of its story word for word has failed, and counts as the worst in every metric.

Relevance is read from what is left; repetition takes a failed paragraph for a copy (1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd

from plottwist import metrics
from plottwist.errors import PlotTwistError
from plottwist.metrics import judges
from plottwist.metrics.bleu import self_bleu
from plottwist.metrics.judges import KINDS, Judge
from plottwist.metrics.text import words


@dataclass(frozen=True)
class Told:
    """A story to be judged: its paragraphs, which of them came to their end, its keywords and the story they were taken from."""

    paragraphs: tuple[str, ...]
    ended: tuple[bool, ...]
    keywords: tuple[str, ...]
    reference: tuple[str, ...]


def judge_path(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.safetensors"


def make_judges(stories: Sequence[Sequence[str]], epochs: int, seed: int, folder: Path) -> None:
    """Train both judges on these stories and keep them in a folder."""
    for kind in KINDS:
        judges.train_judge(kind, stories, epochs, seed).save(judge_path(folder, kind))


def held_out(folder: Path, stories: Sequence[Sequence[str]], seed: int) -> pd.DataFrame:
    """Accuracy of the judges on stories they have not read: a row per judge and kind of paragraph (judge, paragraphs, accuracy, n)."""
    rows = []
    for kind in KINDS:
        tried = judges.examples(kind, stories, Random(f"held out {seed}"))
        counts = pd.Series([e.why for e in tried]).value_counts()
        found = judges.accuracy(Judge.load(judge_path(folder, kind)), tried)
        rows += [{"judge": kind, "paragraphs": why, "accuracy": v, "n": int(counts.get(why, len(tried)))} for why, v in found.items()]
    return pd.DataFrame(rows)


def scores(stories: Sequence[Told], folder: Path) -> pd.DataFrame:
    """coherence, completeness, completeness_gap, rouge_1, rouge_2, rouge_l, keywords_kept, in_self_bleu_2 .. _5, failed: a row a story.

    Raises:
        PlotTwistError: a story without as many ends as paragraphs, or of fewer than two.
    """
    if uneven := [i for i, s in enumerate(stories, 1) if len(s.ended) != len(s.paragraphs)]:
        raise PlotTwistError(f"story {uneven[0]}: give one end per paragraph")
    good = [sound(s.paragraphs, s.ended) for s in stories]
    coherence = metrics.load("coherence").compute(predictions=good, judge=str(judge_path(folder, "coherence")))
    completeness = metrics.load("completeness").compute(predictions=good, judge=str(judge_path(folder, "completeness")))
    relevance = metrics.load("relevance").compute(
        predictions=[" ".join(p for p in g if p) for g in good],
        references=[" ".join(s.reference) for s in stories],
        keywords=[list(s.keywords) for s in stories],
    )
    frame = pd.DataFrame({"coherence": coherence["per_story"]})
    frame = frame.join(pd.DataFrame(completeness["per_story"])).join(pd.DataFrame(relevance["per_story"]))
    frame = frame.join(pd.DataFrame([_repetition(g) for g in good]))
    return frame.assign(failed=[float(np.mean([not p for p in g])) for g in good])


def sound(paragraphs: Sequence[str], ended: Sequence[bool]) -> list[str]:
    """The paragraphs, "" in place of each that failed."""
    seen: set[str] = set()
    kept = []
    for text, end in zip(paragraphs, ended, strict=True):
        key = " ".join(words(text))
        kept.append(text if end and key and key not in seen else "")
        seen.add(key)
    return kept


def _repetition(paragraphs: Sequence[str]) -> dict[str, float]:
    """in-self-BLEU-n over all paragraphs asked for."""
    written, orders = [p for p in paragraphs if p], (2, 3, 4, 5)
    own = self_bleu(written, orders).sum(axis=0) if len(written) > 1 else np.full(len(orders), len(written))
    means = (own + len(paragraphs) - len(written)) / len(paragraphs)
    return {f"in_self_bleu_{n}": float(m) for n, m in zip(orders, means, strict=True)}
