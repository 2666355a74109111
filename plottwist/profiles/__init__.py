"""A profile says how large an experiment is, with which models and on which data; the experiment itself is written once.

``load("cpu")`` reads ``plottwist/profiles/cpu.yaml``; ``load("my/own.yaml")`` reads any file. A key that no experiment
knows is refused by name, so that a misspelled setting cannot pass for a default.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plottwist import files
from plottwist.errors import PlotTwistError

_FOLDER = Path(__file__).parent


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quickstart(_Section):
    """00: how many Storyworld plots the reader is checked on."""

    plots: int = Field(ge=50)


class Reward(_Section):
    """01, 05: the reward model and how much of the data it is trained and tested on (None: all)."""

    backbone: str | None = Field(
        default=None, description="a language model with five outputs in place of sentence heads: Hub id or folder"
    )
    lora_rank: int = Field(default=0, ge=0, description="of the backbone's adapter; 0 trains every weight")
    backbone_epochs: int = Field(default=8, ge=1)
    heads: int = Field(ge=2)
    hidden_size: int = Field(ge=4)
    epochs: int = Field(ge=1)
    retellings: int = Field(ge=0, description="copies of every training plot under other names and genders")
    premises: int | None = Field(default=None, ge=2, description="premises per split to train on")
    films: int = Field(ge=50, description="public: labelled training films")
    people: int = Field(ge=50, description="public: texts per set of people's judgements")


class Generator(_Section):
    """02, 06, 07: the small writer of Storyworld plots, or the model that takes its place."""

    base: str | None = Field(default=None, description="an instruct model in place of the small writer: Hub id or folder")
    lora_rank: int = Field(default=0, ge=0)
    vocabulary: int = Field(ge=300)
    width: int = Field(ge=32, description="of the residual stream; a multiple of 32")
    layers: int = Field(ge=1)
    experts: int = Field(ge=2)
    experts_active: int = Field(ge=1)
    expert_width: int = Field(ge=8)
    context: int = Field(ge=128)
    examples: int = Field(ge=50, description="stories that the writer is fine-tuned on")
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    bf16: bool = False
    rated: int = Field(ge=50, description="stories with simulated ratings that the reward model learns from")
    reward_epochs: float = Field(gt=0)
    reward_rate: float = Field(gt=0)
    pool_premises: int = Field(ge=2, description="premises that plots are sampled for")
    samples: int = Field(ge=2, description="plots per premise")
    temperature: float = Field(gt=0)
    top_p: float = Field(gt=0, le=1)
    quantile: float = Field(ge=0, lt=1, description="a pair is high-confidence if its margin reaches this quantile of all margins")
    pairs: int = Field(ge=2, description="pairs of one round of preference training")
    beta: float = Field(gt=0)
    preference_rate: float = Field(gt=0)
    preference_epochs: float = Field(gt=0)
    preference_batch: int = Field(ge=1)
    rounds: int = Field(ge=1, description="rounds of DPO, each on plots of the last one's model")
    pushed: int = Field(ge=1, description="rounds of DPO where the reward is pushed to see gold part from it")
    test_premises: int = Field(ge=4, description="held-out premises that results are told on (the paper: 160)")
    ablation_premises: int = Field(ge=4, description="of these, those of ablations and of the size claim")
    ablation_pairs: int = Field(ge=2, description="pairs of an ablation and of the size claim")
    size_examples: int = Field(ge=20, description="stories that each model of the size claim is fine-tuned on")


class LongStorySettings(_Section):
    """04: LongStory, its variants and rivals; how many stories of each set they and their judges read."""

    backbone: str | None = Field(default=None, description="a pretrained BART in place of the small one: Hub id or folder")
    decoder_backbone: str | None = Field(default=None, description="a pretrained GPT-2 for the rivals, where there is a backbone")
    calibrator_backbone: str | None = Field(default=None, description="a pretrained BERT for the calibrator, where there is a backbone")
    vocabulary: int = Field(ge=300)
    width: int = Field(ge=32, description="a multiple of 32")
    layers: int = Field(ge=1, description="of the encoder, and of the decoder")
    dropout: float = Field(ge=0, lt=1)
    source_tokens: int = Field(ge=8, description="room for keywords")
    paragraph_tokens: int = Field(ge=16)
    history_tokens: int = Field(ge=16, description="what the plain rivals reread")
    state_slots: int = Field(ge=1, description="PlotMachines' free slots")
    train: int = Field(ge=8, description="training stories a set")
    judges: int = Field(ge=8, description="other stories a set, for the judges")
    validation: int = Field(ge=2, description="validation stories a set")
    test: int = Field(ge=2, description="stories a set to be written")
    paragraph_words: int = Field(ge=16, description="third-party texts: words a paragraph is packed to")
    most_paragraphs: int = Field(ge=2, description="third-party texts: longer stories are left out")
    steps: int = Field(ge=2)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0)
    evaluate_every: int = Field(ge=1)
    top_p: float = Field(gt=0, le=1)
    no_repeat: int = Field(ge=1, description="no n-gram of so many tokens twice in a paragraph")
    repetition_penalty: float = Field(gt=0)
    judge_epochs: int = Field(ge=1)
    lengths: tuple[int, ...] = Field(min_length=1, description="paragraphs asked of the model beyond what it was trained on")
    length_stories: int = Field(ge=2, description="stories of each of these lengths")
    cost_rounds: int = Field(ge=2, description="times that the cost of a paragraph is taken")


class StudioSettings(_Section):
    """07, 08: the model of the three jobs, and how much it is tried on."""

    context: int = Field(ge=128)
    answer_tokens: int = Field(ge=8, description="longest answer")
    examples: int = Field(ge=21, description="rows of the three jobs together")
    compared: int = Field(ge=8, description="rows that each way of fine-tuning is given")
    held_out: int = Field(ge=6)
    rated: int = Field(ge=20, description="training plots that the bands of the rater are taken from")
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    lora_rank: int = Field(ge=1)
    virtual_tokens: int = Field(ge=1)
    versions: int = Field(ge=1, description="new versions proposed for each draft")
    margin: float = Field(
        ge=0, description="spreads of quality by which the rater must prefer a new version; about its error in comparing two"
    )
    drafts: int = Field(ge=9, description="test drafts that are refined")
    explained: int = Field(ge=4, description="test plots that are explained")


class Diverse(_Section):
    """06: preference training for diversity, on the pool of the artifact ``writer``."""

    pairs: int = Field(ge=4, description="pairs that each method learns from")
    beta: dict[Literal["dpo", "orpo"], float]
    rate: dict[Literal["dpo", "orpo"], float] = Field(description="learning rates")
    epochs: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    floor: float = Field(ge=0, le=1, description="weight floor (least u), where one is used")
    responses: tuple[Annotated[int, Field(ge=2)], ...] = Field(description="responses a premise tried besides generator.samples")
    divpo_share: float = Field(gt=0, le=0.5, description="part of a premise's samples that counts as high, and as low")
    divpo_pairs: int = Field(ge=1, description="DivPO's pairs of a premise")
    premises: int = Field(ge=2, description="test premises")
    written: int = Field(ge=2, description="plots written for each of them")
    style_encoder: str | None = Field(default=None, description="a sentence encoder of style in place of stylometry: Hub id or folder")


class EvaluationSettings(_Section):
    """03: what the critic panel is tried on."""

    plots: int = Field(ge=20, description="Storyworld plots judged beside gold")
    premises: int = Field(ge=3, description="shipped test premises, at most")
    people: int = Field(ge=20, description="public: texts per set of people's judgements")


class Profile(_Section):
    """One world: its data, its threads, and one section per experiment."""

    name: str
    data: tuple[Literal["shipped", "public", "hub"], ...]
    hub: bool = Field(description="whether models and data may be fetched from the Hugging Face Hub")
    threads: int = Field(ge=1, description="CPU threads of one notebook; fixed, because sums depend on it")
    device: Literal["cpu", "cuda"]
    quickstart: Quickstart
    reward: Reward
    generator: Generator
    longstory: LongStorySettings
    studio: StudioSettings
    evaluation: EvaluationSettings
    diverse: Diverse

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if isinstance(value, _Section):
            _used.add(name)
        return value

    def settings(self, sections: Iterable[str]) -> dict[str, Any]:
        """What an experiment that uses these sections depends on, as plain values."""
        return self.model_dump(mode="json", include={"name", "data", "hub", "threads", "device", *sections})


_used: set[str] = set()


def sections() -> list[str]:
    """Names of the sections: one per family of experiments."""
    return [
        name
        for name, field in Profile.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
    ]


def used() -> list[str]:
    """Sections that were read since the process began."""
    return sorted(_used)


def names() -> list[str]:
    """The profiles that ship."""
    return sorted(p.stem for p in _FOLDER.glob("*.yaml"))


def load(name: str) -> Profile:
    """The profile of that name, or of the YAML file at that path.

    Raises:
        PlotTwistError: unknown profile, unreadable file, unknown key (with the nearest known ones) or a wrong value.
    """
    file = path(name)
    profile = parse(files.read_yaml(file), file.name)
    if file.parent != _FOLDER and profile.name in names():
        raise PlotTwistError(f"profile {file} calls itself '{profile.name}', which is a shipped one; give it a name of its own")
    return profile


def path(name: str) -> Path:
    """The YAML file behind a profile's name. Raises PlotTwistError if there is none."""
    own = Path(name)
    if own.suffix in {".yaml", ".yml"} and own.is_file():
        return own
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise PlotTwistError(f"unknown profile '{name}'; {hint}known: {', '.join(names())}, or the path of a .yaml file")
    return _FOLDER / f"{name}.yaml"


def parse(content: Any, source: str) -> Profile:
    """A profile from parsed YAML; ``source`` is named in errors."""
    if not isinstance(content, dict):
        raise PlotTwistError(f"profile {source} holds no keys; it must be a YAML mapping like plottwist/profiles/cpu.yaml")
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise PlotTwistError(f"profile {source}: {'; '.join(_explain(e) for e in error.errors())}") from error


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    known = sorted(_section(error["loc"][:-1]).model_fields)
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=3, cutoff=0.4) or known
    return f"unknown key '{where}'; nearest known: {', '.join(near)}"


def _section(location: tuple[Any, ...]) -> type[BaseModel]:
    model: type[BaseModel] = Profile
    for part in location:
        annotation = model.model_fields[part].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
    return model
