"""Teacher-forced training, a step of the optimiser for each batch of paragraphs.

Every row of the batch reads a story of its own, paragraph after paragraph, handing its memory (detached) to its next step; a story
that ends makes room for the next one. Rows start one step apart, so that a batch mixes beginnings, middles and endings and is
always full. Everything a run needs to go on is in its checkpoint: killed at any point, it continues the same loss curve.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from plottwist.checkpoints import identity
from plottwist.errors import PlotTwistError
from plottwist.longstory.keywords import rake
from plottwist.longstory.storyteller import Step, Storyteller

_CHECKPOINT = "checkpoint.safetensors"


class TrainingConfig(BaseModel):
    """How a storyteller is trained; steps are steps of the optimiser. The paper: AdamW at 5e-6 on BART-large."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=100, ge=0, description="steps of linear warm-up; then linear decay to 0 at the last step")
    calibrator_rate: float = Field(default=0.2, gt=0, description="the calibrator's learning rate, as a share of the others'")
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluate_every: int = Field(default=200, ge=1, description="steps between validations, each with a checkpoint")
    patience: int = Field(default=5, ge=1, description="validations without improvement before stopping")


@dataclass(frozen=True)
class Story:
    """A training story: its keywords (at least one) and its paragraphs."""

    keywords: tuple[str, ...]
    paragraphs: tuple[str, ...]

    @classmethod
    def of(cls, paragraphs: Sequence[str], model: Storyteller) -> Story:
        """With the RAKE phrases of its own text that fit the model's source. Raises PlotTwistError if there is no phrase."""
        keywords = model.tokenizer.fitting(rake("\n".join(paragraphs)), model.limits.source_tokens)
        if not keywords:
            raise PlotTwistError(f"no keywords in a story that begins '{' '.join(paragraphs)[:40]}'; leave it out or raise source_tokens")
        return cls(keywords, tuple(paragraphs))


@dataclass
class History:
    """Loss a token of each step; (step, validation loss) of each validation."""

    train: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> tuple[int, float]:
        """The validation with the least loss, the first of equals."""
        return min(self.validation, key=lambda v: v[1])

    def exhausted(self, patience: int) -> bool:
        """Whether the best validation is ``patience`` validations ago."""
        return bool(self.validation) and len(self.validation) - 1 - self.validation.index(self.best) >= patience


def train(
    model: Storyteller, stories: Sequence[Story], validation: Sequence[Story], config: TrainingConfig, seed: int, folder: Path
) -> History:
    """Train in place; the model ends with the weights of its best validation.

    Args:
        folder: takes the checkpoint; if it holds one of the same run, training goes on from there; that of another run is removed.

    Raises:
        PlotTwistError: no stories, or a file in the checkpoint's place that is none.
    """
    if not stories or not validation:
        raise PlotTwistError("no stories to train or to validate on; give at least one of each")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        run = _Run(model, stories, config, seed, _identity(model, config, seed, [*stories, *validation]))
        run.resume(folder)
        bar = tqdm(total=config.steps, initial=run.step, desc="longstory", disable=not sys.stderr.isatty())
        while run.step < config.steps and not run.history.exhausted(config.patience):
            run.advance()
            bar.update()
            if run.step % config.evaluate_every == 0 or run.step == config.steps:
                run.validate(validation_loss(model, validation, config.batch_size))
                run.save(folder)
    run.use_best()
    model.eval()
    return run.history


@torch.inference_mode()
def validation_loss(model: Storyteller, stories: Sequence[Story], batch_size: int) -> float:
    """Negative log likelihood a token, over all paragraphs."""
    losses, tokens = zip(*(pair for story in paragraph_losses(model, stories, batch_size) for pair in story), strict=True)
    return sum(losses) / sum(tokens)


@torch.inference_mode()
def paragraph_losses(model: Storyteller, stories: Sequence[Story], batch_size: int) -> list[list[tuple[float, int]]]:
    """(negative log likelihood, tokens) of every paragraph of every story, each read after its own true past."""
    model.eval()
    found: list[list[tuple[float, int]]] = [[] for _ in stories]
    order = sorted(range(len(stories)), key=lambda i: -len(stories[i].paragraphs))  # alike lengths side by side
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        memory = model.first_memory([stories[i].keywords for i in rows])
        for position in range(len(stories[rows[0]].paragraphs)):
            rows = [i for i in rows if position < len(stories[i].paragraphs)]
            places = [(stories[i], position) for i in rows]
            nll, tokens, memory = model.losses(steps_at(model, places), memory[: len(rows)], [s.paragraphs[p] for s, p in places])
            for i, pair in zip(rows, zip(nll.tolist(), tokens.tolist(), strict=True), strict=True):
                found[i].append(pair)
    return found


