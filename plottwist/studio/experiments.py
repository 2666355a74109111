"""What notebook 07 measures: the rows of its tables, without the gold reader, which the notebook alone may ask.

Test drafts and plots come from premises of the test split; their levels are known, so bands of *true* quality do not depend on the rater.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plottwist import files, stats
from plottwist.corpora import storyworld as sw
from plottwist.generator import quantise
from plottwist.profiles import StudioSettings
from plottwist.studio import reading, small, tasks
from plottwist.studio.refine import Refinement, refine

_DRAFTS, _PLOTS, _LABELLED = 41, 42, 43  # which stories of a part: drafts, plots to explain, plots to learn labels from


def drafts(settings: StudioSettings) -> list[sw.Story]:
    """Test drafts of every quality."""
    return _stories("test", _DRAFTS, settings.drafts)


def plots(settings: StudioSettings) -> list[sw.Story]:
    """Test plots to explain."""
    return _stories("test", _PLOTS, settings.explained)


def refined(model: small.StudioModel, stories: Sequence[sw.Story], settings: StudioSettings, seed: int) -> list[Refinement]:
    """Every draft through the whole of quality-adaptive refinement."""
    texts, premises = [s.text for s in stories], [s.premise for s in stories]
    return refine(texts, model, model.rate, model.bands, premises, settings.margin, seed)


def explained(model: small.StudioModel, stories: Sequence[sw.Story]) -> pd.DataFrame:
    """The small model's explanations against the plans, a row a plot.

    ``true``: facts stated that the plan holds; ``stated``: facts stated; ``told``: main facts of the plan that are stated; ``main``: main
    facts of the plan; ``unread``: notes that are no fact; ``made_up``: facts left out, as the plot has not their words; ``bleu`` and ``rouge_l`` (0 to 1) against the plan's own telling.
    """
    return pd.DataFrame([_fidelity(noted, story) for noted, story in zip(model.notes([s.text for s in stories]), stories, strict=True)])


def share(table: pd.DataFrame, part: str, whole: str) -> stats.Estimate:
    """Sum of one column over the sum of another, with an interval over plots."""
    return stats.estimate(_share, table[part], table[whole])


def fidelity(table: pd.DataFrame) -> dict[str, stats.Estimate]:
    """A table of ``explained`` in four numbers with intervals over plots: ``true``, ``told``, ``bleu``, ``rouge_l``."""
    return {
        "true": share(table, "true", "stated"),
        "told": share(table, "told", "main"),
        "bleu": stats.mean(table.bleu),
        "rouge_l": stats.mean(table.rouge_l),
    }


def told_against(one: pd.DataFrame, other: pd.DataFrame, how: Callable[[float, float], float]) -> stats.Estimate:
    """Main facts told in one table against another of the same plots (``how``: difference or ratio); plots are resampled in pairs."""
    return stats.estimate(
        lambda told, main, told_too, main_too: how(_share(told, main), _share(told_too, main_too)),
        *(table[column] for table in (one, other) for column in ("told", "main")),
    )


def methods(
    folder: Path, writer: Path, model: small.StudioModel, stories: Sequence[sw.Story], settings: StudioSettings
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The ways of fine-tuning, on the same rows: trainable weights, seconds, held-out loss by way; and the explanations of each."""
    made = files.read_json(folder / "methods.json")["methods"]
    tables = {}
    for method in (row["method"] for row in made):
        own, tokenizer = small.load_method(method, folder, writer, settings.context)
        tuned = small.StudioModel(own, tokenizer, model.reward, model.bands, answer_tokens=model.answer_tokens)
        tables[method] = explained(tuned, stories)
    return pd.DataFrame(made).set_index("method"), tables


