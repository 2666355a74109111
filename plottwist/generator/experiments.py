"""What notebooks 02, 06 and 07 share: the writer with its reward model and its scored pool of plots, made once as an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plottwist import files, reproducible, stats
from plottwist.checkpoints import body
from plottwist.corpora import storyworld
from plottwist.generator import pairs, preference
from plottwist.generator.model import build, load
from plottwist.generator.rater import damaged, fitted
from plottwist.generator.reward import PlotReward, fit_reward, overall
from plottwist.generator.sampling import SamplingConfig, sample
from plottwist.generator.sft import SftConfig, completion_nats, encode, finetune, storyworld_examples
from plottwist.generator.tokens import load_tokenizer, train_tokenizer
from plottwist.nqd import NQDS
from plottwist.profiles import Generator, Profile

_RATED, _POOL = 500, 501  # which stories: far from those of fine-tuning, whatever the seed
_DAMAGED = 4  # one plot in so many is shown to the rater damaged
_SEEN = 400  # test stories that were judged while settings were still changing: no recorded number comes from them again


@dataclass(frozen=True)
class Pool:
    """Samples of a writer: ``plots`` (premises x n) and the reward model's ``scores``, (premises, n, 5), standard units."""

    premises: list[str]
    plots: list[list[str]]
    scores: NDArray

    @property
    def rewards(self) -> NDArray:
        """One reward per plot, (premises, n)."""
        return overall(self.scores)

    def head(self, premises: int, n: int | None = None) -> Pool:
        """The first premises, and the first n plots of each."""
        return Pool(self.premises[:premises], [p[:n] for p in self.plots[:premises]], self.scores[:premises, :n])


@dataclass(frozen=True)
class Writer:
    """The fine-tuned model, what rates its plots, and a scored pool of them on training premises."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    reward: PlotReward
    pool: Pool
    log: pd.DataFrame


def make_artifact(profile: Profile, seed: int, folder: Path) -> None:
    """Tokenizer and model (``model/``), reward model (``reward/``), scored samples (``pool.jsonl``), losses (``sft.csv``)."""
    settings = profile.generator
    examples = storyworld_examples(settings.examples, "train", seed)
    if settings.base:
        tokenizer, model = load_tokenizer(settings.base), load(settings.base, settings.lora_rank)
    else:
        tokenizer = train_tokenizer([t for row in examples for t in (row["premise"], row["plot"])], settings.vocabulary)
        model = build(settings, tokenizer, seed)
    model, log = train_sft(model, tokenizer, examples, profile, seed, folder / "checkpoints" / "sft")
    if not reproducible.first_process():  # `accelerate launch` started several, for the training
        return
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    files.write_text(folder / "sft.csv", log.to_csv(index=False))
    reward = train_reward(settings, seed)
    reward.save_pretrained(folder / "reward")
    premises = storyworld_examples(settings.pool_premises, "train", _POOL + seed)["premise"]
    _write_pool(folder, draw_pool(model.to(_device()), tokenizer, reward, list(premises), settings, seed))


def load_writer(folder: str | Path) -> Writer:
    """The artifact ``writer``. Raises PlotTwistError if the folder does not hold one."""
    folder = Path(folder)
    pool = _read_pool(folder)
    log = pd.read_csv(folder / "sft.csv")
    return Writer(
        load(folder / "model").to(_device()).eval(),
        load_tokenizer(folder / "model"),
        PlotReward.from_pretrained(folder / "reward"),
        pool,
        log,
    )


def train_sft(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Dataset, profile: Profile, seed: int, folder: Path
) -> tuple[PreTrainedModel, pd.DataFrame]:
    """Fine-tune as the profile says; the log has columns ``step, loss, eval_loss`` (nats per token)."""
    settings = profile.generator
    held_out = storyworld_examples(max(16, settings.test_premises // 2), "validation", seed)
    model, history = finetune(model, tokenizer, examples, held_out, sft_config(profile), seed, folder)
    return model, pd.DataFrame(history).reindex(columns=["step", "loss", "eval_loss"])


def sft_config(profile: Profile) -> SftConfig:
    """Fine-tuning as the profile says."""
    settings = profile.generator
    return SftConfig(batch_size=settings.batch_size, learning_rate=settings.learning_rate, bf16=settings.bf16, cpu=profile.device == "cpu")


def train_reward(settings: Generator, seed: int) -> PlotReward:
    """The reward model: PN ratings of the simulated rater on plots of training premises, levels uniform, one plot in four damaged."""
    rated = storyworld_examples(settings.rated, "train", _RATED + seed)
    rng = Random(seed)
    plots, whole = zip(*((plot, 1.0) if i % _DAMAGED else damaged(plot, rng) for i, plot in enumerate(rated["plot"])), strict=True)
    levels = np.column_stack([rated[f"level_{n}"] for n in NQDS]) * np.array(whole)[:, None]
    ratings = fitted().rate(plots, levels, seed)["pn"]
    return fit_reward(plots, ratings, settings.reward_epochs, settings.reward_rate, seed)


def draw_pool(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    reward: PlotReward,
    premises: Sequence[str],
    settings: Generator,
    seed: int,
    n: int | None = None,
    first: int = 0,
) -> Pool:
    """``n`` plots per premise (the profile's ``samples`` if left out) from number ``first`` on, scored."""
    plots = sample(model, tokenizer, premises, n or settings.samples, seed, sampling_config(settings), first)
    scores = reward.standard([p for own in plots for p in own])
    return Pool(list(premises), plots, scores.reshape(len(premises), -1, len(NQDS)))


def good_story_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int) -> stats.Estimate:
    """Nats a token on n validation stories that are strong on everything: what no reward model can flatter."""
    rows = encode(tokenizer, storyworld_examples(n, "validation", 0, storyworld.Levels()), model.config.max_position_embeddings)
    nats, tokens = completion_nats(model, tokenizer, rows)
    return stats.estimate(lambda a, b: float(a.sum() / b.sum()), nats, tokens)


