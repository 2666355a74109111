"""AspectRewardModel: a text in, five scores (1-10) with an uncertainty out.

Source: PlotTwist's Aspect Rating Reward Model (arXiv 2603.16410). Its base model, loss and size are not published; ours is the
lower half of MiniLM, frozen, and a small sequence head over the sentence vectors, because what the dimensions ask for (an arc, a
drift of tone, where the turns stand) lies in the order of sentences. Several heads, each trained without one part of the
premises, are averaged; what they disagree on, and the error each expects of itself, make the uncertainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from plottwist import files
from plottwist.corpora.surface import sentences
from plottwist.errors import PlotTwistError
from plottwist.metrics.encoder import DIMENSION, PACKAGED, shared
from plottwist.nqd import NQDS, SCALE_MAX, SCALE_MIN, NQDScores

MAX_SENTENCES = 512
MAX_SENTENCE_WORDS = 200  # a longer sentence may not fit the encoder's window
_TEXTS_AT_ONCE = 64


class RewardConfig(BaseModel):
    """What a saved reward model is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str = PACKAGED
    layers: int | None = 3  # of the encoder's, from below; None: all of them
    vector_size: int = DIMENSION
    hidden_size: int = 64
    dropout: float = 0.3
    order: Literal["sequence", "mean"] = "sequence"
    outputs: tuple[str, ...] = NQDS
    heads: int = Field(default=5, ge=2)
    centre: tuple[float, ...] = (5.5,) * len(NQDS)
    spread: tuple[float, ...] = (2.0,) * len(NQDS)
    uncertainty_scale: float = 1.0


