"""The reward model of Storyworld plots: a small network over sentences, trained on the simulated rater alone.

It reads the plot without its premise and never sees the gold reader. Four things that the dimensions ask for are hard to find for a
network that adds its inputs up, so each has a reading of its own (``PlotNetwork``): the order of sentences, whether they are alike,
how fortune turns from one to the next, and whether a later sentence answers an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from plottwist import files
from plottwist.corpora.surface import sentences
from plottwist.errors import PlotTwistError
from plottwist.generator.rater import lexicon
from plottwist.nqd import NQDS, SCALE_MAX, SCALE_MIN

WIDTH, COMPANY, HIDDEN, PLACES = 128, 64, 64, 5
_WORD = re.compile(r"\w+|[^\w\s]")
_WEIGHTS, CONFIG = "model.safetensors", "reward_config.json"
_UNKNOWN = ""
_BATCH = 64
_COMPANY_PLOTS = 20_000  # how many of the plots the company of words is taken from
_RAREST = 3  # a word of fewer of these plots is unknown
_MET = 5  # two words that meet less often tell nothing of each other


class Read(NamedTuple):
    """A plot as the network takes it: its words one after another, how many each sentence has, each sentence's summed valence."""

    words: NDArray[np.int64]
    lengths: NDArray[np.int64]
    valence: NDArray[np.float32]


