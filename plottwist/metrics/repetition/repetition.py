"""Repetition within a story: in-self-BLEU-n, each paragraph against the others of its own story (LongStory, 2311.15208)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from plottwist.errors import PlotTwistError
from plottwist.metrics.bleu import self_bleu
from plottwist.metrics.text import words

_ORDERS = (2, 3, 4, 5)
_DESCRIPTION = "How much the paragraphs of a story repeat one another."
_INPUTS = """
Args:
    predictions: stories, each a list of paragraphs. Paragraphs without words are left out (length_control counts them); a story with
        fewer than two others has nothing to repeat and no score.
Returns:
    in_self_bleu_2 .. in_self_bleu_5: mean over scored stories of the mean BLEU-n of a paragraph against the other paragraphs of its
        story, in [0, 1], lower is better (sacrebleu, smoothing exp, effective order). It grows with the number of paragraphs.
    scored: number of stories scored.
    per_story: for each story a dict of the four scores, or None.
"""
_CITATION = "arXiv:2311.15208; arXiv:1802.01886"


class Repetition(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Sequence(datasets.Value("string"))})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions):
        stories = [_scores(paragraphs) for paragraphs in predictions]
        scored = [s for s in stories if s is not None]
        if not scored:
            raise PlotTwistError(f"none of {len(stories)} stories has two paragraphs with words; repetition needs two")
        return {**{k: float(np.mean([s[k] for s in scored])) for k in scored[0]}, "scored": len(scored), "per_story": stories}


def _scores(paragraphs):
    written = [p for p in paragraphs if words(p)]
    if len(written) < 2:
        return None
    means = self_bleu(written, _ORDERS).mean(axis=0)
    return {f"in_self_bleu_{n}": float(score) for n, score in zip(_ORDERS, means, strict=True)}
