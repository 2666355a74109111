"""A premise from the shell: plots, best first by the reward model that belongs to the writer, and a plain warning outside Storyworld."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from plottwist.backends.base import Backend
from plottwist.corpora.storyworld import premise_terms
from plottwist.generator import quantise
from plottwist.generator.instruction import plot_messages
from plottwist.generator.model import load
from plottwist.generator.reward import CONFIG, PlotReward
from plottwist.generator.sampling import SamplingConfig, sample, sample_served
from plottwist.generator.tokens import load_tokenizer
from plottwist.nqd import NQDS, NQDScores
from plottwist.paths import RESULTS

COMMITTED = RESULTS / "cpu" / "models" / "07_refine_and_explain.studio"  # the fine-tuned writer, which also refines and explains
_TOKENS = 400


@dataclass(frozen=True)
class WrittenPlot:
    """A plot and its five scores by the reward model; None where the writer came without one."""

    plot: str
    scores: NQDScores | None


def write(premise: str, n: int, seed: int, source: str | Path) -> list[WrittenPlot]:
    """n plots by the writer in a folder (or of the Hub), best first.

    Raises:
        PlotTwistError: an empty premise, or no writer there.
    """
    disable_progress_bar()  # a second of loading; the shell's stderr is for what goes wrong
    model, tokenizer = quantise.restored(Path(source), partial(load, dtype=torch.float32)).eval(), load_tokenizer(source)
    plots = sample(
        model, tokenizer, [premise], n, seed, SamplingConfig(max_tokens=min(_TOKENS, model.config.max_position_embeddings // 2))
    )[0]
    folder = _reward_folder(Path(source))
    if folder is None:
        return [WrittenPlot(plot, None) for plot in plots]
    reward = quantise.restored(folder, PlotReward.from_pretrained)
    found = [WrittenPlot(p, NQDScores(*map(float, s))) for p, s in zip(plots, reward.score(plots), strict=True)]
    return sorted(found, key=lambda w: -w.scores.overall)


def write_served(premise: str, n: int, seed: int, backend: Backend) -> list[WrittenPlot]:
    """n plots by a served model, which brings no reward model of plots."""
    config = SamplingConfig(max_tokens=1024)
    return [WrittenPlot(plot, None) for plot in sample_served(backend, [premise], n, seed, config, plot_messages)[0]]


def warning(premise: str) -> str:
    """What to tell a person whose premise holds words that Storyworld does not know; "" if it holds none."""
    foreign = sorted(set(re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", premise.lower())) - premise_terms())
    named = ", ".join(foreign[:6])
    return (
        f"outside what the small writer knows ({named}): it writes Storyworld plots alone; use --model or --api for free English"
        if foreign
        else ""
    )


def as_line(written: WrittenPlot) -> str:
    """Scores of a plot in one line, for people."""
    if written.scores is None:
        return "not scored: this writer came without a reward model"
    return " ".join(f"{name} {getattr(written.scores, name):.1f}" for name in NQDS) + f" | mean {written.scores.overall:.1f}"


def _reward_folder(writer: Path) -> Path | None:
    """Where a writer's reward model lies: beside it in the artifact, or among the committed models."""
    beside = (writer.parent / "reward", writer.with_name(f"{writer.name}_rater"))
    return next((f for f in beside if f != writer and (f / CONFIG).is_file()), None)
