"""What a profile costs at its size, computed from its settings before anybody rents a machine: tokens, GPU-hours, memory.

Arithmetic of Kaplan et al. (2020): a token costs 2 FLOPs per active parameter forward and 4 backward; with LoRA only 2 backward, for
frozen weights need no gradient of their own. A text counts as half of the model's context. What a machine makes of it is an
assumption, stated with every table: the share of its peak reached in training and, far lower, in sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from plottwist.errors import PlotTwistError
from plottwist.profiles import Profile

PEAK, LEARNING, SAMPLING = 989e12, 0.35, 0.05  # FLOP/s of an H100 in bfloat16; assumed shares of it
_ADAPTED = 0.02  # LoRA's parameters as a share of the model's, generously
# (total, active) parameters as the models' names and cards give them; a model that is not here is refused, not guessed.
_KNOWN = {
    "Qwen/Qwen3-30B-A3B": (30.5e9, 3.3e9),
    "Qwen/Qwen3-4B": (4.0e9, 4.0e9),
    "Qwen/Qwen3-1.7B": (1.7e9, 1.7e9),
    "Qwen/Qwen3-0.6B": (0.6e9, 0.6e9),
    "facebook/bart-large": (406e6, 406e6),
    "facebook/bart-base": (139e6, 139e6),
}


@dataclass(frozen=True)
class Stage:
    """One part of an experiment: ``learned`` tokens pass forward and backward, ``read`` tokens forward in bulk, ``written`` one by one."""

    notebook: str
    stage: str
    total: float
    active: float
    lora: bool = False
    learned: float = 0
    read: float = 0
    written: float = 0

    @property
    def flops(self) -> tuple[float, float]:
        """(learning and reading, writing)"""
        return (4 if self.lora else 6) * self.active * self.learned + 2 * self.active * self.read, 2 * self.active * self.written

    @property
    def memory(self) -> float:
        """Bytes of weights, gradients and AdamW's state (bfloat16 weights, 16 bytes per trained parameter); activations come on top."""
        trained = 0 if not self.learned else self.total * (_ADAPTED if self.lora else 1)
        return 2 * self.total + 16 * trained

    def row(self, peak: float) -> dict[str, object]:
        bulk, writing = self.flops
        return {
            "notebook": self.notebook,
            "stage": self.stage,
            "parameters": self.total,
            "tokens learned": self.learned,
            "tokens read": self.read,
            "tokens written": self.written,
            "FLOPs": bulk + writing,
            "GPU-hours": (bulk / LEARNING + writing / SAMPLING) / peak / 3600,
            "memory (GB)": self.memory / 1e9,
        }


def table(profile: Profile, peak: float = PEAK) -> pd.DataFrame:
    """One row per stage. ``peak``: FLOP/s of one device; hours are those of one device, however many share them.

    Raises:
        PlotTwistError: the profile names a model whose size is not known here.
    """
    return pd.DataFrame([stage.row(peak) for stage in [*_reward(profile), *_generator(profile), *_diverse(profile), *_longstory(profile)]])


def _size(model: str) -> tuple[float, float]:
    if model not in _KNOWN:
        raise PlotTwistError(f"the size of '{model}' is not known to plottwist/cost.py; add it there, from its model card")
    return _KNOWN[model]


def _reward(profile: Profile) -> list[Stage]:
    from plottwist.corpora import shipped

    settings = profile.reward
    if not settings.backbone:
        return []  # minutes on a CPU: MiniLM and a small head
    plots = len(shipped.plots())
    tokens = plots * 400.0  # shipped plots have about 250 words
    return [
        Stage(
            "01",
            "reward model",
            *_size(settings.backbone),
            lora=bool(settings.lora_rank),
            learned=tokens * settings.backbone_epochs,
            read=tokens,
        )
    ]


def _writer(profile: Profile) -> tuple[float, float, bool]:
    """(total, active, with LoRA) of the writer: known, or counted on a model without memory."""
    settings = profile.generator
    if settings.base:
        return (*_size(settings.base), bool(settings.lora_rank))
    import torch

    from plottwist.generator import model
    from plottwist.generator.tokens import train_tokenizer

    tokenizer = train_tokenizer(["a"], settings.vocabulary)
    with torch.device("meta"):
        active, total = model.parameter_counts(model.build(settings, tokenizer, seed=0))
    missing = settings.width * (settings.vocabulary - len(tokenizer))  # a tokenizer of one letter learns no merges
    return total + missing, active + missing, False


def _generator(profile: Profile) -> list[Stage]:
    settings, (total, active, lora) = profile.generator, _writer(profile)
    text = settings.context / 2
    rounds = max(settings.rounds, settings.pushed)
    pool = settings.pool_premises * settings.samples * rounds
    pairs = settings.pairs * settings.preference_epochs * rounds
    return [  # the reward model of plots is not among them: minutes on a CPU
        Stage("02", "fine-tuning on plots", total, active, lora, learned=settings.examples * text),
        Stage("02", "sampling and scoring the pool", total, active, read=pool * text, written=pool * text),
        Stage("02", "DPO", total, active, lora, learned=2 * pairs * text, read=2 * pairs * text),
        Stage("02", "held-out plots of four systems", total, active, written=(3 + settings.samples) * settings.test_premises * text),
    ]


def _diverse(profile: Profile) -> list[Stage]:
    from plottwist.generator import diverse

    settings, (total, active, lora) = profile.diverse, _writer(profile)
    text = profile.generator.context / 2
    methods = len(diverse.methods(settings))
    learned = 2 * methods * settings.pairs * settings.epochs * text
    missing = max(0, max(settings.responses, default=0) - profile.generator.samples)  # responses that the writer's pool lacks
    written = ((methods + 1) * settings.premises * settings.written + profile.generator.pool_premises * missing) * text
    return [Stage("06", f"{methods} methods", total, active, lora, learned=learned, read=learned, written=written)]


def _longstory(profile: Profile) -> list[Stage]:
    settings = profile.longstory
    if settings.backbone:
        total = 1.25 * _size(settings.backbone)[0]  # two more attention modules in every encoder layer
    else:
        total = settings.vocabulary * settings.width + settings.layers * 40.0 * settings.width**2
    text = settings.paragraph_tokens + settings.source_tokens
    learned = settings.steps * settings.batch_size * text
    return [Stage("04", "one model of the grid", total, total, learned=learned, written=settings.test * 10 * text)]
