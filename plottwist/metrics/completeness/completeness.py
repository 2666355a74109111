"""Completeness of a story: does its last paragraph, and no other, sound like a last one (LongStory, 2311.15208)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from plottwist.errors import PlotTwistError
from plottwist.metrics.judges import Judge
from plottwist.metrics.text import words

_DESCRIPTION = "Whether a story ends with its last paragraph and not before."
_INPUTS = """
Args:
    predictions: stories, each a list of paragraphs as asked for; a failed one (empty, cut off) as "".
    judge: file of a judge of completeness (plottwist.metrics.judges).
Returns:
    completeness: mean probability that the last paragraph is a last one, in [0, 1]; 0 if it failed.
    completeness_gap: mean of that minus the mean over the other paragraphs, in [-1, 1]; a failed one among them counts as an end, 1.
    per_story: for each story a dict of the two.
"""
_CITATION = "arXiv:2311.15208"


class Completeness(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Sequence(datasets.Value("string"))})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions, judge):
        if not predictions or any(len(story) < 2 for story in predictions):
            raise PlotTwistError("completeness needs stories of two paragraphs or more; leave shorter ones out")
        flat = [paragraph for story in predictions for paragraph in story]
        sure = Judge.load(judge).probabilities([("", p) for p in flat])
        stories = []
        for own, told in zip(np.split(sure, np.cumsum([len(s) for s in predictions])[:-1]), predictions, strict=True):
            failed = np.array([not words(p) for p in told])
            last, others = 0.0 if failed[-1] else float(own[-1]), np.where(failed, 1.0, own)[:-1]
            stories.append({"completeness": last, "completeness_gap": last - float(others.mean())})
        return {**{k: float(np.mean([s[k] for s in stories])) for k in stories[0]}, "per_story": stories}
