"""The writer's tokenizer, learnt from its training text, and the chat form in which a premise asks for a plot.

Byte-level BPE in the Hub format, so that any text goes in and comes out unchanged, with a chat template in the manner of Qwen:
everything downstream (TRL, the served model, the backends) treats the small writer like any chat model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plottwist.backends.base import Messages
from plottwist.errors import PlotTwistError

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' }}"
    "{% if not loop.last or add_generation_prompt %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_ROLE_WEIGHT = 1000  # role words must become one token each although no plot holds them
# Lower-case runs may grow into phrases; names and punctuation stay tokens of their own, so that a name is always copied whole.
_PIECES = Regex(r" ?\p{Lu}[\p{L}]*|(?: ?[\p{Ll}'’-]+)+| ?\p{N}+|\s+|[^\s\p{L}\p{N}]+")


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most ``size`` tokens with the chat template; ``<|im_end|>`` ends an answer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain(["user", "assistant"] * _ROLE_WEIGHT, texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, chat_template=TEMPLATE, clean_up_tokenization_spaces=False
    )


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or a Hub id. Raises PlotTwistError if there is none, or if it has no chat template."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise PlotTwistError(f"cannot load a tokenizer from '{source}': {str(error).splitlines()[0]}") from error
    if not tokenizer.chat_template:
        raise PlotTwistError(f"the tokenizer of '{source}' has no chat template; use an instruct model")
    return tokenizer


def ask(premise: str) -> Messages:
    """What the writer is asked: the premise itself."""
    return [{"role": "user", "content": premise}]


def answer(plot: str) -> Messages:
    """What it answers: the plot itself."""
    return [{"role": "assistant", "content": plot}]


def chat_text(tokenizer: PreTrainedTokenizerBase, premise: str, messages: Callable[[str], Messages] = ask) -> str:
    """The premise in the chat form, up to where the answer begins; without the thoughts that Qwen3 would begin with."""
    return tokenizer.apply_chat_template(messages(premise), tokenize=False, add_generation_prompt=True, enable_thinking=False)


def prompt_ids(tokenizer: PreTrainedTokenizerBase, premises: list[str], messages: Callable[[str], Messages] = ask) -> list[list[int]]:
    """Ids of each premise in the chat form, up to where the answer begins. Raises PlotTwistError for one that is not Unicode text."""
    try:
        "".join(premises).encode("utf-8")
    except UnicodeEncodeError as error:
        raise PlotTwistError(f"a premise holds {error.object[error.start]!a}, which is no character; save or type it as UTF-8") from error
    return tokenizer([chat_text(tokenizer, p, messages) for p in premises], add_special_tokens=False)["input_ids"]
