"""The simulated rater: what a kind, uneven reader says of a Storyworld plot whose true levels are known.

Its rating of a dimension is a straight line in the plot's true level, in the mean of its other levels (a halo), and in three things that
have nothing to do with quality (length, valence of the words, ease of reading), plus an error that is shared between dimensions and
between its positive and its negative side. Every coefficient is fitted to the shipped ratings of the training premises, whose levels
are known from how the plots were written. So the reward model trained on it can be hacked as one trained on real raters can.

A writer errs in ways that the simulator never does, so the rater is also shown ``damaged`` plots, whose true levels are lower by the share
of sentences that were spoilt. Without them a reward model takes what it never saw for something good.

That PN prompting (asking twice, PAPERS.md section 1) helps *here* is by construction: two noisy readings are averaged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from plottwist.corpora import shipped, surface
from plottwist.corpora.surface import sentences
from plottwist.nqd import NQDS, SCALE_MAX, SCALE_MIN

PROTOCOLS = ("direct", "positive", "negative")
FEATURES = ("length", "valence", "fluency")
TERMS = ("intercept", "level", "halo", *FEATURES)

_NAME = re.compile(r"\b[A-Z][a-z]+\b")
_INSIDE = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")  # not the first word of a sentence


@dataclass(frozen=True)
class SimulatedRater:
    """``coefficients`` (protocols, 5, terms); ``covariance`` of the errors, (protocols * 5, protocols * 5), in points of the 1-10 scale."""

    coefficients: NDArray
    covariance: NDArray

    def rate(self, texts: Sequence[str], levels: NDArray, seed: int) -> dict[str, NDArray]:
        """Whole points from 1 to 10 by protocol, each (texts, 5), and ``pn``, the mean of the positive and the negative side.

        Args:
            levels: true quality (texts, 5), in [0, 1].
        """
        terms = _terms(levels, standard(texts))  # (5, texts, terms)
        clean = np.einsum("ntk,pnk->tpn", terms, self.coefficients)  # (texts, protocols, 5)
        error = np.random.default_rng(seed).multivariate_normal(np.zeros(len(self.covariance)), self.covariance, size=len(texts))
        said = np.clip(np.round(clean + error.reshape(clean.shape)), SCALE_MIN, SCALE_MAX)
        ratings = {p: said[:, i] for i, p in enumerate(PROTOCOLS)}
        return ratings | {"pn": (ratings["positive"] + ratings["negative"]) / 2}

    def table(self) -> pd.DataFrame:
        """Long: protocol, nqd, one column per term, ``error`` (standard deviation)."""
        error = np.sqrt(np.diag(self.covariance)).reshape(len(PROTOCOLS), len(NQDS))
        return pd.DataFrame(
            [
                {"protocol": p, "nqd": n, **dict(zip(TERMS, self.coefficients[i, j], strict=True)), "error": error[i, j]}
                for i, p in enumerate(PROTOCOLS)
                for j, n in enumerate(NQDS)
            ]
        )


@cache
def fitted() -> SimulatedRater:
    """The rater fitted to the shipped ratings of the training premises, first round."""
    plots = shipped.plots().to_pandas().set_index("plot_id")
    plots = plots[plots.split == "train"]
    ratings = shipped.ratings("plots").to_pandas()
    ratings = ratings[ratings["round"] == 1].set_index(["protocol", "item"])[list(NQDS)].astype(float)
    said = np.stack([ratings.loc[p].loc[plots.index].to_numpy() for p in PROTOCOLS])  # (protocols, plots, 5)
    return fit(list(plots["plot"]), np.array([written_levels(v) for v in plots.variant]), said)


def fit(texts: Sequence[str], levels: NDArray, said: NDArray) -> SimulatedRater:
    """Least squares of ratings ``said`` (protocols, texts, 5) on the terms of the rater, one line per protocol and NQD."""
    terms = _terms(levels, standard(texts))
    lines = [[np.linalg.lstsq(terms[n], said[p, :, n], rcond=None)[0] for n in range(len(NQDS))] for p in range(len(said))]
    coefficients = np.array(lines)
    left = said - np.einsum("ntk,pnk->ptn", terms, coefficients)  # (protocols, texts, 5)
    return SimulatedRater(coefficients, np.cov(left.transpose(1, 0, 2).reshape(len(texts), -1), rowvar=False))


def written_levels(variant: str) -> list[float]:
    """The five levels a shipped plot was written at: 1, or 0 where its variant is weak."""
    return [0.0 if variant in ("weak_all", f"weak_{n}") else 1.0 for n in NQDS]


def damaged(text: str, rng: Random) -> tuple[str, float]:
    """A plot with up to half of its sentences spoilt, and what is left of its levels: 1 for a whole plot, 0 where half is spoilt.

    A sentence is spoilt by leaving it out, by telling another one in its place a second time, by ending it as another one ends, or by
    putting another name of the plot into it.
    """
    own = sentences(text)
    names = sorted(set(_INSIDE.findall(text)))
    told, spoilt = list(own), rng.sample(range(len(own)), int(rng.random() * 0.5 * len(own)))
    for i in spoilt:
        other = own[rng.randrange(len(own))]
        words, rest = own[i].split(), other.split()
        broken = " ".join([*words[: rng.randint(1, len(words))], *rest[rng.randrange(len(rest)) :]])
        renamed = _NAME.sub(lambda m: rng.choice(names) if m.group() in names else m.group(), own[i])
        told[i] = next(way for way in rng.sample(["", other, broken, renamed], 4) if way != own[i])
    return " ".join(s for s in told if s), 1 - 2 * len(spoilt) / max(1, len(own))


def features(texts: Sequence[str]) -> NDArray:
    """(texts, 3): log of the number of words, mean VADER valence of the words, Flesch reading ease."""
    known = lexicon()
    rows = []
    for text in texts:
        words = [w.lower() for w in surface.words(text)]
        valence = sum(known.get(w, 0.0) for w in words) / max(1, len(words))
        rows.append((np.log(max(1, len(words))), valence, surface.reading_ease(text)))
    return np.array(rows)


def standard(texts: Sequence[str]) -> NDArray:
    """``features`` in standard units of these texts, so that a rater of one kind of text can be put before another."""
    raw = features(texts)
    return (raw - raw.mean(0)) / (raw.std(0) + 1e-9)


def _terms(levels: NDArray, own: NDArray) -> NDArray:
    """(5, texts, terms)"""
    levels = np.asarray(levels, dtype=float)
    halo = (levels.sum(1, keepdims=True) - levels) / (len(NQDS) - 1)  # (texts, 5)
    ones = np.ones(len(levels))
    return np.stack([np.column_stack([ones, levels[:, n], halo[:, n], own]) for n in range(len(NQDS))])


@cache
def lexicon() -> dict[str, float]:
    """VADER's valence of words, about -4 to 4."""
    return SentimentIntensityAnalyzer().lexicon
