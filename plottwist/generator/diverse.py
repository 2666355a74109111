"""What notebook 06 compares: ways to learn from the same scored samples, and how far apart what each then writes stands (2503.17126)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedModel

from plottwist import metrics
from plottwist.corpora import people, storyworld
from plottwist.generator import pairs, preference
from plottwist.generator.deviation import Kind, deviation, divpo, embed
from plottwist.generator.experiments import Pool, Writer, draw_pool, held_out, sampling_config
from plottwist.generator.sampling import sample
from plottwist.generator.weights import pair_weights, response_weights
from plottwist.metrics.text import rouge_l, words
from plottwist.profiles import Diverse, Profile

KINDS: tuple[Kind, ...] = ("semantic", "style")
Vectors = dict[Kind, NDArray]  # (prompts, responses, d) of each kind


@dataclass(frozen=True)
class Method:
    """One way to learn: the loss, which deviations weigh its pairs (none: plain), the weight floor, and the pairs.

    ``responses``: so many samples of each prompt are there to learn from (None: those of the artifact, ``generator.samples``).
    """

    loss: Literal["dpo", "orpo"] = "dpo"
    kinds: tuple[Kind, ...] = ()
    floor: float = 0.0
    divpo: bool = False
    responses: int | None = None


def methods(settings: Diverse) -> dict[str, Method]:
    """The methods of the paper and DivPO, then DPO and DDPO-both, without and with the floor, from other numbers of responses.

    From two responses there is DPO alone: they are equally far from each other, so that every weight is 1 and DDPO is DPO.
    """
    full = {
        "DPO": Method(),
        "DDPO-semantic": Method(kinds=("semantic",)),
        "DDPO-style": Method(kinds=("style",)),
        "DDPO-both": Method(kinds=KINDS),
        "DDPO-both with floor": Method(kinds=KINDS, floor=settings.floor),
        "DivPO": Method(divpo=True),
        "ORPO": Method("orpo"),
        "DORPO-both": Method("orpo", KINDS),
    }
    others = {
        f"{name}, {n} responses": method
        for n in settings.responses
        for name, method in {
            "DPO": Method(responses=n),
            "DDPO-both": Method(kinds=KINDS, responses=n),
            "DDPO-both with floor": Method(kinds=KINDS, floor=settings.floor, responses=n),
        }.items()
        if n > 2 or not method.kinds
    }
    return full | others


def with_responses(writer: Writer, profile: Profile, seed: int) -> Writer:
    """The writer with a pool as large as the largest number of responses tried; its plots so far stay the first of it."""
    pool, settings = writer.pool, profile.generator
    missing = max(profile.diverse.responses, default=0) - settings.samples
    if missing <= 0:
        return writer
    more = draw_pool(writer.model, writer.tokenizer, writer.reward, pool.premises, settings, seed, missing, first=settings.samples)
    plots = [old + new for old, new in zip(pool.plots, more.plots, strict=True)]
    return replace(writer, pool=Pool(pool.premises, plots, np.concatenate([pool.scores, more.scores], axis=1)))


def embed_all(plots: Sequence[Sequence[str]], style_encoder: str | None) -> Vectors:
    """Vectors of every plot of every premise, which must have as many each."""
    flat = [worded(plot) for own in plots for plot in own]
    return {kind: embed(flat, kind, style_encoder).reshape(len(plots), len(plots[0]), -1) for kind in KINDS}


def learn(
    method: Method, writer: Writer, vectors: Vectors, profile: Profile, seed: int, folder: Path
) -> tuple[PreTrainedModel, dict[str, float]]:
    """The writer after learning by ``method`` from its own pool, and what it learnt from.

    Args:
        vectors: of the pool, from ``embed_all``.

    Returns:
        the model; ``pairs``, their mean ``weight``, the share of pairs with weight 0 (``lost``), the last ``loss``.
    """
    n = method.responses or profile.generator.samples
    pool = writer.pool.head(len(writer.pool.premises), n)
    far = {kind: [deviation(own[:n]) for own in vectors[kind]] for kind in KINDS}
    data = chosen_pairs(method, pool, far, profile, seed)
    weights = pair_weights(data, *[far[k] for k in method.kinds], floor=method.floor) if method.kinds else None
    model = preference.train(writer.model, writer.tokenizer, data, config(method, profile), seed, folder, weights)
    given = np.ones(len(data)) if weights is None else weights
    history = pd.read_json(folder / "history.json")
    last = history.loss.tail(max(1, len(history) // 5)).mean()
    return model, {
        "pairs": len(data),
        "weight": given.mean(),
        "lost": (given == 0).mean(),
        "loss": last,
    }


def chosen_pairs(method: Method, pool: Pool, far: dict[Kind, list[NDArray]], profile: Profile, seed: int) -> Dataset:
    """At most ``diverse.pairs`` pairs of high confidence; or DivPO's, which ranks by both deviations (their geometric mean, with the
    floor, so that a zero of one does not hide the other)."""
    settings = profile.diverse
    if not method.divpo:
        return pairs.select(pool.premises, pool.plots, pool.rewards, "margin", profile.generator.quantile, seed, settings.pairs)
    both = [response_weights(*kinds, floor=settings.floor) for kinds in zip(*(far[k] for k in KINDS), strict=True)]
    found = divpo(pool.premises, pool.plots, pool.rewards, both, settings.divpo_share, settings.divpo_pairs)
    kept = np.random.default_rng(seed).permutation(len(found))[: settings.pairs]
    return found.select(sorted(kept.tolist()))


def config(method: Method, profile: Profile) -> preference.PreferenceConfig:
    settings = profile.diverse
    return preference.PreferenceConfig(
        loss=method.loss,
        beta=settings.beta[method.loss],
        learning_rate=settings.rate[method.loss],
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        max_length=profile.generator.context,
        checkpoints=2,
    )


def write(model: PreTrainedModel, writer: Writer, premises: Sequence[str], profile: Profile, seed: int) -> list[list[str]]:
    """``diverse.written`` plots for each premise; the same random numbers for every model."""
    return sample(model, writer.tokenizer, premises, profile.diverse.written, seed, sampling_config(profile.generator))


def measure(plots: Sequence[Sequence[str]], writer: Writer, style_encoder: str | None) -> pd.DataFrame:
    """How each premise's plots are, one row per premise.

    Returns:
        ``semantic, style`` (mean pairwise distance), ``ngrams`` (sum of distinct-1 to -4), ``compression`` (bytes / gzip bytes; high is
        uniform), ``reward`` (of the training reward, standard units).
    """
    module = metrics.load("diversity")
    vectors = embed_all(plots, style_encoder)
    rewards = writer.reward.standard([plot for own in plots for plot in own]).mean(1).reshape(len(plots), -1).mean(1)
    rows = []
    for i, own in enumerate(plots):
        found = module.compute(predictions=[worded(p) for p in own], vectors=vectors["semantic"][i])
        style = deviation(vectors["style"][i]).mean()  # mean over all pairs
        rows.append((found["semantic_distance"], style, found["ngram_diversity"], found["compression_ratio"], rewards[i]))
    return pd.DataFrame(rows, columns=["semantic", "style", "ngrams", "compression", "reward"])


def alike(plots: Sequence[Sequence[str]]) -> float:
    """Mean ROUGE-L F1 over all pairs of plots, of all premises; none is left out."""
    flat = [plot for own in plots for plot in own]
    return float(rouge_l(flat, flat)[np.triu_indices(len(flat), k=1)].mean())


def held_out_stories(n: int, each: int) -> tuple[list[str], list[list[str]]]:
    """n test premises, and for each as many plots of the training text's kind: same people and matters, other levels and words.

    Their diversity is the line to reach, as that of people's stories is in the paper.
    """
    found = held_out(n)
    numbers = [int(i.removeprefix("sw-")) for i in found["id"]]
    told = [
        [storyworld.simulate(s, _levels(s, k), tone=storyworld.simulate(s).tone, wording=k).text for k in range(1, each + 1)]
        for s in numbers
    ]
    return list(found["premise"]), told


def upvoted_deviation(style_encoder: str | None) -> pd.DataFrame:
    """WritingPrompts: of each pair of stories of one prompt with at least three, how much more the upvoted one deviates.

    Returns:
        one row per pair: ``prompt`` (an id), ``stories`` of the prompt, ``semantic`` and ``style`` (chosen minus rejected), ``weight``
        of the chosen one for both kinds. No text.
    """
    frame = people.sets()["upvotes"]
    rows = []
    for prompt, group in frame.groupby("unit", sort=True):
        texts = list(dict.fromkeys(group.text))
        if len(texts) < 3:
            continue
        far = {kind: dict(zip(texts, deviation(embed(texts, kind, style_encoder)), strict=True)) for kind in KINDS}
        weight = dict(zip(texts, response_weights(*(list(f.values()) for f in far.values())), strict=True))
        for _, pair in group.groupby("group"):
            chosen, rejected = pair.sort_values("value", ascending=False).text
            gaps = {kind: far[kind][chosen] - far[kind][rejected] for kind in KINDS}
            rows.append({"prompt": prompt, "stories": len(texts), **gaps, "weight": weight[chosen]})
    return pd.DataFrame(rows)


def worded(plot: str) -> str:
    """The plot; a single word for one that holds none, which is a failure for the judge and no reason to stop."""
    return plot if words(plot) else "nothing"


def _levels(story: int, k: int) -> storyworld.Levels:
    return storyworld.Levels(*np.random.default_rng((story, k)).random(5).tolist())
