"""The measured part of the data cards: ``plottwist data cards`` writes it between the markers in ``data/*/README.md``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plottwist import files, registry, stats
from plottwist.corpora import shipped, surface
from plottwist.nqd import NAMES, NQDS
from plottwist.paths import SHIPPED

BEGIN, END = "<!-- measured by `plottwist data cards`: begin -->", "<!-- measured: end -->"
CEILING = 9  # ratings of 9 and 10


def write() -> list[Path]:
    """Measure the shipped texts and ratings and write the tables into their cards."""
    parts = {
        "plots": [texts(shipped.plots().to_pandas(), "plot", "variant"), _plot_facts(), surface_readers()],
        "films": [texts(shipped.films().to_pandas(), "synopsis", "list"), _film_facts()],
        "ratings": [distribution("plots"), distribution("films"), retest()],
        "judgements": [_judgement_facts()],
    }
    for folder, tables in parts.items():
        content = "\n\n".join(t if isinstance(t, str) else t.to_markdown(index=False) for t in tables)
        files.insert(SHIPPED / folder / "README.md", BEGIN, END, content)
    return [SHIPPED / folder / "README.md" for folder in parts]


def texts(frame: pd.DataFrame, column: str, by: str) -> pd.DataFrame:
    """One row per group: number, words (mean, range), sentences, Flesch reading ease, word types."""
    rows = []
    for name, group in frame.groupby(by, sort=False):
        words = surface.word_counts(list(group[column]))
        rows.append(
            {
                by: name,
                "texts": len(group),
                "mean words": f"{words.mean():.1f}",
                "range": f"{words.min()}-{words.max()}",
                "sentences": f"{group[column].map(lambda t: len(surface.sentences(t))).mean():.1f}",
                "reading ease": f"{group[column].map(surface.reading_ease).mean():.0f}",
                "word types": len({w.lower() for t in group[column] for w in surface.words(t)}),
            }
        )
    return pd.DataFrame(rows)


def surface_readers() -> pd.DataFrame:
    """Strong against each weak variant: held-out AUC of TF-IDF and of length, whole premises left out."""
    frame = shipped.plots().to_pandas()
    rows = []
    for variant in shipped.VARIANTS[1:]:
        pair = frame[frame.variant.isin(["strong", variant])]
        label, groups = (pair.variant == "strong").to_numpy(), pair.premise_id.to_numpy()
        tfidf = stats.auc(surface.tfidf_scores(list(pair["plot"]), label, groups), label, groups=groups)
        length = stats.auc(surface.length_scores(list(pair["plot"]), label, groups), label, groups=groups)
        rows.append({"strong against": variant, "TF-IDF, AUC": str(tfidf), "length, AUC": str(length)})
    return pd.DataFrame(rows)


def distribution(kind: shipped.Kind) -> pd.DataFrame:
    """First-round ratings by protocol and dimension: mean, spread, share at the ceiling (9 or 10)."""
    frame = shipped.ratings(kind).to_pandas()
    frame = frame[frame["round"] == 1]
    rows = []
    for protocol, group in frame.groupby("protocol", sort=False):
        for name in NQDS:
            values = group[name].astype(float)
            rows.append(
                {
                    kind: protocol,
                    "dimension": NAMES[name],
                    "n": len(values),
                    "mean": f"{values.mean():.2f}",
                    "sd": f"{values.std():.2f}",
                    "9 or 10": f"{(values >= CEILING).mean():.0%}",
                }
            )
    return pd.DataFrame(rows)


def retest() -> pd.DataFrame:
    """The tenth rated twice, by protocol, all dimensions together: rank agreement and mean absolute difference."""
    rows = []
    for kind in ("plots", "films"):
        frame = shipped.ratings(kind).to_pandas()
        for protocol, group in frame.groupby("protocol", sort=False):
            first, second = (group[group["round"] == n].set_index("item")[list(NQDS)] for n in (1, 2))
            a, b = first.loc[second.index].to_numpy(dtype=float).ravel(), second.to_numpy(dtype=float).ravel()
            rows.append(
                {
                    "texts": kind,
                    "protocol": protocol,
                    "rated twice": len(second),
                    "Spearman": f"{stats.rank_correlation(a, b):.2f}",
                    "mean absolute difference": f"{abs(a - b).mean():.2f}",
                }
            )
    return pd.DataFrame(rows)


def _plot_facts() -> str:
    frame = shipped.plots().to_pandas()
    means = [surface.word_counts(list(g["plot"])).mean() for _, g in frame.groupby("variant")]
    splits = frame.groupby("split").premise_id.nunique()
    near = surface.near_duplicates(list(frame["plot"]), list(frame.premise_id))
    return (
        f"{frame.premise_id.nunique()} premises ({', '.join(f'{splits[s]} {s}' for s in ('train', 'validation', 'test'))}), {frame.genre.nunique()} genres, "
        f"{len(frame)} plots; longest variant over shortest, mean words: {max(means) / min(means):.3f}; "
        f"equal plots: {len(frame) - frame['plot'].nunique()}; near-duplicates between premises (over 30% of word 5-grams shared): {len(near)}."
    )


def _judgement_facts() -> str:
    rows = list(files.read_jsonl(registry.path("judgements/judgements.jsonl")))
    reports = [report for row in rows for report in row["reports"]]
    kept, false = sum(len(r["evidence"]) for r in reports), sum(r["false_quotes"] for r in reports)
    overruled = sum(row["scores"][r["critic"]] != r["rating"] for row in rows for r in row["reports"])
    return (
        f"{len(rows)} texts, {len(reports)} reports, {kept + false} quotes, {false} of them false; reports sent back: "
        f"{sum(row['sent_back'] is not None for row in rows)}; final scores in which the editor departed from the critic: {overruled / len(reports):.0%}."
    )


def _film_facts() -> str:
    frame = shipped.films().to_pandas()
    means = [surface.word_counts(list(g.synopsis)).mean() for _, g in frame.groupby("list")]
    splits = frame.groupby(["list", "split"]).size()
    acclaimed = (frame["list"] == "acclaimed").to_numpy()
    tfidf = stats.auc(surface.tfidf_scores(list(frame.synopsis), acclaimed, frame.film_id), acclaimed)
    length = stats.auc(surface.length_scores(list(frame.synopsis), acclaimed, frame.film_id), acclaimed)
    listed = "; ".join(
        f"{name}: " + ", ".join(f"{splits[name, s]} {s}" for s in ("train", "validation", "test")) for name in ("acclaimed", "panned")
    )
    near = surface.near_duplicates(list(frame.synopsis), list(frame.film_id))
    return (
        f"{listed}. Longer list over shorter, mean words: {max(means) / min(means):.3f}; equal synopses: {len(frame) - frame.synopsis.nunique()}; "
        f"near-duplicates: {len(near)}. Acclaimed against panned, held-out AUC: TF-IDF {tfidf}, length {length}."
    )
