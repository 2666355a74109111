"""What notebook 04 compares: LongStory, its variants and its rivals, built, trained alike and set to write the same stories.

Every model gets as many steps on as many paragraphs; hyper-parameters were chosen by validation loss; tone and decoding by
looking at decoded stories (notebook 04 says which).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from plottwist.errors import PlotTwistError
from plottwist.longstory import building, data
from plottwist.longstory.building import Size
from plottwist.longstory.contexts import Parts
from plottwist.longstory.data import StorySet
from plottwist.longstory.generation import Decoding, Paragraph, begin, tell_many
from plottwist.longstory.model import LongStory
from plottwist.longstory.plain import HistoryParts
from plottwist.longstory.plotmachines import PlotParts
from plottwist.longstory.storyteller import Storyteller
from plottwist.longstory.tokens import StoryTokenizer, train_tokenizer
from plottwist.longstory.training import History, Story, TrainingConfig, paragraph_losses, steps_at, train
from plottwist.profiles import Profile


@dataclass(frozen=True)
class Variant:
    """A model of the grid: its kind, what differs from the default parts, and the set it is trained on (None: the mix of all)."""

    kind: str = "LongStory"
    parts: tuple[tuple[str, object], ...] = ()
    trained_on: str | None = None


def _longstory(**parts: object) -> Variant:
    return Variant(parts=tuple(parts.items()))


RIVALS = {
    "PlotMachines": Variant("PlotMachines"),
    "plain decoder": Variant("PlainDecoder", (("discourse", False),)),
    "plain encoder-decoder": Variant("PlainEncoderDecoder", (("discourse", False),)),
}
HEADLINE = {"LongStory": Variant(), **RIVALS}
ABLATIONS = {
    "no memory": _longstory(memory=False),
    "no cheating": _longstory(cheating=0),
    "no order tokens": _longstory(discourse=False),
}
FURTHER = {
    "neither context": _longstory(memory=False, cheating=0),
    **{f"memory fixed at {w}": _longstory(weighting="fixed", memory_weight=w) for w in (0.1, 0.2, 0.3, 0.4)},
    "learnable alpha": _longstory(weighting="learnable alpha"),
    "c = 2": _longstory(cheating=2),
    "c = 3": _longstory(cheating=3),
    "plain encoder-decoder, order tokens": Variant("PlainEncoderDecoder"),
}


def grid(name: str, sets: Sequence[StorySet]) -> dict[str, Variant]:
    """The models of a grid: ``short`` has the headline, the ablations of the claims and a model per set, ``full`` every variant too.

    Raises:
        PlotTwistError: no such grid.
    """
    if name not in ("short", "full"):
        raise PlotTwistError(f"no grid '{name}'; use short or full")
    own = {f"trained on {s.name}": Variant(trained_on=s.name) for s in sets}
    return HEADLINE | ABLATIONS | (FURTHER if name == "full" else {}) | own


def tokenizer(profile: Profile) -> StoryTokenizer:
    """Learnt from the training stories of all sets: the same for every model and seed without a backbone."""
    return _tokenizer(data.load(profile), profile.longstory.vocabulary)


def build(variant: Variant, profile: Profile, seed: int) -> Storyteller:
    """The variant with fresh weights; in a profile with backbones, with pretrained ones."""
    settings = profile.longstory
    limits = {"source_tokens": settings.source_tokens, "paragraph_tokens": settings.paragraph_tokens, **dict(variant.parts)}
    parts = {
        "LongStory": Parts,
        "PlotMachines": lambda **kw: PlotParts(**kw, state_slots=settings.state_slots),
        "PlainDecoder": lambda **kw: HistoryParts(**kw, history_tokens=settings.history_tokens),
        "PlainEncoderDecoder": lambda **kw: HistoryParts(**kw, history_tokens=settings.history_tokens),
    }[variant.kind](**limits)
    if settings.backbone:
        weights = settings.decoder_backbone if variant.kind in ("PlotMachines", "PlainDecoder") else settings.backbone
        return building.pretrained(variant.kind, weights, settings.calibrator_backbone, parts, seed).to(profile.device)
    make = {
        "LongStory": building.long_story,
        "PlotMachines": building.plot_machines,
        "PlainDecoder": building.plain_decoder,
        "PlainEncoderDecoder": building.plain_encoder_decoder,
    }[variant.kind]
    size = Size(
        width=settings.width,
        layers=settings.layers,
        heads=settings.width // 32,
        dropout=settings.dropout,
        calibrator_width=settings.width // 2,
    )
    return make(tokenizer(profile), parts, size, seed).to(profile.device)


def fit(variant: Variant, profile: Profile, seed: int, folder: Path) -> tuple[Storyteller, History]:
    """Train a variant; ``folder`` takes the checkpoint, and a killed run goes on from it."""
    model = build(variant, profile, seed)
    chosen = [s for s in data.load(profile) if variant.trained_on in (None, s.name)]
    stories, validation = (stories_of(model, data.total(chosen, share)) for share in ("train", "validation"))
    return model, train(model, stories, validation, _training(profile), seed, folder)


def trained(name: str, variant: Variant, profile: Profile, seed: int, folder: Path) -> Storyteller:
    """The variant, trained; its checkpoint in ``folder`` is gone on with."""
    return fit(variant, profile, seed, folder / f"{slug(name)}-seed{seed}")[0]


def slug(name: str) -> str:
    """A model's name as part of a metric's."""
    return re.sub(r"[^a-z0-9.]+", "_", name.lower())


def for_cost(profile: Profile, paragraphs: int) -> dict[str, Storyteller]:
    """LongStory and a rereading encoder-decoder of its size whose window holds so many paragraphs, with fresh weights."""
    settings = profile.longstory
    limits = {"source_tokens": settings.source_tokens, "paragraph_tokens": settings.paragraph_tokens}
    history = paragraphs * settings.paragraph_tokens
    size = Size(width=settings.width, layers=settings.layers, heads=settings.width // 32, positions=history + settings.source_tokens + 8)
    vocabulary = tokenizer(profile)
    return {
        "LongStory": building.long_story(vocabulary, Parts(**limits), size, 0),
        "rereading": building.plain_encoder_decoder(vocabulary, HistoryParts(**limits, history_tokens=history), size, 0),
    }


@cache
def _tokenizer(sets: tuple[StorySet, ...], size: int) -> StoryTokenizer:
    return train_tokenizer((p for s in data.total(sets, "train") for p in s), size)


def _training(profile: Profile) -> TrainingConfig:
    settings = profile.longstory
    return TrainingConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup=settings.warmup,
        evaluate_every=settings.evaluate_every,
    )


def stories_of(model: Storyteller, told: Sequence[tuple[str, ...]]) -> list[Story]:
    """Stories with their RAKE phrases as keywords."""
    return [Story.of(paragraphs, model) for paragraphs in told]


@dataclass(frozen=True)
class WrittenStory:
    """A story as a model wrote it: what was asked for, and each paragraph."""

    keywords: tuple[str, ...]
    asked: int
    paragraphs: tuple[Paragraph, ...]


def decoding(profile: Profile) -> Decoding:
    """How paragraphs are sampled. The paper's repetition penalty of 1.4 suits BART-large; a small model, whose tokens are the few words
    that any sentence needs, writes no sentence under it."""
    settings = profile.longstory
    return Decoding(top_p=settings.top_p, no_repeat=settings.no_repeat, repetition_penalty=settings.repetition_penalty)


def write_stories(
    model: Storyteller, asked: Sequence[tuple[tuple[str, ...], int]], seed: int, how: Decoding, batch_size: int = 48
) -> list[WrittenStory]:
    """A story for each (keywords, paragraphs), written side by side; the i-th story has the random numbers of (seed, i) in any model."""
    written: list[WrittenStory] = []
    for start in range(0, len(asked), batch_size):
        rows = asked[start : start + batch_size]
        tellings = [begin(model, keywords, n, seed * 1_000_000 + start + i) for i, (keywords, n) in enumerate(rows)]
        made: dict[int, list[Paragraph]] = {t.seed: [] for t in tellings}
        for after in tell_many(model, tellings, how):
            for telling in after:
                made[telling.seed].append(telling.last)
        written += [WrittenStory(t.keywords, t.paragraphs, tuple(made[t.seed])) for t in tellings]
    return written


def at_weights(model: LongStory, alpha: float, beta: float, gamma: float) -> LongStory:
    """A copy that fuses its contexts with these weights, whatever its calibrator would say."""
    other, fixed = deepcopy(model), torch.tensor([alpha, beta, gamma], device=model.device, dtype=model.dtype)
    other.weights = lambda steps: fixed.expand(len(steps), 3)
    return other


@torch.inference_mode()
def calibrator_spread(model: LongStory, stories: Sequence[Story]) -> float:
    """How far the first output B_t of the calibrator's BERT differs over the paragraphs of stories, as a share of its size; 0: not at all."""
    model.eval()
    steps = steps_at(model, [(story, t) for story in stories for t in range(1, len(story.paragraphs))])
    ids, mask = model.calibrator_input(steps)
    b = model.calibrator.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]  # (paragraphs, d)
    return float(b.std(0).norm() / b.norm(dim=1).mean())


def losses_by_third(model: Storyteller, stories: Sequence[Story]) -> pd.DataFrame:
    """How well the model foretells each third of each story, read after its true past; the first paragraph, which has none, is left out.

    Returns:
        columns ``story`` (its place), ``part`` (first third, middle third, last third), ``nll`` (nats), ``tokens``.
    """
    rows = [
        {"story": i, "part": part_of(t, len(found)), "nll": nll, "tokens": tokens}
        for i, found in enumerate(paragraph_losses(model, stories, 16))
        for t, (nll, tokens) in enumerate(found)
        if t
    ]
    return pd.DataFrame(rows).groupby(["story", "part"], as_index=False).sum()


def part_of(paragraph: int, paragraphs: int) -> str:
    """The third of the story that a paragraph, counted from 0, is in."""
    return ("first third", "middle third", "last third")[3 * paragraph // paragraphs]


def make_artifact(profile: Profile, seed: int, folder: Path) -> None:
    """LongStory on all sets, as an artifact of the DAG."""
    model, _ = fit(HEADLINE["LongStory"], profile, seed, folder / "checkpoint")
    model.save(folder)
