"""Text to ids and back, for all models of this package: order tokens, keywords, paragraphs.

Order tokens and separators get in as ids, never through text: text is always read literally, so a paragraph or a keyword that
spells ``<tail>`` cannot pass for the token, and no decoding can lose one (in the authors' code that probably happens).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plottwist.errors import PlotTwistError
from plottwist.longstory.order import ORDER_TOKENS

SEPARATOR = "<sep>"


class StoryTokenizer:
    """Any tokenizer of the Hub format, with the order tokens and the separator added."""

    def __init__(self, backend: PreTrainedTokenizerBase) -> None:
        backend.add_tokens([*ORDER_TOKENS, SEPARATOR], special_tokens=True)
        self.backend = backend
        self.start: int = backend.cls_token_id if backend.bos_token_id is None else backend.bos_token_id
        self.end: int = backend.sep_token_id if backend.eos_token_id is None else backend.eos_token_id
        self.pad: int = backend.pad_token_id
        self.separator: int = backend.convert_tokens_to_ids(SEPARATOR)

    def __len__(self) -> int:
        return len(self.backend)

    def order(self, tokens: Sequence[str]) -> list[int]:
        """Raises: PlotTwistError naming a token that is not an order token."""
        if unknown := [t for t in tokens if t not in ORDER_TOKENS]:
            raise PlotTwistError(f"unknown order token '{unknown[0]}'; known: {' '.join(ORDER_TOKENS)}")
        return self.backend.convert_tokens_to_ids(list(tokens))

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, read literally and without special tokens."""
        return self.backend(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"] if texts else []

    def keywords(self, keywords: Sequence[str], most: int) -> list[int]:
        """Ids of phrases joined by the separator.

        Raises:
            PlotTwistError: no keywords, an empty one, or more than ``most`` tokens together.
        """
        if not keywords or not all(any(c.isalnum() for c in k) for k in keywords):
            raise PlotTwistError("no keywords, or an empty one; give at least one word, such as 'lighthouse, brother, storm'")
        ids = self._joined(self.texts(keywords))
        if len(ids) > most:
            raise PlotTwistError(f"the keywords take {len(ids)} tokens but the model reads {most}; give fewer or shorter ones")
        return ids

    def fitting(self, phrases: Sequence[str], most: int) -> tuple[str, ...]:
        """The first phrases that fit into ``most`` tokens together (the paper cuts its source at 150)."""
        used, kept = 0, []
        for phrase, ids in zip(phrases, self.texts(phrases), strict=True):
            used += len(ids) + bool(kept)
            if used > most:
                break
            kept.append(phrase)
        return tuple(kept)

    def decode(self, ids: Sequence[int]) -> str:
        return self.backend.decode(ids, skip_special_tokens=True).strip()

    def padded(self, rows: Sequence[Sequence[int]], device: torch.device, left: bool = False) -> tuple[Tensor, Tensor]:
        """Ids (batch, tokens) and their mask (batch, tokens), True where there is a token; at least one column."""
        longest = max([1, *map(len, rows)])
        ids = torch.full((len(rows), longest), self.pad)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            place = slice(longest - len(row), longest) if left else slice(len(row))
            ids[i, place] = torch.tensor(row, dtype=torch.long)
            mask[i, place] = True
        return ids.to(device), mask.to(device)

    def save(self, folder: str | Path) -> None:
        self.backend.save_pretrained(folder)

    @classmethod
    def load(cls, source: str | Path) -> StoryTokenizer:
        """From a folder or a Hub id. Raises PlotTwistError if there is no tokenizer."""
        try:
            return cls(AutoTokenizer.from_pretrained(source))
        except (OSError, ValueError) as error:
            raise PlotTwistError(f"cannot load a tokenizer from '{source}': {str(error).splitlines()[0]}") from error

    def _joined(self, rows: Iterable[list[int]]) -> list[int]:
        return [i for row in rows for i in (self.separator, *row)][1:]


def train_tokenizer(texts: Iterable[str], size: int) -> StoryTokenizer:
    """Byte-level BPE of about ``size`` tokens, learnt from the training text; ids of BART (start 0, pad 1, end 2)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *ORDER_TOKENS, SEPARATOR]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    return StoryTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>"
        )
    )