class SequenceHead(nn.Module):
    """Sentence vectors with their place in the text -> per output a mean and a log variance, in standard units.

    ``order="mean"`` sees the average vector alone: the ablation that cannot know what came first.
    """

    def __init__(self, config: RewardConfig) -> None:
        super().__init__()
        self.order = config.order
        hidden, outputs = config.hidden_size, len(config.outputs)
        self.register_buffer("shift", torch.zeros(config.vector_size))
        self.register_buffer("scale", torch.ones(config.vector_size))
        self.project = nn.Linear(config.vector_size, hidden)
        self.dropout = nn.Dropout(config.dropout)
        if self.order == "sequence":
            self.place = nn.Linear(3, hidden)
            self.read = nn.GRU(2 * hidden, hidden, batch_first=True, bidirectional=True)
            self.attend = nn.Linear(2 * hidden, outputs)
            self.answer = nn.Parameter(torch.zeros(outputs, 2, 2 * hidden))
            nn.init.normal_(self.answer, std=(2 * hidden) ** -0.5)
        else:
            self.answer = nn.Parameter(torch.zeros(outputs, 2, hidden))
            nn.init.normal_(self.answer, std=hidden**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs, 2))

    def standardise(self, documents: Sequence[NDArray[np.float32]]) -> None:
        """Take the mean and the spread of these sentence vectors as the zero and the unit of each component."""
        vectors = torch.from_numpy(np.concatenate(documents))  # (sentences, d)
        self.shift.copy_(vectors.mean(0))
        self.scale.copy_(vectors.std(0) + 1e-6)

    def forward(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """vectors (texts, sentences, d), mask (texts, sentences) -> mean and log variance, each (texts, outputs)."""
        vectors = (vectors - self.shift) / self.scale * mask[..., None]
        x = torch.tanh(self.project(self.dropout(vectors)))  # (texts, sentences, hidden)
        if self.order == "mean":
            pooled = ((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))[:, None]  # (texts, 1, hidden)
        else:
            pooled = self._read_in_order(x, mask)  # (texts, outputs, 2 hidden)
        out = torch.einsum("toh,ojh->toj", self.dropout(pooled).expand(-1, len(self.bias), -1), self.answer) + self.bias
        return out[..., 0], out[..., 1].clamp(-4, 3)

    def _read_in_order(self, x: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(1)  # (texts,)
        step = torch.arange(x.shape[1], device=x.device)[None, :].expand(len(x), -1)
        share = step / (lengths[:, None] - 1).clamp(min=1)
        place = torch.stack([share, share**2, (step == 0).float()], dim=-1)  # where in the text
        change = x - torch.cat([x[:, :1], x[:, :-1]], dim=1)  # what the sentence brings that the one before had not
        packed = nn.utils.rnn.pack_padded_sequence(
            torch.cat([x + self.place(place), change], -1), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.read(packed)[0], batch_first=True, total_length=x.shape[1])
        weights = self.attend(states).masked_fill(~mask[..., None].bool(), -torch.inf).softmax(dim=1)  # (texts, sentences, outputs)
        return torch.einsum("tso,tsh->toh", weights, states)


@dataclass(frozen=True, slots=True)
class Rated:
    """Five scores and, for each, the standard error the model expects (points of the 1-10 scale)."""

    scores: NQDScores
    uncertainty: dict[str, float]


class AspectRewardModel:
    """Heads over a frozen encoder. Made by ``reward.training.fit`` or ``from_pretrained``."""

    def __init__(self, config: RewardConfig, heads: Sequence[SequenceHead]) -> None:
        self.config, self.heads = config, [head.eval() for head in heads]

    def rate(self, texts: Sequence[str]) -> list[Rated]:
        """Rate texts of any length (sentences beyond the 512th are not read).

        Raises:
            PlotTwistError: a text without a single word.
        """
        return list(self.rate_stream(texts))

    def rate_stream(self, texts: Iterable[str]) -> Iterator[Rated]:
        """``rate`` for any number of texts in constant memory."""
        remaining = iter(texts)
        while batch := list(islice(remaining, _TEXTS_AT_ONCE)):
            means, errors = self.predict(self.read([split_sentences(t) for t in batch]))
            yield from (self._rated(m, e) for m, e in zip(means, errors, strict=True))

    def read(self, documents: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        """The sentence vectors of texts given as lists of sentences, each (sentences, d)."""
        return read(documents, self.config)

    @torch.inference_mode()
    def predict(self, documents: Sequence[NDArray[np.float32]]) -> tuple[NDArray, NDArray]:
        """Scores and their standard errors from sentence vectors, each (texts, outputs), on the 1-10 scale."""
        centre, spread = torch.tensor(self.config.centre), torch.tensor(self.config.spread)
        means, variances = [], []
        for start in range(0, len(documents), _TEXTS_AT_ONCE):
            answers = [head(*pad(documents[start : start + _TEXTS_AT_ONCE])) for head in self.heads]
            mean = torch.stack([m for m, _ in answers])  # (heads, texts, outputs)
            variance = torch.stack([v.exp() for _, v in answers]).mean(0) + mean.var(0, unbiased=False)
            means.append(mean.mean(0) * spread + centre)
            variances.append(variance)
        errors = torch.cat(variances).sqrt() * spread * self.config.uncertainty_scale
        return torch.cat(means).clamp(SCALE_MIN, SCALE_MAX).numpy(), errors.numpy()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``config.json`` and ``model.safetensors`` (the heads, in half precision; the encoder is named in the config)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / ".model.safetensors.tmp"
        tensors = {f"head.{i}.{name}": t.half().contiguous() for i, head in enumerate(self.heads) for name, t in head.state_dict().items()}
        save_file(tensors, temporary)
        temporary.replace(folder / "model.safetensors")
        files.write_json(folder / "config.json", self.config.model_dump(mode="json"))
        return folder

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> AspectRewardModel:
        """Load a folder written by ``save_pretrained``.

        Raises:
            PlotTwistError: missing or damaged files, or weights that do not fit the config.
        """
        folder = Path(folder)
        try:
            config = RewardConfig.model_validate(files.read_json(folder / "config.json"))
            tensors = load_file(folder / "model.safetensors")
            model = cls(config, [SequenceHead(config) for _ in range(config.heads)])
            for i, head in enumerate(model.heads):
                head.load_state_dict({n.removeprefix(f"head.{i}."): t for n, t in tensors.items() if n.startswith(f"head.{i}.")})
        except (OSError, SafetensorError, RuntimeError, ValidationError) as error:
            raise PlotTwistError(
                f"{folder} does not hold a reward model ({str(error).splitlines()[0]}); train one with notebook 01"
            ) from error
        return model

    def _rated(self, mean: NDArray, error: NDArray) -> Rated:
        if self.config.outputs == ("overall",):
            return Rated(NQDScores(*([float(mean[0])] * len(NQDS))), dict.fromkeys(NQDS, float(error[0])))
        return Rated(NQDScores(*map(float, mean)), dict(zip(NQDS, map(float, error), strict=True)))


def read(documents: Sequence[Sequence[str]], config: RewardConfig) -> list[NDArray[np.float32]]:
    """The vectors that a model of this config has of texts given as lists of sentences, each (sentences, d)."""
    flat = shared(config.encoder, config.layers).encode([s for document in documents for s in document])
    return np.split(flat, np.cumsum([len(d) for d in documents])[:-1])


def is_cut(text: str) -> bool:
    """Whether a reward model reads only a part of the text."""
    found = sentences(text)
    return len(found) > MAX_SENTENCES or any(len(s.split()) > MAX_SENTENCE_WORDS for s in found)


def split_sentences(text: str) -> list[str]:
    """The sentences a reward model reads. Raises PlotTwistError for a text without a word."""
    found = [s for s in sentences(text) if any(c.isalnum() for c in s)]
    if not found:
        raise PlotTwistError("the text is empty; a plot needs at least one sentence")
    return found[:MAX_SENTENCES]


def pad(documents: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Sentence vectors of several texts as one batch: (texts, sentences, d) and a mask (texts, sentences)."""
    longest = max(len(d) for d in documents)
    vectors = torch.zeros(len(documents), longest, documents[0].shape[1])
    mask = torch.zeros(len(documents), longest)
    for row, document in enumerate(documents):
        vectors[row, : len(document)] = torch.from_numpy(document)
        mask[row, : len(document)] = 1
    return vectors, mask
