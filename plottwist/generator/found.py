"""Premises and plots that other people wrote (profile ``public``): the same writer, trained on found text, measured but never quoted.

Books have a premise and a summary; a film plot's first sentence stands for its premise. Training rows only are learnt from.
"""

from __future__ import annotations

import re

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plottwist.corpora import public
from plottwist.corpora.split import Split
from plottwist.generator.sft import completion_nats, encode
from plottwist.generator.tokens import answer, ask

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
PREMISE_WORDS, PLOT_WORDS = 40, 120


def examples(which: Split, n: int) -> Dataset:
    """n premises and plots of a split, cut at sentence ends: ``prompt, completion, premise, plot``; books first, then films."""
    books = [(r["premise"], r["plot_summary"]) for r in public.table("stories/books") if r["split"] == which]
    films = [tuple(_SENTENCE.split(r["plot"].strip(), maxsplit=1)) for r in public.table("films/plots") if r["split"] == which]
    pairs = [(_cut(p, PREMISE_WORDS), _cut(t, PLOT_WORDS)) for p, t in (x for x in [*books, *films] if len(x) == 2)]
    rows = [{"prompt": ask(p), "completion": answer(t), "premise": p, "plot": t} for p, t in pairs if p and len(t.split()) >= 20]
    return Dataset.from_list(rows[:n])


def word_perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, held_out: Dataset) -> float:
    """exp of nats per word of the plots, so that tokenizers can be compared."""
    rows = encode(tokenizer, held_out, model.config.max_position_embeddings)
    nats, _ = completion_nats(model, tokenizer, rows)
    return float(np.exp(nats.sum() / sum(len(p.split()) for p in held_out["plot"])))


def _cut(text: str, words: int) -> str:
    """The first sentences that hold at most so many words; of a longer first sentence, its first words."""
    kept: list[str] = []
    for sentence in _SENTENCE.split(" ".join(text.split())):
        if kept and sum(len(s.split()) for s in kept) + len(sentence.split()) > words:
            break
        kept.append(sentence)
    return " ".join(" ".join(kept).split()[:words])
