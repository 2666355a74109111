"""Refinement sentence by sentence: the small model proposes another sentence in each place, the rater says which proposals help.

Everything that is not replaced stays word for word, so the share rewritten is bounded by the band: light refinement touches few sentences,
restructuring up to half of them. A proposal continues the premise and the sentences before it; what comes after stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plottwist.corpora.surface import sentences
from plottwist.generator.sampling import SamplingConfig, continue_prompts
from plottwist.generator.tokens import prompt_ids

SHARES = {"strong": 0.2, "middling": 0.5}  # most sentences replaced, as a share of the draft
SENTENCE_TOKENS = 32
_BATCH = 64

Quality = Callable[[Sequence[str]], np.ndarray]


def edited(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    quality: Quality,
    draft: str,
    premise: str | None,
    most: float,
    tries: int,
    seed: int,
) -> str | None:
    """The draft with its most helpful replacements, or None where none helps.

    Args:
        quality: what the rater makes of texts, (texts,).
        most: share of sentences that may be replaced.
        tries: proposals for each place.
    """
    parts = sentences(draft)
    places = [(i, k) for i in range(len(parts)) for k in range(tries)]
    proposed = propose(model, tokenizer, premise or parts[0], [parts[:i] for i, _ in places], [k for _, k in places], seed)
    trials = [" ".join([*parts[:i], new, *parts[i + 1 :]]) for (i, _), new in zip(places, proposed, strict=True)]
    scores, least = quality([draft, *trials])[1:], quality([draft])[0]
    best: dict[int, tuple[float, str]] = {}
    for (i, _), new, score in zip(places, proposed, scores, strict=True):
        if new and new != parts[i] and new not in parts and score > best.get(i, (least, ""))[0]:
            best[i] = (float(score), new)
    ranked = sorted(best, key=lambda i: -best[i][0])[: max(1, round(most * len(parts)))]
    versions = [" ".join(best[i][1] if i in ranked[: n + 1] else part for i, part in enumerate(parts)) for n in range(len(ranked))]
    return versions[int(np.argmax(quality(versions)))] if versions else None


@torch.inference_mode()
def propose(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    premise: str,
    before: Sequence[Sequence[str]],
    numbers: Sequence[int],
    seed: int,
) -> list[str]:
    """One sentence to follow each run of sentences; "" where none was finished. A draw depends on seed, premise, place and number alone."""
    asked = prompt_ids(tokenizer, [premise])[0]
    told = [asked + (tokenizer(" ".join(parts), add_special_tokens=False)["input_ids"] if parts else []) for parts in before]
    config = SamplingConfig(temperature=0.8, max_tokens=SENTENCE_TOKENS)
    draws = np.stack([_uniform(f"{seed}:{len(parts)}:{k}:{premise}") for parts, k in zip(before, numbers, strict=True)])
    found: list[str] = []
    for start in range(0, len(told), _BATCH):
        rows = slice(start, start + _BATCH)
        ids = continue_prompts(model, told[rows], torch.from_numpy(draws[rows]), tokenizer, config)
        found += [_first_sentence(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return found


def _first_sentence(text: str) -> str:
    head, stop, _ = text.strip().partition(".")
    return head.strip() + stop if stop and head.strip() else ""


def _uniform(key: str) -> np.ndarray:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])).random(SENTENCE_TOKENS)
