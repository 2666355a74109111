"""What people said of stories: five third-party sets brought into one shape, for agreement with any score.

A set is a frame ``text, value, group, unit, split``. In a *ranked* set only the order within a group means anything (two stories of
one prompt, three versions of one passage by one judge); elsewhere ``value`` is a rating and every text is its own group. ``unit``
names what was sampled, and intervals draw whole units: the prompt, the passage, the family of near-copies that passages with
expert scores come in (a family stands on one side of the split).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from plottwist import stats
from plottwist.corpora import public, surface
from plottwist.corpora.split import split, together

RANKED = ("upvotes", "expert_rankings")


def sets() -> dict[str, pd.DataFrame]:
    """Name -> frame of the five sets: ``upvotes, expert_rankings, expert_scores, machine_plots, aspect_ratings``."""
    return {
        "upvotes": _upvotes(),
        "expert_rankings": _rankings(),
        "expert_scores": by_family(_rated("stories/expert_scores", "text", lambda row: float(row["score"]))),
        "machine_plots": _rated(
            "stories/machine_plots_rated", "story", lambda row: np.mean([row["naturalness"], row["interestingness"], row["coherence"]])
        ),
        "aspect_ratings": _rated("stories/aspect_ratings", "story", lambda row: np.mean([a["rating"] for a in row["aspects"]])),
    }


def agreement(name: str, frame: pd.DataFrame, scores: ArrayLike, seed: int = 0) -> stats.Estimate:
    """Agreement of scores with people, +1 to -1 with 0 for chance: Spearman's rho; in a ranked set the share of ordered pairs
    in the right order minus the share in the wrong order (Kendall's tau over the pairs people decided)."""
    if name not in RANKED:
        return stats.spearman(scores, frame.value, groups=frame.unit, seed=seed)
    outcomes, units = _pairs(frame, np.asarray(scores, dtype=float))
    return stats.mean(outcomes, groups=units, seed=seed)


def lengths(frame: pd.DataFrame) -> np.ndarray:
    """The baseline that reads nothing: number of words."""
    return frame.text.str.split().str.len().to_numpy(dtype=float)


def test_rows(name: str, frame: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The test rows of a set, at most about ``limit``; groups stay whole."""
    held_out = frame[frame.split == "test"]
    groups = held_out.group.unique()[: max(1, limit // (3 if name in RANKED else 1))]
    return held_out[held_out.group.isin(groups)].reset_index(drop=True)


def tfidf(frame: pd.DataFrame, held_out: pd.DataFrame) -> np.ndarray:
    """A rival that was trained on this very set: TF-IDF and ridge regression of the value on the training rows."""
    return ridge(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), frame, held_out)


def ridge(features: Any, frame: pd.DataFrame, held_out: pd.DataFrame) -> np.ndarray:
    """Ridge regression of the value on any scikit-learn features of the text, trained on the training rows."""
    train = frame[frame.split == "train"]
    return make_pipeline(features, Ridge(1.0)).fit(train.text, train.value).predict(held_out.text)


def by_family(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each text's family of near-copies as its ``unit``, and every family in one split."""
    keys = [public.KEYS["stories/expert_scores"](row) for row in frame.to_dict("records")]
    copies = surface.near_duplicates(list(frame.text), [str(row) for row in range(len(frame))])
    family = together([(keys[i], keys[j]) for i, j, _ in copies])
    units = [family.get(key, key) for key in keys]
    return frame.assign(unit=units, split=[split(unit) for unit in units])


def _pairs(frame: pd.DataFrame, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """+1, -1 or 0 (tie) for every pair that people ordered, with the unit that was sampled: the prompt or the passage."""
    outcomes, units = [], []
    for _, rows in frame.reset_index(drop=True).groupby("group", sort=True).indices.items():
        values = frame.value.to_numpy()[rows]
        for i in range(len(rows)):
            for j in range(len(rows)):
                if values[i] > values[j]:
                    outcomes.append(np.sign(scores[rows[i]] - scores[rows[j]]))
                    units.append(frame.unit.to_numpy()[rows[i]])
    return np.array(outcomes), np.array(units)


def _upvotes() -> pd.DataFrame:
    rows = public.table("stories/upvote_pairs").to_list()
    return pd.DataFrame(
        [
            {
                "text": row[side],
                "value": float(side == "chosen"),
                "group": row["pair_id"],
                "unit": row["prompt_id"],
                "split": row["split"],
            }
            for row in rows
            for side in ("chosen", "rejected")
        ]
    )


def _rankings() -> pd.DataFrame:
    rows = public.table("stories/expert_rankings").to_list()
    return pd.DataFrame(
        [
            {"text": version["text"], "value": -float(version["rank"]), "group": number, "unit": row["item_id"], "split": row["split"]}
            for number, row in enumerate(rows)
            for version in row["ranked"]
        ]
    )


def _rated(table: str, column: str, value: object) -> pd.DataFrame:
    rows = [row for row in public.table(table).to_list() if row[column].strip()]
    return pd.DataFrame(
        [
            {"text": row[column], "value": value(row), "group": number, "unit": number, "split": row["split"]}
            for number, row in enumerate(rows)
        ]
    )
