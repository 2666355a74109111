"""People's judgements in one shape, and the labelled films: on made-up tables here, on a few third-party rows where they are at hand."""

import numpy as np
import pandas as pd
import pytest

from plottwist import profiles, stats
from plottwist.corpora import people, public
from plottwist.nqd import NQDS
from plottwist.reward import film_labels

TEXTS = [f"Story {number} of the {animal} who crosses the long bridge to find the other river at night" for number, animal in enumerate(
    ["heron", "badger", "tanner", "weaver", "sailor", "hermit"])]  # fmt: skip


@pytest.fixture
def rated():
    """Six texts with ratings 0 to 5, each its own group and unit."""
    return pd.DataFrame(
        {"text": TEXTS, "value": np.arange(6.0), "group": range(6), "unit": range(6), "split": ["train"] * 4 + ["test"] * 2}
    )


@pytest.fixture
def ranked():
    """Three versions of each of two passages, the first the best; the second passage judged by two judges."""
    rows = [(group, unit, value) for group, unit in enumerate(["a", "b", "b"]) for value in (3.0, 2.0, 1.0)]
    return pd.DataFrame([{"text": "x", "value": v, "group": g, "unit": u, "split": "test"} for g, u, v in rows])


def test_agreement_runs_from_minus_one_to_one(rated, ranked):
    assert people.agreement("machine_plots", rated, rated.value).value == 1
    assert people.agreement("machine_plots", rated, -rated.value).value == -1
    assert people.agreement("expert_rankings", ranked, ranked.value).value == 1
    assert people.agreement("expert_rankings", ranked, -ranked.value).value == -1
    assert people.agreement("expert_rankings", ranked, np.zeros(9)).value == 0


def test_scores_of_different_groups_are_never_compared_in_a_ranked_set(ranked):
    lifted = ranked.value + 100 * ranked.group
    assert people.agreement("expert_rankings", ranked, lifted).value == 1


def test_intervals_draw_passages_and_families(rated, ranked):
    assert people.agreement("expert_rankings", ranked, ranked.value).n == 2
    assert people.agreement("expert_scores", rated.assign(unit=["a", "a", "b", "b", "c", "c"]), rated.value).n == 3


def test_near_copies_make_one_family_on_one_side_of_the_split(rated):
    copy = TEXTS[0].replace("Story 0", "The tale") + ", and never comes home."
    frame = people.by_family(pd.concat([rated, rated.iloc[:1].assign(text=copy, split="test")], ignore_index=True))
    distinct = [f"{a} {b} {a} {b} {a}" for a, b in [("one", "two"), ("red", "blue")]]
    assert frame.unit[6] == frame.unit[0] and frame.split[6] == frame.split[0]
    assert people.by_family(rated.iloc[:2].assign(text=distinct)).unit.nunique() == 2


def test_groups_stay_whole_in_the_test_rows(ranked):
    assert people.test_rows("expert_rankings", ranked, 4).groupby("group").size().tolist() == [3]
    assert len(people.test_rows("expert_rankings", ranked, 6)) == 6


def test_a_rival_learns_from_the_training_rows_alone(rated):
    frame = rated.assign(text=[t + (" dull dull" if i % 2 else " bright bright") for i, t in enumerate(TEXTS)], value=[1.0, 0, 1, 0, 1, 0])
    scores = people.tfidf(frame, frame[frame.split == "test"])
    assert scores[0] > scores[1]
    broken = people.tfidf(frame.assign(value=np.where(frame.split == "test", -99.0, frame.value)), frame[frame.split == "test"])
    np.testing.assert_array_equal(scores, broken)


def test_the_lists_are_compared_on_the_films_that_both_know():
    acclaimed = pd.Series([True] * 10 + [False] * 10, index=[f"f{i}" for i in range(20)])
    rng = np.random.default_rng(0)
    scores = pd.DataFrame({n: acclaimed * 2.0 + rng.normal(5, 0.5, 20) for n in NQDS}, index=acclaimed.index)
    extra = pd.DataFrame({n: [1.0] for n in NQDS}, index=["not a film"])
    table = film_labels.list_differences({"all": pd.concat([scores, extra]), "some": scores.iloc[5:15]}, acclaimed).set_index(
        ["source", "nqd"]
    )
    assert table.loc[("all", "overall"), "difference"] == pytest.approx(2, abs=0.5)
    assert table.loc[("all", "overall"), "n"] == 20 and table.loc[("some", "tone"), "n"] == 10
    assert (table.p_holm >= table.p).all()


def test_a_score_that_is_the_control_tells_nothing_once_it_is_held_fixed():
    rng = np.random.default_rng(0)
    year = rng.normal(size=400)
    labels = year + rng.normal(size=400) > 0
    assert stats.auc(year, labels).low > 0.7
    told = stats.auc_controlled(year * 3 + rng.normal(size=400), labels, year)
    assert told.low < 0.5 < told.high
    honest = stats.auc_controlled(labels + rng.normal(size=400), labels, np.column_stack([year, year**2]))
    assert honest.low > 0.55


def test_genres_and_length_become_numbers():
    films = pd.DataFrame({"words": [100.0, 200.0], "year": [1950.0, 1990.0], "genre": ["Drama|War", ""]})
    numbers = film_labels.controls(films)
    assert numbers.shape == (2, 2 + len(film_labels._GENRES))
    assert numbers[0, 2:].sum() == 2 and numbers[1, 2:].sum() == 0


@pytest.mark.public
def test_families_of_expert_scores_keep_to_one_split(public_data):
    frame = people.sets()["expert_scores"]
    assert frame.groupby("unit").split.nunique().max() == 1
    assert frame.unit.nunique() < 0.6 * len(frame)
    assert set(people.sets()) == {"upvotes", "expert_rankings", "expert_scores", "machine_plots", "aspect_ratings"}


@pytest.mark.public
def test_every_judge_of_film_plots_answers_on_test_films(public_data, tmp_path):
    """About sixty films end to end, with a reward model trained for a moment."""
    from plottwist.reward import experiments

    profile = profiles.load("smoke")
    films = film_labels.load(30)
    pairs = public.table("films/matched_pairs").filter(lambda row: row["split"] == "test").to_pandas().head(9)
    matched = films.film_id.isin([*pairs.acclaimed_film_id, *pairs.panned_film_id])
    films = pd.concat([films[films.split == "train"], films[films.split == "validation"].head(14), films[matched]]).reset_index(drop=True)
    reward_model, _ = experiments.train(profile, seed=0)
    scores = film_labels.judges(films, reward_model, profile, seed=0)
    assert list(scores.index) == list(films[films.split != "train"].film_id)
    table = film_labels.compare(films, scores)
    assert set(table[table["where"] == "all"].judge) == set(scores)
    assert set(table[table["where"] == "controls"].judge) == set(scores) - set(film_labels.NEED_NO_READING)
    assert table.value.between(0, 1).all()
    assert not set(public.table("films/plots")["split"]) - {"train", "validation", "test"}
