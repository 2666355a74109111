"""Films labelled acclaimed or panned: the two shipped lists compared, and third-party plots with every judge on the same test films.

Judges of the third-party plots: the reward model zero-shot; a sequence head trained on the labels of training films; TF-IDF with logistic regression;
and what needs no reading: length, year, genre. Every judge is asked on all test films, on the residuals after length, year and
genre, and on the matched pairs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plottwist import stats
from plottwist.corpora import public
from plottwist.nqd import NQDS, to_scale
from plottwist.profiles import Profile
from plottwist.reward import experiments
from plottwist.reward.model import AspectRewardModel, RewardConfig, split_sentences
from plottwist.reward.training import Examples, TrainingConfig, fit

REWARD_MODEL = "reward model, zero-shot"
NEED_NO_READING = ("length, year, genre trained on labels", "length alone", "year alone, older")  # these *are* the controls


def list_differences(sources: dict[str, pd.DataFrame], acclaimed: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Acclaimed minus panned by every judge: long table ``source, nqd (or overall), difference, low, high, d, p, auc, n, p_holm``.

    Args:
        sources: judge -> scores (index film_id, one column per NQD); films that ``acclaimed`` does not know are left out.
    """
    rows = []
    for source, scores in sources.items():
        known = scores.loc[scores.index.intersection(acclaimed.index), list(NQDS)]
        known = known.assign(overall=known.mean(axis=1))
        high, low = known[acclaimed[known.index]], known[~acclaimed[known.index]]
        rows += [{"source": source, "nqd": n, **stats.compare_groups(high[n], low[n], seed=seed)} for n in known]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=table.groupby("source").p.transform(lambda p: stats.holm(p.tolist())))


def load(limit: int) -> pd.DataFrame:
    """Labelled plots, one row a film: ``film_id, plot, acclaimed, year, genre, words, split``; at most ``limit`` training films, all others."""
    frame = public.table("films/plots").to_pandas()
    frame = frame[frame.label.isin(["acclaimed", "panned"]) & ~frame.mentions_award.astype(bool)]
    frame = frame.drop_duplicates("film_id")  # some films have a plot from each of two sources: the first one stands
    frame = frame.assign(acclaimed=frame.label == "acclaimed", words=frame.plot_words.astype(float), year=frame.year.astype(float))
    frame["year"] = frame.year.fillna(frame.year.median())
    frame["genre"] = frame.genre.map(_genres)
    training = frame.index[frame.split == "train"]
    dropped = np.random.default_rng(0).permutation(training)[limit:]
    return frame.drop(index=dropped)[["film_id", "plot", "acclaimed", "year", "genre", "words", "split"]].reset_index(drop=True)


def judges(films: pd.DataFrame, reward_model: AspectRewardModel, profile: Profile, seed: int) -> pd.DataFrame:
    """Score of every film that is not a training film by every judge, index film_id, one column a judge; higher is better."""
    train, rest = films[films.split == "train"], films[films.split != "train"]
    scores = {
        REWARD_MODEL: experiments.score(reward_model, list(rest["plot"])).mean(axis=1).to_numpy(),
        "head trained on labels": _head(films, profile, seed),
        "TF-IDF trained on labels": _tfidf(train, rest),
        "length, year, genre trained on labels": _controls_only(train, rest),
        "length alone": rest.words.to_numpy(),
        "year alone, older": -rest.year.to_numpy(),
    }
    return pd.DataFrame(scores, index=rest.film_id)


def compare(films: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Long table ``judge, where, value, low, high, n`` on test films: AUC on ``all`` and, for judges that read, with ``controls``
    held fixed; share of ``matched`` pairs in which the acclaimed film scores above."""
    test = films[films.split == "test"].set_index("film_id")
    pairs = pd.DataFrame(public.table("films/matched_pairs").to_list())
    pairs = pairs[(pairs.split == "test") & pairs.acclaimed_film_id.isin(test.index) & pairs.panned_film_id.isin(test.index)]
    rows = []
    for judge in scores:
        score = scores.loc[test.index, judge]
        gap = score[pairs.acclaimed_film_id].to_numpy() - score[pairs.panned_film_id].to_numpy()
        estimates = {
            "all": stats.auc(score, test.acclaimed),
            "matched": stats.share((np.sign(gap) + 1) / 2),
        }
        if judge not in NEED_NO_READING:
            estimates["controls"] = stats.auc(_residual(scores[judge], films, test.index), test.acclaimed)
        rows += [
            {"judge": judge, "where": where, "value": e.value, "low": e.low, "high": e.high, "n": e.n} for where, e in estimates.items()
        ]
    return pd.DataFrame(rows)


def controls(films: pd.DataFrame) -> NDArray:
    """Length, year and genre as numbers, (films, features)."""
    genres = CountVectorizer(analyzer=lambda g: g.split("|"), vocabulary=_GENRES).transform(films.genre).toarray()
    return np.column_stack([np.log(films.words.clip(lower=1)), films.year, genres])


_HEADS, _EPOCHS = 2, 6
_GENRES = [
    "Action",
    "Adventure",
    "Comedy",
    "Crime",
    "Drama",
    "Family",
    "Horror",
    "Mystery",
    "Romance",
    "Science Fiction",
    "Thriller",
    "War",
]


def _genres(value: object) -> str:
    if value is None or isinstance(value, float):
        return ""
    names = value if isinstance(value, list | tuple | np.ndarray) else str(value).replace("/", "|").replace(",", "|").split("|")
    return "|".join(str(n).strip().title().replace("Sci-Fi", "Science Fiction") for n in names)


def _residual(score: pd.Series, films: pd.DataFrame, test: pd.Index) -> NDArray:
    """Scores of test films less what length, year and genre predict of them, learnt on the validation films."""
    of = films.set_index("film_id")
    validation = of.index[of.split == "validation"]
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(controls(of.loc[validation]), score[validation])
    return score[test].to_numpy() - model.predict(controls(of.loc[test]))


def _head(films: pd.DataFrame, profile: Profile, seed: int) -> NDArray:
    rows = films[films.split == "train"]
    target = np.array([[to_scale(float(a))] for a in rows.acclaimed])
    examples = Examples([split_sentences(p) for p in rows["plot"]], target, rows.film_id.to_numpy())
    config = RewardConfig(outputs=("overall",), heads=_HEADS, hidden_size=profile.reward.hidden_size)
    model, _ = fit(examples, config, TrainingConfig(epochs=min(_EPOCHS, profile.reward.epochs), batch_size=32, pair_weight=0.0), seed)
    return experiments.predict(model, list(films[films.split != "train"]["plot"]))[0][:, 0]


def _tfidf(train: pd.DataFrame, rest: pd.DataFrame) -> NDArray:
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    return model.fit(train["plot"], train.acclaimed).decision_function(rest["plot"])


def _controls_only(train: pd.DataFrame, rest: pd.DataFrame) -> NDArray:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(controls(train), train.acclaimed).decision_function(controls(rest))
