"""Homogenisation of a set of texts: how alike they are (2503.17126; Padmakumar and He 2024), over all documents."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from plottwist.metrics.bleu import self_bleu
from plottwist.metrics.text import check_texts, rouge_l

_DESCRIPTION = "How alike the texts of a set are; every text counts, none is left out."
_INPUTS = """
Args:
    predictions: texts, at least two, each with words; their order does not matter.
Returns:
    rouge_l: mean ROUGE-L F1 over all pairs of texts, in [0, 1] (Padmakumar and He 2024); 1 for identical texts.
    self_bleu: mean BLEU-4 of each text against all others as its references, in [0, 1] (Zhu et al. 2018; sacrebleu, smoothing exp,
        effective order); 1 for identical texts. It grows with the number of texts: compare sets of equal size.
"""
_CITATION = "arXiv:2309.05196; arXiv:1802.01886; arXiv:2503.17126"


class Homogenization(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MetricInfo(description=_DESCRIPTION, citation=_CITATION, inputs_description=_INPUTS, features=features)

    def _compute(self, predictions):
        check_texts(predictions, 2)
        pairs = np.triu_indices(len(predictions), k=1)
        return {"rouge_l": float(rouge_l(predictions, predictions)[pairs].mean()), "self_bleu": float(self_bleu(predictions).mean())}
