"""Coherence of a story: how sure a classifier is that each paragraph is the true next one (LongStory, 2311.15208)."""

from __future__ import annotations

from itertools import pairwise

import datasets
import evaluate
import numpy as np

from plottwist.errors import PlotTwistError
from plottwist.metrics.judges import Judge
from plottwist.metrics.text import words

_DESCRIPTION = "Whether each paragraph of a story follows from the one before it."
_INPUTS = """
Args:
    predictions: stories, each a list of paragraphs as asked for; a failed one (empty, cut off) as "". One paragraph has no coherence.
    judge: file of a judge of coherence (plottwist.metrics.judges).
Returns:
    coherence: mean over stories of the mean probability of their steps, in [0, 1]; a step from or to a failed paragraph is 0.
    per_story: the means.
"""
_CITATION = "arXiv:2311.15208"


class Coherence(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Sequence(datasets.Value("string"))})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions, judge):
        if not predictions or any(len(story) < 2 for story in predictions):
            raise PlotTwistError("coherence needs stories of two paragraphs or more; leave shorter ones out")
        steps = [(before, text) for story in predictions for before, text in pairwise(story)]
        sure = Judge.load(judge).probabilities(steps)
        sure = np.where([bool(words(a)) and bool(words(b)) for a, b in steps], sure, 0.0)
        ends = np.cumsum([len(story) - 1 for story in predictions])[:-1]
        means = [float(part.mean()) for part in np.split(sure, ends)]
        return {"coherence": float(np.mean(means)), "per_story": means}
