"""What a writer can do without preference training: best-of-n by the reward model, and plan-write-critique with itself as critic.

Both spend the tokens of n plots on one. The pipeline stands for the paradigm of Agents' Room and its kin (PAPERS.md section 1): planner, writer
and critic are the same small model, and its only judgement is how likely it finds a text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plottwist.generator.sampling import SamplingConfig, continue_prompts, uniform_draws
from plottwist.generator.sft import IGNORED, completion_nats
from plottwist.generator.tokens import prompt_ids


def best_of(plots: Sequence[Sequence[str]], rewards: NDArray) -> list[str]:
    """Of each premise's plots the one with the highest reward (premises, n)."""
    return [own[i] for own, i in zip(plots, rewards.argmax(1), strict=True)]


def plan_write_critique(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    premises: Sequence[str],
    n: int,
    seed: int,
    config: SamplingConfig,
    half: int,
) -> list[str]:
    """One plot per premise, for the tokens of n plots.

    Plan: n openings of ``half`` tokens, the critic keeps the one it finds likeliest per token. Write: n endings of it. Critique: the
    likeliest whole plot is kept.
    """
    prompts = prompt_ids(tokenizer, list(premises))
    plans = _drafts(model, tokenizer, premises, prompts, n, (seed, "plan"), config, half)
    openings = _likeliest(model, tokenizer, prompts, plans)
    begun = [p + o for p, o in zip(prompts, openings, strict=True)]
    ends = _drafts(model, tokenizer, premises, begun, n, (seed, "write"), config, config.max_tokens - half)
    wholes = [[o + e for e in own] for o, own in zip(openings, ends, strict=True)]
    return [t.strip() for t in tokenizer.batch_decode(_likeliest(model, tokenizer, prompts, wholes), skip_special_tokens=True)]


def _drafts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    premises: Sequence[str],
    prompts: list[list[int]],
    n: int,
    stream: tuple[int, str],
    config: SamplingConfig,
    tokens: int,
) -> list[list[list[int]]]:
    """n continuations of each prompt of at most ``tokens`` tokens."""
    rows = [(i, k) for i in range(len(prompts)) for k in range(n)]
    found: list[list[int]] = []
    for start in range(0, len(rows), config.batch_size):
        batch = rows[start : start + config.batch_size]
        draws = np.stack([uniform_draws(premises[i], k, stream, tokens) for i, k in batch])
        found += continue_prompts(model, [prompts[i] for i, _ in batch], torch.from_numpy(draws), tokenizer, config)
    return [found[i * n : (i + 1) * n] for i in range(len(prompts))]


def _likeliest(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], drafts: list[list[list[int]]]
) -> list[list[int]]:
    """Of each prompt's drafts the one with the highest mean log-probability per token."""
    rows = [(i, d) for i, own in enumerate(drafts) for d in own]
    scores = np.concatenate([mean_log_probability(model, tokenizer, rows[s : s + 64], prompts) for s in range(0, len(rows), 64)])
    chosen, start = [], 0
    for own in drafts:
        chosen.append(own[int(scores[start : start + len(own)].argmax())])
        start += len(own)
    return chosen


def mean_log_probability(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[int, list[int]]], prompts: list[list[int]]
) -> NDArray:
    """Nats per token (rows,) of continuations given their prompts; ``rows`` are (number of the prompt, ids)."""
    examples = [{"input_ids": prompts[i] + ids, "labels": [IGNORED] * len(prompts[i]) + ids} for i, ids in rows]
    nats, tokens = completion_nats(model, tokenizer, examples)
    return -nats / np.maximum(tokens, 1)
