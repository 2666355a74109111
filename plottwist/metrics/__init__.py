"""Metrics of sets of texts and of long stories, as Hugging Face `evaluate` modules (PAPERS.md, sections 2 and 3).

Each folder is one module, loaded by its path and without a network: ``evaluate.load("plottwist/metrics/diversity")``, or from
anywhere ``metrics.load("diversity")``. The arithmetic they share stands beside them: ``text``, ``bleu``, ``vectors``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluate import EvaluationModule


def load(name: str) -> EvaluationModule:
    """The module ``diversity``, ``homogenization``, ``repetition``, ``relevance``, ``length_control``, ``coherence`` or ``completeness``.

    Inputs stay in memory: by default `evaluate` writes them to a locked file of its cache, for which parallel runs wait.
    """
    import evaluate

    return evaluate.load(str(Path(__file__).parent / name), keep_in_memory=True)
