"""A premise from the shell: plots, best first by the reward model that belongs to the writer, and a plain warning outside Storyworld."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from plottwist.backends.base import Backend
from plottwist.corpora.storyworld import premise_terms
from plottwist.generator import quantise
from plottwist.generator.instruction import checked, plot_messages
from plottwist.generator.model import load
from plottwist.generator.reward import CONFIG, PlotReward
from plottwist.generator.sampling import SamplingConfig, sample, sample_served
from plottwist.generator.tokens import TEMPLATE, ask, load_tokenizer
from plottwist.nqd import NQDS, NQDScores
from plottwist.paths import RESULTS

COMMITTED = RESULTS / "cpu" / "models" / "07_refine_and_explain.studio"  # the fine-tuned writer, which also refines and explains
_TOKENS = 400


@dataclass(frozen=True)
class WrittenPlot:
    """A plot and its five scores by the reward model; None where the writer came without one."""

    plot: str
    scores: NQDScores | None


Rater = Callable[[list[str]], list[NQDScores]]


def write(premise: str, n: int, seed: int, source: str | Path, form: str = "synopsis", rater: Rater | None = None) -> list[WrittenPlot]:
    """n plots by the model in a folder (or of the Hub), best first.

    A writer fine-tuned here is asked with the premise alone, and its plots are scored by the reward model beside it; any other chat
    model is told which form to write, and its plots are scored by ``rater``.

    Raises:
        PlotTwistError: an empty premise, no model there, or an unknown form.
    """
    checked(form)
    disable_progress_bar()  # a second of loading; the shell's stderr is for what goes wrong
    model, tokenizer = quantise.restored(Path(source), partial(load, dtype=torch.float32)).eval(), load_tokenizer(source)
    folder = _reward_folder(Path(source))
    ours = folder is not None or tokenizer.chat_template == TEMPLATE
    config = SamplingConfig(max_tokens=min(_TOKENS, model.config.max_position_embeddings // 2))
    plots = sample(model, tokenizer, [premise], n, seed, config, messages=ask if ours else partial(plot_messages, form=form))[0]
    if folder is not None:
        reward = quantise.restored(folder, PlotReward.from_pretrained)
        return _ranked(plots, lambda texts: [NQDScores(*map(float, s)) for s in reward.score(texts)])
    return _ranked(plots, None if ours else rater)


def write_served(
    premise: str, n: int, seed: int, backend: Backend, form: str = "synopsis", rater: Rater | None = None
) -> list[WrittenPlot]:
    """n plots by a served model, best first by ``rater``; in the order written without one."""
    checked(form)
    plots = sample_served(backend, [premise], n, seed, SamplingConfig(max_tokens=1024), partial(plot_messages, form=form))[0]
    return _ranked(plots, rater)


def _ranked(plots: list[str], rater: Rater | None) -> list[WrittenPlot]:
    if rater is None:
        return [WrittenPlot(plot, None) for plot in plots]
    return sorted((WrittenPlot(p, s) for p, s in zip(plots, rater(plots), strict=True)), key=lambda w: -w.scores.overall)


def warning(premise: str, form: str = "synopsis") -> str:
    """What to tell a person whose premise or form the small writer does not know; "" if it knows both."""
    foreign = sorted(set(re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", premise.lower())) - premise_terms())
    unknown = [*([f"a {form}"] if checked(form) != "synopsis" else []), *foreign[:6]]
    return (
        f"outside what the small writer knows ({', '.join(unknown)}): it writes Storyworld synopses alone; use --model or --api for free English"
        if unknown
        else ""
    )


def as_line(written: WrittenPlot) -> str:
    """Scores of a plot in one line, for people."""
    if written.scores is None:
        return "not scored: this writer came without a reward model"
    return " ".join(f"{name} {getattr(written.scores, name):.1f}" for name in NQDS) + f" | mean {written.scores.overall:.1f}"


def _reward_folder(writer: Path) -> Path | None:
    """Where a writer's reward model lies: beside it in the artifact, or among the committed models."""
    writer = writer.resolve()
    beside = (writer.parent / "reward", writer.with_name(f"{writer.name}_rater"))
    return next((f for f in beside if f != writer and (f / CONFIG).is_file()), None)
