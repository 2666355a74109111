"""A transformers chat model in this process: chat template, left-padded batches, one random stream per request.

The answer to a request depends on the request and the sampling alone, not on the batch it came in. Each row draws one
uniform number per token from a generator seeded with the sampling seed and its own prompt, and takes the token where
that number falls in the row's cumulated distribution. What the batch can still change is the last bit of a logit (sums
are taken in another order): in float32 that does not show; in bfloat16 on a GPU it can turn a near tie, and
``batch_size=1`` makes the answers exact there too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from jinja2 import TemplateError
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plottwist.backends.base import Failure, Messages, Sampling, unsendable
from plottwist.errors import PlotTwistError


class Local:
    """The chat model in the folder or Hub repository ``model``; weights in safetensors only, code of the repository never.

    ``Sampling`` is all that decides how an answer is drawn: what the checkpoint recommends (temperature, penalties) is not
    used, only its end tokens are. Templates that know a thinking mode get it switched off.

    Raises:
        PlotTwistError: the model cannot be loaded without foreign code or pickled weights, or has no chat template.
    """

    def __init__(self, model: str | Path, *, device: str | None = None, batch_size: int = 8) -> None:
        self.name = Path(model).resolve().name if Path(model).is_dir() else str(model)
        self._batch_size = batch_size
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left", trust_remote_code=False)
            self._model = AutoModelForCausalLM.from_pretrained(model, use_safetensors=True, trust_remote_code=False, dtype="auto")
        except (OSError, ValueError, KeyError) as error:
            first = " ".join(str(error).split())[:200]
            raise PlotTwistError(
                f"cannot load the model {model}: {first}; it must be a saved transformers model with safetensors weights"
            ) from error
        if not self._tokenizer.chat_template:
            raise PlotTwistError(f"the model {model} has no chat template; use a chat (instruct) model, or save its tokenizer with one")
        self._model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self._ends = _end_tokens(self._model.generation_config.eos_token_id, self._tokenizer.eos_token_id)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = self._ends[0]
        self._model.generation_config = GenerationConfig(eos_token_id=self._ends, pad_token_id=self._tokenizer.pad_token_id)

    def complete(self, requests: Sequence[Messages], sampling: Sampling) -> list[str | Failure]:
        """One answer per request, in order; a request that does not fit the model's context with its answer is a ``Failure``."""
        prompts = [self._prompt(messages, sampling) for messages in requests]
        results: list[str | Failure] = [prompt if isinstance(prompt, Failure) else Failure("not asked") for prompt in prompts]
        fitting = sorted((i for i, prompt in enumerate(prompts) if not isinstance(prompt, Failure)), key=lambda i: len(prompts[i]))
        starts = range(0, len(fitting), self._batch_size)
        for start in tqdm(starts, desc=self.name, unit="batch", delay=2, disable=None):
            batch = fitting[start : start + self._batch_size]
            for index, answer in zip(batch, self._generate([prompts[i] for i in batch], sampling), strict=True):
                results[index] = answer
        return results

    def _prompt(self, messages: Messages, sampling: Sampling) -> list[int] | Failure:
        """The tokens of a request, or why it cannot be asked."""
        if failure := unsendable(messages):
            return failure
        try:
            rendered = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        except TemplateError as error:
            raise PlotTwistError(
                f"the chat template of {self.name} refuses the request ({error}); use a model with a system role"
            ) from error
        tokens = self._tokenizer(rendered, add_special_tokens=False)["input_ids"]  # the template writes the special tokens itself
        context = getattr(self._model.config, "max_position_embeddings", None)
        if context is not None and len(tokens) + sampling.max_tokens > context:
            size = f"{len(tokens)} tokens and {sampling.max_tokens} for the answer"
            return Failure(f"the request has {size}, over the {context} of {self.name}; shorten the text or ask for fewer tokens")
        return tokens

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], sampling: Sampling) -> list[str]:
        padded = self._tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self._model.device)  # (batch, tokens)
        chosen = self._model.generate(
            **padded,
            do_sample=False,
            max_new_tokens=sampling.max_tokens,
            logits_processor=_processors(prompts, sampling),
        )
        answers = chosen[:, padded["input_ids"].shape[1] :]  # (batch, new tokens)
        return self._tokenizer.batch_decode(answers, skip_special_tokens=True)


class _DrawPerRow(LogitsProcessor):
    """Leaves each row one token, drawn from the row's distribution with the row's own generator."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        cumulated = scores.double().softmax(-1).cumsum(-1)  # (batch, vocabulary)
        uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in self._generators])
        drawn = torch.searchsorted(cumulated, uniform.to(scores.device) * cumulated[:, -1:], right=True)  # (batch, 1)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


def _processors(prompts: list[list[int]], sampling: Sampling) -> LogitsProcessorList:
    """Temperature, top-k, top-p (in transformers' own order), then the draw; nothing when greedy."""
    steps = LogitsProcessorList()
    if sampling.temperature == 0:
        return steps
    steps.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k is not None:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    steps.append(_DrawPerRow([_generator(prompt, sampling.seed) for prompt in prompts]))
    return steps


def _generator(prompt: list[int], seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _end_tokens(*sources: int | list[int] | None) -> list[int]:
    """The end tokens of the checkpoint and of its tokenizer, each once."""
    given = [token for source in sources if source is not None for token in (source if isinstance(source, list) else [source])]
    if not given:
        raise PlotTwistError("the model names no end token; set eos_token_id in its generation_config.json")
    return list(dict.fromkeys(given))
