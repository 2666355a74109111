"""Shipped and third-party data: what the cards promise."""

import gzip
import json
import re
import shutil
from collections import Counter

import pytest

from plottwist.corpora import public, shipped, surface
from plottwist.corpora.split import split
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDS

EVALUATIVE = re.compile(
    r"\b(oscars?|academy awards?|razzies?|golden globes?|nominat\w+|box office|starring|(?:film|movie) directed by|played by|blockbuster|sequel|critically|acclaimed|masterpiece|"
    r"brilliant\w*|poignant\w*|iconic|clums\w+|ridiculous\w*|absurd\w*|inexplicabl\w+|somehow|conveniently|predictabl\w+|implausibl\w+|hilarious\w*|boring|unconvincing\w*|memorable)\b",
    re.IGNORECASE,
)
WINKS = re.compile(
    r"\b(somehow|inexplicably|for no reason|suddenly|abruptly|randomly|conveniently|without explanation|never explained|nothing changes|unchanged|meanwhile|unrelated|no one knows why)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def plots():
    return shipped.plots().to_pandas()


@pytest.fixture(scope="module")
def films():
    return shipped.films().to_pandas()


def test_every_premise_has_its_seven_variants_in_one_split(plots):
    assert plots.premise_id.nunique() >= 60
    for _, group in plots.groupby("premise_id"):
        assert sorted(group.variant) == sorted(shipped.VARIANTS)
        assert group.premise.nunique() == group.split.nunique() == 1


def test_plots_are_as_long_whatever_their_weakness(plots):
    words = plots["plot"].str.split().str.len()
    assert words.between(120, 220).all()
    means = words.groupby(plots.variant).mean()
    assert means.max() / means.min() <= 1.05


def test_no_plot_names_its_weakness(plots):
    assert not [(i, m.group()) for i, p in zip(plots.plot_id, plots["plot"], strict=True) if (m := WINKS.search(p))]


def test_no_plot_stands_twice_nor_nearly(plots):
    assert plots["plot"].is_unique
    assert surface.near_duplicates(list(plots["plot"]), list(plots.premise_id)) == []


def test_a_counter_of_words_cannot_tell_strong_from_weak(plots):
    from plottwist import stats

    pair = plots[plots.variant.isin(["strong", "weak_all"])]
    label = (pair.variant == "strong").to_numpy()
    assert stats.auc(surface.tfidf_scores(list(pair["plot"]), label, pair.premise_id), label).value <= 0.85


def test_both_film_lists_are_there_and_as_long(films):
    counts = Counter(films["list"])
    assert counts["acclaimed"] >= 95 and counts["panned"] >= 95
    words = films.synopsis.str.split().str.len()
    assert words.between(120, 180).all()
    means = words.groupby(films["list"]).mean()
    assert means.max() / means.min() <= 1.05


def test_no_synopsis_praises_blames_or_tells_of_its_reception(films):
    assert not [(i, m.group()) for i, s in zip(films.film_id, films.synopsis, strict=True) if (m := EVALUATIVE.search(s))]


@pytest.mark.parametrize("kind", ["plots", "films"])
def test_every_text_is_rated_under_every_protocol(kind, request):
    texts = set(request.getfixturevalue(kind)[f"{kind[:-1]}_id"])
    ratings = shipped.ratings(kind).to_pandas()
    first = ratings[ratings["round"] == 1]
    for protocol in ("direct", "positive", "negative"):
        own = first[first.protocol == protocol]
        assert own["item"].is_unique and set(own["item"]) == texts
        again = ratings[(ratings["round"] == 2) & (ratings.protocol == protocol)]
        assert len(again) >= 0.095 * len(texts)
        assert not set(zip(again["item"], again.batch, strict=True)) & set(zip(own["item"], own.batch, strict=True))
    assert ratings[list(NQDS)].isin(range(1, 11)).all().all()
    assert (ratings.reason.str.len() > 0).all()


def test_batches_are_small_and_never_hold_two_variants_of_a_premise(plots):
    ratings = shipped.ratings("plots").to_pandas().merge(plots[["plot_id", "premise_id"]], left_on="item", right_on="plot_id")
    for _, batch in ratings.groupby("batch"):
        assert len(batch) <= 20
        assert batch.protocol.nunique() == 1
        assert batch.premise_id.is_unique
        assert batch.position.between(1, 20).all()


def test_the_panel_judged_the_test_plots_and_forty_films_and_quotes_them(plots, films):
    from plottwist import registry
    from plottwist.backends.replay import verify_text
    from plottwist.evaluation import panel

    judged = panel.judgements(registry.path("judgements/judgements.jsonl"))
    texts = dict(zip(plots.plot_id, plots["plot"], strict=True)) | dict(zip(films.film_id, films.synopsis, strict=True))
    assert set(plots[plots.split == "test"].plot_id) <= set(judged)
    of_films = films[films.film_id.isin(judged)]
    assert len(of_films) == 40 and set(of_films.split) == {"test"} and set(Counter(of_films["list"]).values()) == {20}
    for item, judgement in judged.items():
        verify_text(judgement, texts[item])
        for report in judgement.reports:
            assert all(panel.occurs(quote, texts[item]) for quote in report.evidence)
            assert report.rating is not None


@pytest.mark.public
def test_third_party_tables_load_with_a_split(public_data):
    for name in public.KEYS:
        table = public.table(name)
        assert len(table) == public.index()[name]["rows"]
        assert set(table["split"]) == {"train", "validation", "test"}


@pytest.mark.public
def test_what_must_move_together_does(public_data):
    plots_split = {row["title"]: row["split"] for row in public.table("films/plots")}
    for pair in public.table("films/matched_pairs"):
        assert split(public.film_group(pair["acclaimed_title"])) == split(public.film_group(pair["panned_title"])) == pair["split"]
        assert plots_split.get(pair["acclaimed_title"], pair["split"]) == pair["split"]
    for film in shipped.films():
        assert split(public.film_group(film["title"])) == film["split"]
    stories = {row["prompt"]: row["split"] for row in public.table("stories/writing_prompts")}
    assert all(stories.get(row["prompt"], row["split"]) == row["split"] for row in public.table("stories/upvote_pairs"))


@pytest.mark.public
@pytest.mark.parametrize("harm", ["column", "checksum", "missing"])
def test_a_damaged_table_is_one_line(public_data, tmp_path, monkeypatch, harm):
    name = "stories/ending_votes"
    (tmp_path / "stories").mkdir()
    target = tmp_path / f"{name}.jsonl.gz"
    if harm != "missing":
        shutil.copyfile(public_data / f"{name}.jsonl.gz", target)
    index = json.loads((public_data / "index.json").read_text())
    if harm == "column":
        next(e for e in index if e["path"] == f"{name}.jsonl.gz")["columns"].append("colour")
    if harm == "checksum":
        target.write_bytes(gzip.compress(b"{}\n"))
    (tmp_path / "index.json").write_text(json.dumps(index))
    monkeypatch.setenv("PLOTTWIST_DATA", str(tmp_path))
    for cached in (public.table, public.index, public._checked):
        cached.cache_clear()
    try:
        with pytest.raises(PlotTwistError, match={"column": "colour", "checksum": "sha256", "missing": "missing"}[harm]):
            public.table(name)
    finally:
        for cached in (public.table, public.index, public._checked):
            cached.cache_clear()