class _Run:
    """The state of a training run: model, optimiser, history, and where each row is reading."""

    def __init__(self, model: Storyteller, stories: Sequence[Story], config: TrainingConfig, seed: int, identity: str) -> None:
        self.model, self.stories, self.config, self.seed, self.identity = model, stories, config, seed, identity
        self.optimiser = torch.optim.AdamW(_groups(model, config), weight_decay=config.weight_decay, fused=True)
        self.history = History()
        self.taken = 0  # stories taken from the endless shuffled line
        self.rows: list[list[int]] = []  # [story, position] of each row
        self.memory = model.first_memory([]).detach()
        self.best: dict[str, Tensor] = {}

    @property
    def step(self) -> int:
        return len(self.history.train)

    def advance(self) -> None:
        """One step of the optimiser."""
        if len(self.rows) < self.config.batch_size:
            self._take(len(self.rows))
        places = [(self.stories[s], p) for s, p in self.rows]
        self.model.train()
        nll, tokens, memory = self.model.losses(steps_at(self.model, places), self.memory, [s.paragraphs[p] for s, p in places])
        loss = nll.sum() / tokens.sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * _schedule(self.step, self.config)
        self.optimiser.step()
        self.history.train.append(float(loss.detach()))
        self.memory = memory.detach()
        for row, place in enumerate(self.rows):
            place[1] += 1
            if place[1] == len(self.stories[place[0]].paragraphs):
                self._take(row)

    def _take(self, row: int) -> None:
        """Give a row (or a new one at the end) the next story of the line, and that story's first memory."""
        lap, place = divmod(self.taken, len(self.stories))
        story = int(np.random.default_rng((self.seed, lap)).permutation(len(self.stories))[place])
        self.taken += 1
        first = self.model.first_memory([self.stories[story].keywords]).detach()
        self.rows[row : row + 1] = [[story, 0]]
        self.memory = torch.cat([self.memory[:row], first, self.memory[row + 1 :]])

    def validate(self, loss: float) -> None:
        """Record a validation loss, and keep the weights if they are the best so far."""
        self.history.validation.append((self.step, loss))
        if self.history.best[0] == self.step:
            self.best = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}

    def use_best(self) -> None:
        _load(self.model, self.best)

    def save(self, folder: Path) -> None:
        """The checkpoint, one file, whole or not at all."""
        tensors = {
            **{f"model/{name}": weight.detach() for name, weight in self.model.named_parameters()},
            **{f"best/{name}": weight for name, weight in self.best.items()},
            **{f"optimiser/{i}/{name}": v for i, values in self.optimiser.state_dict()["state"].items() for name, v in values.items()},
            **{f"random/{device}": state for device, state in _random_states().items()},
            "memory/rows": self.memory,
        }
        state = {"run": self.identity, "history": asdict(self.history), "taken": self.taken, "rows": self.rows}
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{_CHECKPOINT}.tmp"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, fresh, {"state": json.dumps(state)})
        fresh.replace(folder / _CHECKPOINT)

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint in ``folder``, if there is one of this run."""
        path = folder / _CHECKPOINT
        if not path.is_file():
            return
        state, tensors = _read(path)
        if state["run"] != self.identity:
            path.unlink()
            return
        _load(self.model, tensors["model"])
        self.best, self.memory = tensors["best"], tensors["memory"]["rows"].to(self.model.device)
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors["optimiser"].items():
            i, name = key.split("/")
            slots.setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
        _set_random_states(tensors["random"])
        self.history = History(state["history"]["train"], [tuple(v) for v in state["history"]["validation"]])
        self.taken, self.rows = state["taken"], state["rows"]


def steps_at(model: Storyteller, places: Sequence[tuple[Story, int]]) -> list[Step]:
    return [Step.at(s.keywords, p, len(s.paragraphs), s.paragraphs[max(0, p - model.reads) : p]) for s, p in places]


def _groups(model: Storyteller, config: TrainingConfig) -> list[dict[str, Any]]:
    """Parameters by their peak learning rate. At the full one, the calibrator's sigmoid soon saturates and listens to one context for good."""
    peaks = {False: config.learning_rate, True: config.learning_rate * config.calibrator_rate}
    named = [(name.startswith("calibrator."), weight) for name, weight in model.named_parameters()]
    groups = [{"params": [w for slow, w in named if slow == which], "peak": peak} for which, peak in peaks.items()]
    return [group for group in groups if group["params"]]


def _schedule(step: int, config: TrainingConfig) -> float:
    """The share of the learning rate at a step counted from 0."""
    return min((step + 1) / (config.warmup + 1), (config.steps - step) / max(1, config.steps - config.warmup))


def _identity(model: Storyteller, config: TrainingConfig, seed: int, stories: Sequence[Story]) -> str:
    return identity(__package__, model, type(model).__name__, model.limits.model_dump(), config.model_dump(), seed, list(stories))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """A checkpoint's plain state, and its tensors by what they belong to."""
    try:
        with safe_open(path, "pt") as stream:
            state = json.loads(stream.metadata()["state"])
            groups: dict[str, dict[str, Tensor]] = {}
            for key in stream.keys():  # noqa: SIM118  (not a dict)
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = stream.get_tensor(key)
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise PlotTwistError(f"{path} is not a checkpoint of this package; delete it and train again") from error
    return state, groups


@torch.no_grad()
def _load(model: Storyteller, weights: dict[str, Tensor]) -> None:
    for name, weight in model.named_parameters():
        weight.copy_(weights[name])


def _random_states() -> dict[str, Tensor]:
    """Dropout draws from the generator of its device."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def _set_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
