"""One small model that generates, refines and explains on Storyworld (PAPERS.md, section 4), and the three ways to fine-tune it.

It starts from the writer of notebook 02 and learns the three jobs of ``tasks`` together. Beside it stands the reward model that came with
the writer: it measures drafts and chooses among versions. Neither ever saw the gold reader.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, PromptTuningConfig, TaskType, get_peft_model
from safetensors import SafetensorError
from torch import Tensor
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import ModelOutput
from transformers.utils.logging import disable_progress_bar

from plottwist import files
from plottwist.backends import Failure
from plottwist.corpora.surface import sentences
from plottwist.errors import PlotTwistError
from plottwist.generator import quantise
from plottwist.generator.model import load
from plottwist.generator.reward import PlotReward
from plottwist.generator.sampling import SamplingConfig, sample
from plottwist.generator.sft import Collator, SftConfig, encode, finetune
from plottwist.generator.tokens import answer, ask, load_tokenizer
from plottwist.nqd import NQDS, NQDScores
from plottwist.profiles import StudioSettings
from plottwist.studio import editing, tasks
from plottwist.studio.prompting import Band
from plottwist.studio.refine import BANDS, MAKE_ONE, Bands, Draft

JOBS = ("refine", "explain", "generate")
METHODS = ("full", "LoRA", "prompt tuning")
TEMPERATURE: dict[Band, float] = {"strong": 0.3, "middling": 0.7, "poor": 1.0}  # the more is to change, the more freely
_RATES = {"full": 1e-3, "LoRA": 3e-3, "prompt tuning": 3e-2}
_STORY_TOKENS = 1.6  # tokens per word from which a text is foreign: Storyworld's phrases are tokens, other English falls to pieces


@dataclass
class StudioModel:
    """The model with its tokenizer, its rater and the rater's bands; a ``refine.Reviser`` of Storyworld drafts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    reward: PlotReward
    bands: Bands
    versions: int = 4
    answer_tokens: int = 288
    name: str = "small Storyworld model"

    def rate(self, texts: Sequence[str]) -> list[NQDScores]:
        """Five scores (1-10) of each plot by the reward model."""
        return [NQDScores(*row) for row in self.reward.score(list(texts))] if texts else []

    def generate(self, premise: str, n: int, seed: int) -> list[str]:
        """n plots. Raises PlotTwistError for an empty premise."""
        return self._write([premise], n, seed, 1.0)[0]

    def propose(self, drafts: Sequence[Draft], seed: int) -> list[list[str | Failure]]:
        """New versions of Storyworld drafts; a text of another world is not touched."""
        unread = [self.unread(draft.text) for draft in drafts]
        found: list[list[str | Failure]] = [[Failure(f"the small model cannot read this text: {why}")] for why in unread]
        for band, temperature in TEMPERATURE.items():
            own = [i for i, d in enumerate(drafts) if d.band == band and unread[i] is None]
            repaired = self._write([tasks.ask_refine(drafts[i].text, band) for i in own], self.versions, seed, temperature) if own else []
            others = self._write([_premise(drafts[i]) for i in own], self.versions, seed, 1.0) if own and band == "poor" else []
            for k, i in enumerate(own):
                versions = repaired[k] + (others[k] if others else self._edited(drafts[i], seed))
                found[i] = [self._sound(v, drafts[i].text) for v in versions]
        return found

    def _sound(self, version: str, draft: str) -> str | Failure:
        """The version, unless it shows what the rater does not see: half-words, or a sentence said twice."""
        if not self.knows(version):
            return Failure("the small model wrote something that is no story")
        if strange := self.reward.unknown(version) - self.reward.unknown(draft):
            return Failure(f"the small model wrote a word that no story has ('{min(strange)}')")
        said = sentences(version)
        return version if len(set(said)) == len(said) else Failure("the small model said a sentence twice")

    def _edited(self, draft: Draft, seed: int) -> list[str]:
        """The draft with some of its sentences replaced: few in a strong one, up to half in a middling one."""

        def quality(texts: Sequence[str]) -> np.ndarray:
            return np.array([self.bands.quality(scores) for scores in self.rate(texts)])

        most = editing.SHARES[draft.band]
        new = editing.edited(self.model, self.tokenizer, quality, draft.text, draft.premise, most, max(1, self.versions // 2), seed)
        return [new] if new else []

    def explain(self, texts: Sequence[str]) -> list[list[str]]:
        """What the model states of each plot, a sentence a fact, in its order; what the plot's own words do not bear out is left out."""
        found = zip(texts, self.notes(texts), strict=True)
        return [list(dict.fromkeys(tasks.say(f) for f in facts if f and tasks.borne_out(f, text))) for text, facts in found]

    def notes(self, texts: Sequence[str]) -> list[list[tasks.Fact | None]]:
        """What the model notes of each plot (greedy), unchecked; None for a line that is no fact."""
        prompts = [tasks.ask_explain(text) for text in texts]
        return [[tasks.read_note(line) for line in plots[0].splitlines()] for plots in self._write(prompts, 1, 0, 0.0)] if texts else []

    def knows(self, text: str) -> bool:
        """Whether the model may work on a text."""
        return self.unread(text) is None

    def unread(self, text: str) -> str | None:
        """Why the model cannot work on a text, or None: it is of another world, by how its words fall into tokens, or too long."""
        tokens, most = len(self.tokenizer(text, add_special_tokens=False)["input_ids"]), self.model.config.max_position_embeddings // 2 - 17
        if tokens / max(1, len(text.split())) / self._usual_tokens >= _STORY_TOKENS:
            return "it is not in the words of Storyworld, the only ones that the small model learnt"
        return f"it has {tokens} tokens, over the {most} that the small model reads; shorten it" if tokens > most else None

    @property
    def _usual_tokens(self) -> float:
        """Tokens per word of a Storyworld plot under this tokenizer."""
        if not hasattr(self, "_per_word"):
            story = tasks.sw.simulate(0).text
            self._per_word = len(self.tokenizer(story, add_special_tokens=False)["input_ids"]) / len(story.split())
        return self._per_word

    def _write(self, prompts: Sequence[str], n: int, seed: int, temperature: float) -> list[list[str]]:
        config = SamplingConfig(temperature=temperature, max_tokens=self.answer_tokens, batch_size=64)
        return sample(self.model, self.tokenizer, prompts, n, seed, config)


def _premise(draft: Draft) -> str:
    """The premise of a draft, or the sentence that opens it."""
    return draft.premise or sentences(draft.text)[0]


def make_artifact(settings: StudioSettings, writer: Path, seed: int, folder: Path) -> None:
    """``model/`` (all three jobs, float32), ``reward/`` (the writer's), ``bands.json``, ``methods.json`` with its ``methods/``."""
    tokenizer = load_tokenizer(writer / "model")
    log = _train_all(settings, writer, tokenizer, seed, folder)
    reward = PlotReward.from_pretrained(writer / "reward")
    reward.save_pretrained(folder / "reward")
    plots = [row["completion"] for row in tasks.examples(("generate",), settings.rated, seed + 1, "train")]
    files.write_json(folder / BANDS, asdict(Bands.of(reward.score(plots))))
    rows = [_compare(method, settings, writer, tokenizer, seed, folder) for method in METHODS]
    files.write_json(folder / "methods.json", {"log": log, "methods": rows})


def load_studio(folder: str | Path, versions: int = 4, answer_tokens: int = 288) -> StudioModel:
    """The studio model of a folder, saved in float32 or in int8.

    Raises:
        PlotTwistError: the folder does not hold one, or not a whole one.
    """
    disable_progress_bar()
    folder = Path(folder)
    if not (folder / BANDS).is_file():
        raise PlotTwistError(f"{folder} holds no studio model; {MAKE_ONE}")
    own, rater = (folder / "model", folder / "reward") if (folder / "model").is_dir() else (folder, _rater_beside(folder))
    try:
        bands = files.read_json(folder / BANDS)
        usual = {name: tuple(bands["usual"][name]) for name in NQDS}
        reward, model = quantise.restored(rater, PlotReward.from_pretrained), quantise.restored(own, load)
        return StudioModel(model.eval(), load_tokenizer(own), reward, Bands(bands["poor"], bands["strong"], usual), versions, answer_tokens)
    except (PlotTwistError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PlotTwistError(f"the studio model in {folder} is broken ({why}); {MAKE_ONE}") from error


def pack(folder: Path, place: Path) -> tuple[Path, Path]:
    """The studio model of an artifact in int8, as two flat folders in ``place``: the model with its bands, and the rater."""
    own = place / "studio"
    quantise.shrink(folder / "model", own)
    files.write_bytes(own / BANDS, (folder / BANDS).read_bytes())
    quantise.shrink(folder / "reward", _rater_beside(own))
    return own, _rater_beside(own)


def _rater_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_rater")


def dataset(rows: Iterable[dict[str, str]]) -> Dataset:
    """Rows of ``tasks.examples`` as the chat messages that fine-tuning takes."""
    return Dataset.from_list([{"prompt": ask(row["prompt"]), "completion": answer(row["completion"])} for row in rows])


def base(writer: Path, context: int) -> PreTrainedModel:
    """The writer that every fine-tuning starts from: LoRA weights merged into it, with a longer context."""
    model = load(writer / "model")
    return longer(model.merge_and_unload() if isinstance(model, PeftModel) else model, context)


def longer(model: PreTrainedModel, context: int) -> PreTrainedModel:
    """The model with a longer context: its rotary positions have no weights, so nothing is added."""
    model.config.max_position_embeddings = max(context, model.config.max_position_embeddings)
    return model


class Prompted(torch.nn.Module):
    """A prompt-tuned writer for sampling with a cache. PEFT's own forward puts the virtual tokens before whatever it is given, so that in
    step-by-step writing they would stand before every single token; here they stand once, before the prompt, as in training."""

    def __init__(self, tuned: PeftModel) -> None:
        super().__init__()
        self.base, self.config = tuned.get_base_model(), tuned.get_base_model().config
        self.virtual = tuned.get_prompt(batch_size=1)[0].detach()  # (virtual, d)

    @property
    def device(self) -> torch.device:
        return self.base.device

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past_key_values: Cache, **how: Any) -> ModelOutput:
        """The base model's output for ids (batch, tokens) padded on the left; mask and places are counted without virtual tokens."""
        batch, virtual = len(input_ids), len(self.virtual)
        embedded, place = self.base.get_input_embeddings()(input_ids), position_ids + virtual  # (batch, tokens, d), (batch, tokens)
        if past_key_values.get_seq_length() == 0:
            embedded = torch.cat([self.virtual.to(embedded).expand(batch, -1, -1), embedded], dim=1)
            place = torch.cat([torch.arange(virtual, device=place.device).expand(batch, -1), place], dim=1)
        mask = torch.cat([attention_mask.new_ones(batch, virtual), attention_mask], dim=1)
        return self.base(inputs_embeds=embedded, attention_mask=mask, position_ids=place, past_key_values=past_key_values, **how)


def load_method(method: str, folder: Path, writer: Path, context: int) -> tuple[PreTrainedModel | Prompted, PreTrainedTokenizerBase]:
    """The model that a way of fine-tuning left in an artifact, with its tokenizer."""
    own = folder / "methods" / method.replace(" ", "_")
    tokenizer = load_tokenizer(writer / "model")
    if method == "full":
        return load(own).eval(), tokenizer
    model = PeftModel.from_pretrained(base(writer, context), own, use_safetensors=True)
    return (model.merge_and_unload() if method == "LoRA" else Prompted(model)).eval(), tokenizer


def _train_all(settings: StudioSettings, writer: Path, tokenizer: PreTrainedTokenizerBase, seed: int, folder: Path) -> list[dict]:
    """The studio model proper: all weights, all jobs."""
    model = base(writer, settings.context)
    train = dataset(tasks.examples(JOBS[:2] * 3 + JOBS[2:], settings.examples, seed + 1, "train"))
    held_out = dataset(tasks.examples(JOBS, settings.held_out, 0, "validation"))
    config = SftConfig(
        batch_size=settings.batch_size, learning_rate=settings.learning_rate, evaluations=3, cpu=not torch.cuda.is_available()
    )
    model, log = finetune(model, tokenizer, train, held_out, config, seed, folder / "checkpoints")
    model.save_pretrained(folder / "model", max_shard_size="1TB")  # one file, which the int8 copy is made of
    tokenizer.save_pretrained(folder / "model", save_jinja_files=False)
    return [row for row in log if "eval_loss" in row]


def _compare(method: str, settings: StudioSettings, writer: Path, tokenizer: PreTrainedTokenizerBase, seed: int, folder: Path) -> dict:
    """Fine-tune the writer to explain by one method, on the same rows in the same order; trainable weights, seconds, held-out loss."""
    torch.manual_seed(seed)
    model = base(writer, settings.context)
    if method == "LoRA":  # on attention alone, as in Hu et al. (2021)
        attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
        rank = settings.lora_rank
        model = get_peft_model(model, LoraConfig(task_type=TaskType.CAUSAL_LM, r=rank, lora_alpha=2 * rank, target_modules=attention))
    elif method == "prompt tuning":
        model = get_peft_model(model, PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=settings.virtual_tokens))
    train = encode(tokenizer, dataset(tasks.examples(("explain",), settings.compared, seed + 2, "train")), settings.context)
    held_out = encode(tokenizer, dataset(tasks.examples(("explain",), settings.held_out, 0, "validation")), settings.context)
    started = time.perf_counter()
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(folder / "checkpoints" / method.replace(" ", "_")), num_train_epochs=1, per_device_train_batch_size=settings.batch_size,
            learning_rate=_RATES[method], lr_scheduler_type="cosine", warmup_steps=0.05, seed=seed, save_strategy="no", logging_steps=50,
            report_to=[], disable_tqdm=True, remove_unused_columns=False, use_cpu=not torch.cuda.is_available(), label_names=["labels"],
        ),
        data_collator=Collator(tokenizer.pad_token_id),
        train_dataset=train,
        eval_dataset=held_out,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    seconds, own = time.perf_counter() - started, folder / "methods" / method.replace(" ", "_")
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    loss = trainer.evaluate()["eval_loss"]
    model.save_pretrained(own)
    return {"method": method, "trainable": trainable, "seconds": seconds, "loss": loss, "rows": len(train)}
