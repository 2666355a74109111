"""The panel without a language model: five critics of fixed measures, and an editor who keeps their ratings.

Each measure is put on a level between 0 and 1 by the quartiles that it has over the shipped *training* plots, all variants
together and without their labels (``quantiles.yaml``): 1/4, 1/2 and 3/4 at the quartiles, logistic between and beyond them, so that
also far from those plots more stays more. A critic's rating is the mean of its levels on the 1-10 scale. Nothing is fitted to any
judgement. Speed: about 30 plots a second on one core, nearly all of it sentence vectors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from plottwist.backends.replay import text_sha256
from plottwist.corpora import shipped
from plottwist.evaluation.measures import MEASURES, Measure
from plottwist.evaluation.reading import MAX_SENTENCES, Reading, read
from plottwist.evaluation.records import CriticReport, Judgement, unjudged
from plottwist.files import write_text
from plottwist.nqd import NAMES, NQDS, to_scale

NAME = "analytic"
QUANTILES = Path(__file__).with_name("quantiles.yaml")

_QUOTED_WORDS = 20
_TEXTS_AT_ONCE = 256
_CLEAR = 0.25  # a level this far from the middle is worth a word of praise or blame
_NARROW = 0.02  # least distance of the quartiles: a measure that hardly moves over plots must not jump


class Analytic:
    """The mind to give to ``panel.judge``."""

    name = NAME

    def judge(self, texts: Mapping[str, str], date: str | None = None) -> list[Judgement]:
        """One judgement per text; a text without a single word gets a record without scores."""
        items = iter(texts.items())
        judged: list[Judgement] = []
        while batch := list(islice(items, _TEXTS_AT_ONCE)):
            for (item, text), reading in zip(batch, read([text for _, text in batch]), strict=True):
                judged.append(_judgement(item, text, reading, date) if len(reading) else unjudged(item, text, NAME, "no words in it", date))
        return judged


def quartiles(texts: Sequence[str]) -> dict[str, list[float]]:
    """The three quartiles of each measure over texts: what ``quantiles.yaml`` holds of the shipped training plots."""
    values = [[m.of(reading)[0] for m in MEASURES] for reading in read(texts)]
    found = np.percentile(np.array(values), [25, 50, 75], axis=0).T
    return {m.name: [round(float(v), 4) + 0.0 for v in row] for m, row in zip(MEASURES, found, strict=True)}


def training_plots() -> list[str]:
    """The shipped plots that the quartiles are of."""
    return [row["plot"] for row in shipped.plots() if row["split"] == "train"]


def write_quantiles() -> None:
    """Measure the shipped training plots anew: after a meant change of a measure, and never on anything else."""
    note = "# Quartiles of each analytic measure over the shipped training plots, without their labels (analytic.write_quantiles).\n"
    write_text(QUANTILES, note + yaml.safe_dump(quartiles(training_plots()), sort_keys=False, default_flow_style=None))


def _judgement(item: str, text: str, reading: Reading, date: str | None) -> Judgement:
    reports = [_report(critic, reading) for critic in NQDS]
    scores: dict[Any, float | None] = {report.critic: report.rating for report in reports}
    lowest = min(NQDS, key=lambda name: scores[name])
    reason = f"The critics' ratings, each the mean of fixed measures; the weakest is {NAMES[lowest]}."
    if reading.cut:
        reason += f" Only the first {MAX_SENTENCES} sentences were read."
    return Judgement(item=item, text_sha256=text_sha256(text), mind=NAME, reports=reports, scores=scores, reason=reason, date=date)


def _report(critic: str, reading: Reading) -> CriticReport:
    found = [(m, _level(value, *_quartiles()[m.name]), place) for m in MEASURES if m.critic == critic for value, place in [m.of(reading)]]
    clear = sorted(found, key=lambda f: -abs(f[1] - 0.5))
    return CriticReport(
        critic=critic,
        evidence=list(dict.fromkeys(_quote(reading.sentences[place]) for _, _, place in clear))[:4],
        false_quotes=0,
        strengths=[_said(m, m.high, level) for m, level, _ in clear if level >= 0.5 + _CLEAR],
        failings=[_said(m, m.low, level) for m, level, _ in clear if level <= 0.5 - _CLEAR],
        rating=round(to_scale(sum(level for _, level, _ in found) / len(found)), 3),
    )


def _said(measure: Measure, words: str, level: float) -> str:
    return f"{words} ({measure.name}: {level:.2f})"


def _level(value: float, low: float, middle: float, high: float) -> float:
    """Logistic through 1/2 at the median, with the slope that puts 1/4 and 3/4 a distance of half the quartiles' away."""
    steps = (value - middle) / max(high - low, _NARROW)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, 2 * math.log(3) * steps))))


def _quote(sentence: str) -> str:
    """The first words of a sentence, as they stand in the text."""
    return "".join(islice(_pieces(sentence.strip()), _QUOTED_WORDS)).rstrip()


def _pieces(sentence: str) -> Iterator[str]:
    return (match.group() for match in re.finditer(r"\S+\s*", sentence))


@cache
def _quartiles() -> dict[str, list[float]]:
    return yaml.safe_load(QUANTILES.read_text(encoding="utf-8"))