class PlotNetwork(nn.Module):
    """Five scores in standard units, the sum of four readings of the sentences; a sentence is its words' vectors added up, and its valence.

    - *order*: a GRU in both directions, and for each NQD attention over its states;
    - *alike*: squares of the mean sentence, large where all sentences point one way;
    - *turns*: each sentence times what a gated memory keeps of those before it, added up by fifths of the plot;
    - *answers*: each sentence times all those before it, in directions of its own for what asks and for what answers.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        size = WIDTH + 1  # and the valence
        self.words = nn.EmbeddingBag(vocabulary, WIDTH, mode="sum")
        self.project, self.place = nn.Linear(size, HIDDEN), nn.Linear(3, HIDDEN)
        self.order = nn.GRU(2 * HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
        self.attend = nn.Linear(2 * HIDDEN, len(NQDS))
        self.by_order = nn.Parameter(torch.randn(len(NQDS), 2 * HIDDEN) * (2 * HIDDEN) ** -0.5)
        self.alike, self.norm, self.by_likeness = nn.Linear(size, HIDDEN), nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, len(NQDS))
        self.fortune, self.keep = nn.Linear(size, HIDDEN), nn.Linear(size, HIDDEN)
        self.by_turns = nn.Parameter(torch.randn(len(NQDS), PLACES, HIDDEN) * 0.05)
        self.ask, self.answer = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.by_answers = nn.Parameter(torch.randn(len(NQDS), HIDDEN) * 0.005)
        self.dropout = nn.Dropout(0.1)

    def forward(self, plots: Sequence[Read]) -> Tensor:
        """(plots, 5)"""
        x, mask = self.sentences(plots)  # (plots, sentences, size), (plots, sentences)
        return self.read_order(x, mask) + self.read_likeness(x, mask) + self.read_turns(x, mask) + self.read_answers(x, mask)

    def sentences(self, plots: Sequence[Read]) -> tuple[Tensor, Tensor]:
        """Sentence vectors, and 1 where there is a sentence."""
        lengths = torch.from_numpy(np.concatenate([p.lengths for p in plots]))
        words = torch.from_numpy(np.concatenate([p.words for p in plots]))
        sums = self.words(words, lengths.cumsum(0) - lengths)  # (sentences of all plots, width)
        valence = torch.from_numpy(np.concatenate([p.valence for p in plots]))[:, None]
        flat = torch.cat([sums / lengths.clamp(min=1).sqrt()[:, None], valence / 2], dim=1)
        counts = [len(p.lengths) for p in plots]
        x = nn.utils.rnn.pad_sequence(flat.split(counts), batch_first=True)
        return x, (torch.arange(x.shape[1]) < torch.tensor(counts)[:, None]).to(x.dtype)

    def read_order(self, x: Tensor, mask: Tensor) -> Tensor:
        share = _shares(mask)
        first = torch.zeros_like(share)
        first[:, 0] = 1
        said = torch.tanh(self.project(self.dropout(x)))  # (plots, sentences, hidden)
        change = said - torch.cat([said[:, :1], said[:, :-1]], dim=1)
        inputs = torch.cat([said + self.place(torch.stack([share, share**2, first], dim=-1)), change], dim=-1)
        packed = nn.utils.rnn.pack_padded_sequence(inputs, mask.sum(1).long(), batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.order(packed)[0], batch_first=True, total_length=x.shape[1])
        weights = self.attend(states).masked_fill(mask[..., None] == 0, -torch.inf).softmax(dim=1)  # (plots, sentences, 5)
        pooled = self.dropout(torch.einsum("psn,psh->pnh", weights, states))
        return (pooled * self.by_order).sum(-1)

    def read_likeness(self, x: Tensor, mask: Tensor) -> Tensor:
        mean = (self.alike(x) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # (plots, hidden)
        return self.by_likeness(self.norm(mean**2))

    def read_turns(self, x: Tensor, mask: Tensor) -> Tensor:
        fortune, keep = torch.tanh(self.fortune(x)), torch.sigmoid(self.keep(x))  # (plots, sentences, hidden)
        memory, before = torch.zeros_like(fortune[:, 0]), []
        for now, gate in zip(fortune.unbind(1), keep.unbind(1), strict=True):
            before.append(memory)
            memory = memory + gate * (now - memory)
        turns = fortune * torch.stack(before, dim=1)
        near = (1 - (_shares(mask)[..., None] * (PLACES - 1) - torch.arange(PLACES)).abs()).clamp(min=0) * mask[..., None]
        return torch.einsum("psf,psh,nfh->pn", near, turns, self.by_turns)

    def read_answers(self, x: Tensor, mask: Tensor) -> Tensor:
        words = x[..., :WIDTH] * mask[..., None]
        asked, answered = self.ask(words), self.answer(words)  # (plots, sentences, hidden)
        earlier = asked.cumsum(1) - asked
        return (earlier * answered).sum(1) @ self.by_answers.T


class PlotReward:
    """Five scores of a plot on the 1-10 scale; ``centre`` and ``spread`` (5,) put the network's outputs there."""

    def __init__(self, network: PlotNetwork, vocabulary: Sequence[str], centre: NDArray, spread: NDArray) -> None:
        self.network, self.centre, self.spread = network.eval(), np.asarray(centre), np.asarray(spread)
        self.vocabulary = tuple(vocabulary)

    @torch.inference_mode()
    def standard(self, plots: Sequence[str]) -> NDArray:
        """Scores (plots, 5) in standard units of the ratings, not cut: what preference training ranks by."""
        known = {word: row for row, word in enumerate(self.vocabulary)}
        read = [_read(plot, known) for plot in plots]
        scores = [self.network(read[start : start + 4 * _BATCH]) for start in range(0, len(read), 4 * _BATCH)]
        return torch.cat(scores).double().numpy() if scores else np.zeros((0, len(NQDS)))

    def score(self, plots: Sequence[str]) -> NDArray:
        """Scores (plots, 5) on the 1-10 scale."""
        return np.clip(self.standard(plots) * self.spread + self.centre, SCALE_MIN, SCALE_MAX)

    def unknown(self, plot: str) -> set[str]:
        """Words, in lower case, that the training plots do not have."""
        return set(_words(plot)) - set(self.vocabulary)

    def save_pretrained(self, folder: str | Path) -> None:
        """Weights and words."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(
            {name: w.contiguous() for name, w in self.network.state_dict().items()}, Path(folder) / _WEIGHTS, metadata={"format": "pt"}
        )
        config = {"centre": self.centre.tolist(), "spread": self.spread.tolist(), "vocabulary": list(self.vocabulary)}
        files.write_json(Path(folder) / CONFIG, config)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PlotReward:
        """Raises PlotTwistError if the folder does not hold a reward model of plots."""
        try:
            config = files.read_json(Path(folder) / CONFIG)
            network = PlotNetwork(len(config["vocabulary"]))
            network.load_state_dict({name: w.float() for name, w in load_file(Path(folder) / _WEIGHTS).items()})
            return cls(network, config["vocabulary"], config["centre"], config["spread"])
        except (PlotTwistError, OSError, SafetensorError, RuntimeError, KeyError, TypeError) as error:
            raise PlotTwistError(f"{folder} does not hold a reward model of plots ({str(error).splitlines()[0]})") from error


def overall(scores: NDArray) -> NDArray:
    """One reward per plot, (premises, n), of scores (premises, n, 5): their mean, each NQD in standard units of these plots.

    Ratings differ in how far they follow the level; without this the dimension that a rater sees best would be the only one learnt.
    """
    flat = scores.reshape(-1, scores.shape[-1])
    return ((scores - flat.mean(0)) / (flat.std(0) + 1e-9)).mean(-1)


def fit_reward(plots: Sequence[str], ratings: NDArray, epochs: float, learning_rate: float, seed: int) -> PlotReward:
    """Train a network on ratings (plots, 5). Word vectors begin as the company each word keeps, with noise beside it."""
    torch.manual_seed(seed)
    words, company = _company(plots[:_COMPANY_PLOTS], seed)
    vocabulary = [_UNKNOWN, *words]
    network = PlotNetwork(len(vocabulary))
    with torch.no_grad():
        nn.init.normal_(network.words.weight, std=0.3)
        network.words.weight[1:, : company.shape[1]] = torch.from_numpy(company).float()
    known = {word: row for row, word in enumerate(vocabulary)}
    read = [_read(plot, known) for plot in plots]
    centre, spread = ratings.mean(0), ratings.std(0) + 1e-6
    targets = torch.from_numpy((ratings - centre) / spread).float()
    batches = list(_batches(len(read), epochs, seed))
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=len(batches) + 1, pct_start=0.1)
    for rows in batches:
        loss = mse_loss(network([read[i] for i in rows]), targets[rows])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return PlotReward(network, vocabulary, centre, spread)


def _company(plots: Sequence[str], seed: int) -> tuple[list[str], NDArray]:
    """Words of at least a few plots, and for each what it keeps company with, (words, directions).

    Two words meet in every plot that holds both, less every sentence that does: what stands in one sentence says how it is phrased, not
    what else the plot speaks of. Of the meetings, positive pointwise mutual information and its leading singular vectors (Levy and
    Goldberg, 2014).
    """
    vectorizer = CountVectorizer(tokenizer=_words, token_pattern=None, lowercase=False, binary=True)
    told = [sentences(plot) for plot in plots]
    by_sentence = vectorizer.fit_transform([s for own in told for s in own]).astype(np.float32)  # (sentences, words)
    of_plot = np.repeat(np.arange(len(told)), [len(own) for own in told])
    gather = csr_matrix((np.ones(len(of_plot), np.float32), (of_plot, np.arange(len(of_plot)))))  # (plots, sentences)
    by_plot = (gather @ by_sentence).sign()  # (plots, words)
    common = np.flatnonzero(np.asarray(by_plot.sum(0)).ravel() >= min(_RAREST, len(plots)))
    by_sentence, by_plot = by_sentence[:, common], by_plot[:, common]
    together = (by_plot.T @ by_plot - by_sentence.T @ by_sentence).toarray().clip(min=0)  # (words, words)
    np.fill_diagonal(together, 0)
    each = together.sum(1)
    expected = np.outer(each, each) / max(1.0, each.sum())
    ratio = np.divide(together, expected, out=np.ones_like(together), where=together >= _MET)
    vectors, strength, _ = randomized_svd(np.log(ratio).clip(min=0), min(COMPANY, len(common)), random_state=seed)
    directions = vectors[:, strength > 1e-3 * strength.max(initial=1e-9)]
    return vectorizer.get_feature_names_out()[common].tolist(), directions / (directions.std(0) + 1e-9) / 2


def _batches(rows: int, epochs: float, seed: int) -> Iterator[NDArray]:
    rng = np.random.default_rng(seed)
    for epoch in range(int(np.ceil(epochs))):
        order = rng.permutation(rows)[: int(rows * min(1.0, epochs - epoch)) or 1]
        yield from (order[start : start + _BATCH] for start in range(0, len(order), _BATCH))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _read(plot: str, known: dict[str, int]) -> Read:
    """A plot without a sentence is read as one empty sentence."""
    own, valence = [_words(s) for s in sentences(plot)] or [[]], lexicon()
    ids = [[known.get(w, known[_UNKNOWN]) for w in s] for s in own]
    return Read(
        np.array([i for s in ids for i in s], dtype=np.int64),
        np.array([len(s) for s in ids], dtype=np.int64),
        np.array([sum(valence.get(w, 0.0) for w in s) for s in own], dtype=np.float32),
    )


def _shares(mask: Tensor) -> Tensor:
    """How far into the plot each sentence stands, 0 to 1, (plots, sentences)."""
    return torch.arange(mask.shape[1]) / (mask.sum(1, keepdim=True) - 1).clamp(min=1)