def int8_against_float32(
    folder: Path, place: Path, model: small.StudioModel, stories: Sequence[sw.Story]
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The studio model as saved and in int8: megabytes on disk, seconds to load, explanations a second; and the explanations of each."""
    quantise.shrink(folder / "model", place)
    rows, tables = {}, {}
    for name, source in (("float32", folder / "model"), ("int8", place)):
        started = time.perf_counter()
        own = quantise.restored(source, small.load).eval()
        loaded = time.perf_counter()
        reader = small.StudioModel(own, model.tokenizer, model.reward, model.bands, answer_tokens=model.answer_tokens)
        tables[name] = explained(reader, stories)
        per_second = len(stories) / (time.perf_counter() - loaded)
        rows[name] = {"megabytes": quantise.size(source) / 1e6, "load": loaded - started, "per_second": per_second}
    return pd.DataFrame(rows).T, tables


def true_labels(story: sw.Story) -> list[str]:
    """The label of each sentence: that of its first event in the plan."""
    first: dict[int, str] = {}
    for event in story.plan.events:
        first.setdefault(event.sentence, event.label)
    return [first[i] for i in range(len(first))]


def label_head(model: small.StudioModel, settings: StudioSettings) -> Callable[[str], list[str]]:
    """A linear head for sentence labels on what the small model makes of each sentence, learnt from training plots and their plans."""
    stories = _stories("train", _LABELLED, settings.explained)
    vectors = np.concatenate([sentence_vectors(model, s.text) for s in stories])
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    head.fit(vectors, [label for s in stories for label in true_labels(s)])
    return lambda text: list(head.predict(sentence_vectors(model, text)))


@torch.inference_mode()
def sentence_vectors(model: small.StudioModel, text: str) -> NDArray[np.float32]:
    """The small model's last hidden states, meaned over each sentence, with the one at its end beside it: (sentences, 2 d)."""
    batch = model.tokenizer(text, return_offsets_mapping=True, return_tensors="pt", add_special_tokens=False)
    hidden = model.model.base_model(input_ids=batch["input_ids"]).last_hidden_state[0].float().numpy()  # (tokens, d)
    starts = batch["offset_mapping"][0, :, 0].numpy()
    found, at = [], 0
    for part in reading.sentences(text):
        begin = text.index(part, at)
        at = begin + len(part)
        own = hidden[(starts >= begin - 1) & (starts < at)]
        found.append(np.concatenate([own.mean(0), own[-1]]))
    return np.array(found)


def label_f1(said: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> tuple[stats.Estimate, dict[str, float]]:
    """Macro F1 over the four labels with an interval over plots, and the F1 of each label."""
    groups, (right, own) = _numbered(true, said)
    each = f1_score(right, own, average=None, labels=range(len(reading.LABELS)), zero_division=0)
    return stats.estimate(_macro_f1, right, own, groups=groups), dict(zip(reading.LABELS, map(float, each), strict=True))


def label_f1_gain(said: Sequence[Sequence[str]], other: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> stats.Estimate:
    """Macro F1 of one labeller less that of another on the same sentences, with an interval over plots, resampled in pairs."""
    groups, numbers = _numbered(true, said, other)
    return stats.estimate(lambda right, a, b: _macro_f1(right, a) - _macro_f1(right, b), *numbers, groups=groups)


def turning_points(rows: Sequence[dict]) -> pd.DataFrame:
    """Distance of each way's five turning points to the annotated ones, as a share of the synopsis: a row an annotation, a column a way."""
    ways: dict[str, Callable[[list[str]], list[int]]] = {
        "measured": reading.turning_points,
        "even distances": lambda s: reading.uniform_points(len(s)),
        "theory's places": lambda s: reading.placed_points(len(s)),
        "places of the training films": lambda s: reading.placed_points(len(s), reading.PLACES),
    }
    return pd.DataFrame([{way: _distance(find(row["sentences"]), row) for way, find in ways.items()} for row in rows])


def _distance(found: Sequence[int], row: dict) -> float:
    return float(np.mean(np.abs(np.array(found) - np.array(row["turning_points"]))) / len(row["sentences"]))


def _fidelity(noted: Sequence[tasks.Fact | None], story: sw.Story) -> dict[str, float]:
    plan, facts = tasks.facts(story), [fact for fact in noted if fact]
    kept = [fact for fact in facts if tasks.borne_out(fact, story.text)]
    main, stated = ({tasks.meant(fact, story) for fact in own} for own in (plan, kept))
    told, reference = (" ".join(map(tasks.say, own)) for own in (kept, plan))
    return {
        "true": len(stated & main),
        "stated": len(stated),
        "told": len(stated & main),
        "main": len(main),
        "unread": len(noted) - len(facts),
        "made_up": len(facts) - len(kept),
        "bleu": BLEU(effective_order=True).sentence_score(told, [reference]).score / 100,
        "rouge_l": RougeScorer(["rougeL"]).score(reference, told)["rougeL"].fmeasure,
    }


def _share(part: NDArray, whole: NDArray) -> float:
    return float(part.sum() / max(1, whole.sum()))


def _numbered(*labellings: Sequence[Sequence[str]]) -> tuple[list[int], list[NDArray]]:
    """The plot of each sentence, and each labelling of all sentences as numbers, (sentences,)."""
    groups = [i for i, own in enumerate(labellings[0]) for _ in own]
    return groups, [np.array([reading.LABELS.index(label) for own in rows for label in own]) for rows in labellings]


def _macro_f1(true: NDArray, said: NDArray) -> float:
    """Macro F1 of labels as numbers, over the four labels."""
    hits = np.array([((true == k) & (said == k)).sum() for k in range(len(reading.LABELS))])
    sizes = np.array([(true == k).sum() + (said == k).sum() for k in range(len(reading.LABELS))])
    return float((2 * hits / np.maximum(sizes, 1)).mean())


def _stories(part: str, which: int, n: int) -> list[sw.Story]:
    return list(tasks.stories(n, which, part))
