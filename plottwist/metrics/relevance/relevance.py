"""Relevance of a story to what was asked for: ROUGE against the reference, keywords kept (LongStory, 2311.15208; ROUGE inferred)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from plottwist.errors import PlotTwistError
from plottwist.metrics.text import check_texts, rouge_l, words

_DESCRIPTION = "How much of the reference story and of the keywords is in a story."
_INPUTS = """
Args:
    predictions: stories; one without words scores 0 everywhere.
    references: the reference story of each, with words.
    keywords: the key phrases of each, at least one, each with words.
Returns:
    rouge_1, rouge_2, rouge_l: mean F1 against the reference, in [0, 1] (Lin 2004; no stemming).
    keywords_kept: mean share of a story's different key phrases whose words stand in it side by side, in any case, in [0, 1].
    per_story: for each story a dict of the four scores.
"""
_CITATION = "arXiv:2311.15208; Lin 2004, ROUGE: a package for automatic evaluation of summaries"


class Relevance(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text, "keywords": datasets.Sequence(text)})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions, references, keywords):
        check_texts(references, 1, "reference")
        for number, phrases in enumerate(keywords, start=1):
            if not phrases or not all(words(p) for p in phrases):
                raise PlotTwistError(f"story {number}: no keywords, or one without words; give at least one key phrase")
        stories = [_scores(*row) for row in zip(predictions, references, keywords, strict=True)]
        return {**{k: float(np.mean([s[k] for s in stories])) for k in stories[0]}, "per_story": stories}


class _Words:
    """The words of this package for the ROUGE package, whose own are ASCII only."""

    def tokenize(self, text):
        return words(text)


def _scores(story, reference, keywords):
    rouge = RougeScorer(["rouge1", "rouge2"], tokenizer=_Words()).score(reference, story)
    return {
        "rouge_1": rouge["rouge1"].fmeasure,
        "rouge_2": rouge["rouge2"].fmeasure,
        "rouge_l": float(rouge_l([story], [reference])[0, 0]),
        "keywords_kept": _kept(story, keywords),
    }


def _kept(story, keywords):
    text = f" {' '.join(words(story))} "
    phrases = {" ".join(words(k)) for k in keywords}
    return sum(f" {p} " in text for p in phrases) / len(phrases)
