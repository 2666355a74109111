"""Plots from a writer: batched, with a key-value cache, one random stream per premise and sample.

The plot that a premise and a seed give does not depend on the batch: every row draws its own uniform number per token, from a
generator seeded with the seed, the premise and the number of the sample, and takes the token where that number falls in the row's
cumulated distribution. What the batch can still change is the last bit of a logit, which in float32 does not show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from plottwist.backends.base import Backend, Failure, Messages, Sampling
from plottwist.errors import PlotTwistError
from plottwist.generator.tokens import ask, prompt_ids


class SamplingConfig(BaseModel):
    """How a plot is drawn; ``temperature`` 0 takes the likeliest token. Paper of notebook 06: T 1.0, top-k 50, top-p 0.95."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=50, ge=1)
    max_tokens: int = Field(default=400, ge=1)
    batch_size: int = Field(default=128, ge=1)


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    premises: Sequence[str],
    n: int,
    seed: int,
    config: SamplingConfig,
    first: int = 0,
    messages: Callable[[str], Messages] = ask,
) -> list[list[str]]:
    """n plots for each premise, in order: those of numbers ``first`` to ``first + n - 1``.

    Args:
        messages: what a premise is asked with; a writer fine-tuned here is asked with the premise alone.

    Raises:
        PlotTwistError: an empty premise, or one that leaves no room for a plot in the model's context.
    """
    prompts = _prompts(model, tokenizer, premises, messages)
    rows = [(i, k) for i in range(len(premises)) for k in range(first, first + n)]
    rows.sort(key=lambda row: (len(prompts[row[0]]), row))  # like lengths side by side: little padding
    plots: dict[tuple[int, int], str] = {}
    for start in tqdm(range(0, len(rows), config.batch_size), desc="plots", unit="batch", delay=2, disable=None):
        batch = rows[start : start + config.batch_size]
        draws = np.stack([uniform_draws(premises[i], k, seed, config.max_tokens) for i, k in batch])
        ids = continue_prompts(model, [prompts[i] for i, _ in batch], torch.from_numpy(draws), tokenizer, config)
        plots |= zip(batch, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True)
    return [[plots[i, k].strip() for k in range(first, first + n)] for i in range(len(premises))]


def sample_served(
    backend: Backend, premises: Sequence[str], n: int, seed: int, config: SamplingConfig, messages: Callable[[str], Messages] = ask
) -> list[list[str]]:
    """As ``sample``, from a model behind a backend (``backends.api.Api`` for vLLM or a provider); thoughts of the model are left out.

    Args:
        config: its ``top_k`` is not sent: servers that follow OpenAI's schema refuse it.
        messages: what a premise is asked with; a writer fine-tuned here is asked with the premise alone.

    Raises:
        PlotTwistError: a request that the server could not answer.
    """
    plots: list[list[str]] = [[] for _ in premises]
    for k in range(n):
        asked = Sampling(config.temperature, config.top_p, max_tokens=config.max_tokens, seed=(seed * 1009 + k) % 2**31)
        for own, premise, text in zip(plots, premises, backend.complete([messages(p) for p in premises], asked), strict=True):
            if isinstance(text, Failure):
                raise PlotTwistError(f"{backend.name} wrote no plot for the premise '{premise[:60]}': {text.reason}")
            own.append(text.rpartition("</think>")[2].strip())
    return plots


@torch.inference_mode()
def continue_prompts(
    model: PreTrainedModel, prompts: list[list[int]], draws: Tensor, tokenizer: PreTrainedTokenizerBase, config: SamplingConfig
) -> list[list[int]]:
    """Ids that follow each prompt, without the end token; ``draws`` (batch, tokens) are the uniform numbers that decide.

    Rows that have ended leave the batch as soon as they are a quarter of it.
    """
    pad, device = tokenizer.pad_token_id, model.device
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=device)  # (batch, tokens), padded on the left
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    place = (mask.cumsum(1) - 1).clamp(min=0)  # (batch, tokens)
    cache, draws = DynamicCache(), draws.to(device)
    written = torch.full((len(prompts), draws.shape[1]), pad, device=device)
    live = torch.arange(len(prompts), device=device)  # rows still in the batch
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for t in range(draws.shape[1]):
        out = model(input_ids=ids, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = pick(out.logits[:, -1].float(), draws[live, t], config)  # (live,)
        over = ended[live] | (token == tokenizer.eos_token_id)
        written[live, t] = torch.where(over, pad, token)
        ended[live] = over
        if bool(over.all()):
            break
        ids, place = token[:, None], place[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
        if over.sum() * 4 >= len(live):
            kept = (~over).nonzero()[:, 0]
            cache.batch_select_indices(kept)
            live, ids, place, mask = live[kept], ids[kept], place[kept], mask[kept]
    return [[token for token in row if token != pad] for row in written.tolist()]


def pick(logits: Tensor, uniform: Tensor, config: SamplingConfig) -> Tensor:
    """One token per row, (batch,), of logits (batch, vocabulary): the top k, of these the top p, then the draw."""
    if config.temperature == 0:
        return logits.argmax(-1)
    top, index = (logits / config.temperature).topk(min(config.top_k, logits.shape[1]))  # (batch, k), likeliest first
    share = top.double().softmax(-1)
    before = share.cumsum(-1) - share
    cumulated = share.masked_fill(before >= config.top_p, 0).cumsum(-1)
    drawn = torch.searchsorted(cumulated, uniform[:, None].double() * cumulated[:, -1:], right=True)
    return index.gather(1, drawn.clamp(max=top.shape[1] - 1))[:, 0]


def uniform_draws(premise: str, k: int, stream: object, tokens: int) -> NDArray:
    """The numbers (tokens,) in [0, 1) that decide sample ``k`` of a premise; another ``stream`` (a seed) gives others."""
    digest = hashlib.sha256(f"{stream}:{k}:{premise}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8])).random(tokens)


def _prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, premises: Sequence[str], messages: Callable[[str], Messages] = ask
) -> list[list[int]]:
    for number, premise in enumerate(premises, start=1):
        if not any(c.isalnum() for c in premise):
            raise PlotTwistError(f"premise {number} is empty; give a sentence or two: who, where, what they want, what stands in the way")
    prompts = prompt_ids(tokenizer, list(premises), messages)
    context = model.config.max_position_embeddings
    for number, ids in enumerate(prompts, start=1):
        if len(ids) > context // 2:
            raise PlotTwistError(f"premise {number} takes {len(ids)} tokens, over half of the {context} that the writer holds; shorten it")
    return prompts
