"""The shipped ratings as training targets: the two sides of PN merged, the direct scores, and how far a rater agrees with itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rapidfuzz import fuzz

from plottwist.corpora import shipped
from plottwist.corpora.shipped import Kind
from plottwist.corpora.split import film_key
from plottwist.nqd import NQDS
from plottwist.reward.prompting import PROTOCOLS, merge

_COLUMNS = list(NQDS)


def first_round(kind: Kind, protocol: str) -> pd.DataFrame:
    """Ratings of one protocol, first round: index item, one column per NQD (1-10)."""
    frame = shipped.ratings(kind).to_pandas()
    return frame[(frame.protocol == protocol) & (frame["round"] == 1)].set_index("item")[_COLUMNS].astype(float).sort_index()


def pn(kind: Kind) -> pd.DataFrame:
    """PN scores: index item, one column per NQD: the mean of the positive and the negative side (see ``prompting.merge``)."""
    positive, negative = first_round(kind, "positive"), first_round(kind, "negative")
    return _merged(positive, negative)


def repeated(kind: Kind) -> pd.DataFrame:
    """The tenth rated twice, long: ``item, protocol, nqd, first, second``; protocol ``pn`` is the merge of two repeated sides."""
    frame = shipped.ratings(kind).to_pandas()
    rounds = [frame[frame["round"] == n].set_index(["item", "protocol"])[_COLUMNS].astype(float) for n in (1, 2)]
    first, second = rounds[0].loc[rounds[1].index], rounds[1]
    pairs = {p: [f.xs(p, level="protocol").sort_index() for f in (first, second)] for p in PROTOCOLS}
    both = pairs["positive"][0].index.intersection(pairs["negative"][0].index)
    pairs["pn"] = [_merged(pairs["positive"][n].loc[both], pairs["negative"][n].loc[both]) for n in (0, 1)]
    return pd.concat([_long(protocol, *frames) for protocol, frames in pairs.items()], ignore_index=True)


def recognised() -> pd.Series:
    """Index film_id: whether any rater, asked after rating, named the film."""
    films = shipped.films().to_pandas().set_index("film_id")
    frame = shipped.ratings("films").to_pandas()
    named = [_same_film(guess, films.title[item]) for guess, item in zip(frame.guess, frame["item"], strict=True)]
    return pd.Series(named, index=frame["item"]).groupby(level=0).any().reindex(films.index)


def _same_film(guess: str, title: str) -> bool:
    guess, title = (film_key(name).removeprefix("film:") for name in (guess, title))
    return guess == title or (len(guess) > 5 and fuzz.ratio(guess, title) >= 90)


def _merged(positive: pd.DataFrame, negative: pd.DataFrame) -> pd.DataFrame:
    joined = positive.join(negative, how="inner", lsuffix="+", rsuffix="-")
    return pd.DataFrame(
        {n: [merge(p, m)[0] for p, m in zip(joined[f"{n}+"], joined[f"{n}-"], strict=True)] for n in NQDS}, index=joined.index
    )


def _long(protocol: str, first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": np.repeat(first.index.to_numpy(), len(NQDS)),
            "protocol": protocol,
            "nqd": _COLUMNS * len(first),
            "first": first.to_numpy().ravel(),
            "second": second.loc[first.index].to_numpy().ravel(),
        }
    )