def sampling_config(settings: Generator) -> SamplingConfig:
    return SamplingConfig(temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.context * 3 // 4)


def preference_config(settings: Generator, **changes: object) -> preference.PreferenceConfig:
    """DPO as the profile says; ``changes`` are what an ablation sets otherwise."""
    given = {
        "beta": settings.beta,
        "learning_rate": settings.preference_rate,
        "epochs": settings.preference_epochs,
        "batch_size": settings.preference_batch,
    }
    return preference.PreferenceConfig(**given | changes)


def align(writer: Writer, settings: Generator, seed: int, folder: Path, rounds: int) -> list[PreTrainedModel]:
    """The writer after each of so many rounds of DPO on high-confidence pairs.

    Round one learns from the writer's own pool. Every further round draws new plots from the model of the last one, on new premises,
    and takes that model as its reference.
    """
    model, pool, models = writer.model, writer.pool, []
    for number in range(rounds):
        if number:
            premises = storyworld_examples(settings.pool_premises, "train", _POOL + 1000 * number + seed)["premise"]
            pool = draw_pool(model, writer.tokenizer, writer.reward, list(premises), settings, seed + number)
        chosen = pairs.select(pool.premises, pool.plots, pool.rewards, "margin", settings.quantile, seed, settings.pairs)
        model = preference.train(model, writer.tokenizer, chosen, preference_config(settings), seed, folder / f"round{number + 1}")
        models.append(model)
    return models


def _device() -> str:
    """Where a loaded model goes: a profile on the CPU sees no GPU (``reproducible.environment``)."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _write_pool(folder: Path, pool: Pool) -> None:
    rows = [
        {"premise": p, "plots": own, "scores": s.tolist()}
        for p, own, s in zip(pool.premises, pool.plots, pool.scores.round(5), strict=True)
    ]
    files.write_jsonl(folder / "pool.jsonl", rows)


def _read_pool(folder: Path) -> Pool:
    rows = list(files.read_jsonl(folder / "pool.jsonl"))
    return Pool([r["premise"] for r in rows], [r["plots"] for r in rows], np.array([r["scores"] for r in rows]))


def held_out(n: int, levels: storyworld.Levels | None = None) -> Dataset:
    """n stories of the test split (uniform levels if left out): the same for every seed and every writer, and read by no earlier version."""
    return storyworld_examples(_SEEN + n, "test", 0, levels).select(range(_SEEN, _SEEN + n))


def held_out_premises(n: int) -> list[str]:
    """Their premises."""
    return list(held_out(n)["premise"])


@torch.inference_mode()
def expert_load(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, plots: Sequence[str]) -> pd.DataFrame:
    """Share of the router's choices that fall on each expert, per layer, while the model reads plots: ``layer, expert, share``.

    A dense model has none: the table is empty.
    """
    if not getattr(model.config, "num_experts", 0):
        return pd.DataFrame(columns=["layer", "expert", "share"])
    batch = tokenizer(list(plots), padding=True, padding_side="right", return_tensors="pt", add_special_tokens=False).to(model.device)
    out = body(model)(**batch, output_router_logits=True)
    real = batch["attention_mask"].flatten().bool()
    rows = []
    for layer, logits in enumerate(out.router_logits):
        chosen = logits[real].topk(model.config.num_experts_per_tok).indices.flatten()
        shares = torch.bincount(chosen, minlength=model.config.num_experts) / len(chosen)
        rows += [{"layer": layer + 1, "expert": e + 1, "share": float(s)} for e, s in enumerate(shares)]
    return pd.DataFrame(rows)
