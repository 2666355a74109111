"""Length control of a story: paragraphs and tokens asked for against those made (LongStory, 2311.15208)."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from plottwist.errors import PlotTwistError
from plottwist.metrics.text import words

_DESCRIPTION = "Whether a story has the paragraphs and the tokens that were asked for."
_INPUTS = """
Args:
    predictions: stories, each a list of paragraphs.
    ended: for each paragraph, whether its writer came to its end (False: cut off).
    tokens: tokens made, per story.
    references: paragraphs asked for, per story, at least 1.
    tokens_asked: tokens asked for, per story, at least 1.
Returns:
    success: share of stories with exactly the paragraphs asked for and none of them failed, in [0, 1].
    failed_paragraphs: mean of 1 - good / larger of asked and made, in [0, 1], where good paragraphs have words and an end, and at most
        those asked for count: empty, cut off, missing and surplus paragraphs all fail.
    token_ratio: mean of tokens made / asked, from 0 up; 1 is exact.
    token_error: mean of |made - asked| / asked, from 0 up; 0 is exact.
    per_story: for each story a dict of the four scores.
"""
_CITATION = "arXiv:2311.15208"


class LengthControl(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int64")
        features = {
            "predictions": datasets.Sequence(datasets.Value("string")),
            "ended": datasets.Sequence(datasets.Value("bool")),
            "tokens": number,
            "references": number,
            "tokens_asked": number,
        }
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=datasets.Features(features)
        )

    def _compute(self, predictions, ended, tokens, references, tokens_asked):
        if not predictions:
            raise PlotTwistError("0 stories given; this metric needs at least 1")
        rows = list(zip(predictions, ended, tokens, references, tokens_asked, strict=True))
        stories = [_scores(number, *row) for number, row in enumerate(rows, start=1)]
        return {**{k: float(np.mean([s[k] for s in stories])) for k in stories[0]}, "per_story": stories}


def _scores(number, paragraphs, ended, tokens, asked, tokens_asked):
    if len(ended) != len(paragraphs):
        raise PlotTwistError(f"story {number}: {len(paragraphs)} paragraphs but {len(ended)} ends; give one end per paragraph")
    if asked < 1 or tokens_asked < 1 or tokens < 0:
        raise PlotTwistError(
            f"story {number}: {asked} paragraphs and {tokens_asked} tokens asked, {tokens} made; ask for at least 1 of each"
        )
    good = sum(bool(words(p)) and end for p, end in zip(paragraphs, ended, strict=True))
    failed = 1 - min(good, asked) / max(asked, len(paragraphs))
    return {
        "success": float(failed == 0),
        "failed_paragraphs": failed,
        "token_ratio": tokens / tokens_asked,
        "token_error": abs(tokens - tokens_asked) / tokens_asked,
    }
