"""Storytellers of a given size from scratch, and storytellers from a folder.

Fresh weights of BART are drawn at 1/sqrt(width) and its embeddings scaled by sqrt(width), as in the first Transformer; GPT-2's at
0.4/sqrt(width), which suits it better. At the libraries' default of 0.02, meant for widths near 1,000, a BART of width 64 knows no
more than word frequencies after 300 steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from transformers import AutoConfig

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.longstory.contexts import Limits, Parts
from plottwist.longstory.model import LongStory, LongStoryConfig, calibrator_tokenizer
from plottwist.longstory.plain import HistoryParts, PlainBartConfig, PlainDecoder, PlainEncoderDecoder, PlainGPT2Config
from plottwist.longstory.plotmachines import PlotMachines, PlotMachinesConfig, PlotParts
from plottwist.longstory.storyteller import Storyteller
from plottwist.longstory.tokens import StoryTokenizer

_CLASSES = {kind.__name__: kind for kind in (LongStory, PlotMachines, PlainEncoderDecoder, PlainDecoder)}

for _kind in _CLASSES.values():
    AutoConfig.register(_kind.config_class.model_type, _kind.config_class, exist_ok=True)  # so that AutoTokenizer knows the folder


class Size(BaseModel):
    """How large a model is. A decoder-only model gets ``2 * layers + 1`` blocks, so that no rival has fewer weights in its body."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    width: int = Field(default=128, ge=1)
    layers: int = Field(default=2, ge=1, description="of the encoder, and of the decoder")
    heads: int = Field(default=4, ge=1)
    positions: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    calibrator_width: int = Field(default=128, ge=2, description="BERT-tiny has 128 and 2 layers")
    calibrator_layers: int = Field(default=2, ge=1)


def long_story(tokenizer: StoryTokenizer, parts: Parts, size: Size, seed: int) -> LongStory:
    """A LongStory with fresh weights."""
    _fits(parts, size, max(parts.source_tokens + 5, parts.paragraph_tokens))
    bert = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.calibrator_width,
        "num_hidden_layers": size.calibrator_layers,
        "num_attention_heads": 2,
        "intermediate_size": 4 * size.calibrator_width,
        "max_position_embeddings": size.positions,
        "hidden_dropout_prob": size.dropout,
        "attention_probs_dropout_prob": size.dropout,
        "initializer_range": size.calibrator_width**-0.5,
        "pad_token_id": tokenizer.pad,
    }
    model = _fresh(LongStory, LongStoryConfig(**_bart(tokenizer, size), parts=parts.model_dump(), bert=bert), tokenizer, seed)
    if model.calibrator is not None:  # listens to all contexts alike until it has learnt better, whatever the seed
        torch.nn.init.zeros_(model.calibrator.w.weight)
    return model


def plot_machines(tokenizer: StoryTokenizer, parts: PlotParts, size: Size, seed: int) -> PlotMachines:
    """A PlotMachines with fresh weights."""
    _fits(parts, size, parts.source_tokens + 2 + parts.paragraph_tokens)
    return _fresh(PlotMachines, PlotMachinesConfig(**_gpt2(tokenizer, size), parts=parts.model_dump()), tokenizer, seed)


def plain_encoder_decoder(tokenizer: StoryTokenizer, parts: HistoryParts, size: Size, seed: int) -> PlainEncoderDecoder:
    """A rereading BART with fresh weights."""
    _fits(parts, size, max(parts.source_tokens + 6 + parts.history_tokens, parts.paragraph_tokens))
    return _fresh(PlainEncoderDecoder, PlainBartConfig(**_bart(tokenizer, size), parts=parts.model_dump()), tokenizer, seed)


def plain_decoder(tokenizer: StoryTokenizer, parts: HistoryParts, size: Size, seed: int) -> PlainDecoder:
    """A rereading GPT-2 with fresh weights."""
    _fits(parts, size, parts.source_tokens + 6 + parts.history_tokens + parts.paragraph_tokens)
    return _fresh(PlainDecoder, PlainGPT2Config(**_gpt2(tokenizer, size), parts=parts.model_dump()), tokenizer, seed)


def pretrained(kind: str, weights: str, calibrator: str, parts: Limits, seed: int) -> Storyteller:
    """A storyteller of any kind on pretrained weights (Hub id or folder): a BART or, for the decoders, a GPT-2.

    Raises:
        PlotTwistError: weights or tokenizer missing, or not in safetensors.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # what the weights do not have starts fresh
        if kind == "LongStory":
            return LongStory.from_weights(weights, calibrator, parts).eval()
        tokenizer = StoryTokenizer.load(weights)
        if tokenizer.pad is None:  # GPT-2 has none; padding is masked, so any token will do
            tokenizer.pad = tokenizer.end
        try:
            config = _CLASSES[kind].config_class.from_pretrained(weights, parts=parts.model_dump(), pad_token_id=tokenizer.pad)
            model = _CLASSES[kind].from_pretrained(weights, config=config, use_safetensors=True)
        except (OSError, ValueError, SafetensorError) as error:
            raise PlotTwistError(f"cannot load '{weights}' from safetensors: {str(error).splitlines()[0]}") from error
        model.resize_token_embeddings(len(tokenizer))
        return model.eval().equip(tokenizer)


def load(folder: str | Path) -> Storyteller:
    """A storyteller of any kind from a folder written by its ``save``.

    Raises:
        PlotTwistError: the folder does not hold one.
    """
    folder = Path(folder)
    kind = (files.read_json(folder / "config.json").get("architectures") or ["nothing"])[0]
    if kind not in _CLASSES:
        raise PlotTwistError(f"{folder} holds a {kind}, not a storyteller; known: {', '.join(_CLASSES)}")
    try:
        model = _CLASSES[kind].from_pretrained(folder, use_safetensors=True, dtype=torch.float32).eval()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PlotTwistError(f"cannot load the storyteller in {folder}: {str(error).splitlines()[0]}") from error
    tokenizer = StoryTokenizer.load(folder)
    return model.equip(tokenizer, calibrator_tokenizer(folder)) if kind == "LongStory" else model.equip(tokenizer)


def _fresh(kind: type, config: Any, tokenizer: StoryTokenizer, seed: int) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(config).eval().equip(tokenizer)


def _bart(tokenizer: StoryTokenizer, size: Size) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "d_model": size.width,
        "encoder_layers": size.layers,
        "decoder_layers": size.layers,
        "encoder_attention_heads": size.heads,
        "decoder_attention_heads": size.heads,
        "encoder_ffn_dim": 4 * size.width,
        "decoder_ffn_dim": 4 * size.width,
        "max_position_embeddings": size.positions,
        "dropout": size.dropout,
        "init_std": size.width**-0.5,
        "scale_embedding": True,
        "bos_token_id": tokenizer.start,
        "pad_token_id": tokenizer.pad,
        "eos_token_id": tokenizer.end,
        "decoder_start_token_id": tokenizer.end,
        "forced_eos_token_id": None,
    }


def _gpt2(tokenizer: StoryTokenizer, size: Size) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "n_embd": size.width,
        "n_layer": 2 * size.layers + 1,
        "n_head": size.heads,
        "n_positions": size.positions,
        "resid_pdrop": size.dropout,
        "embd_pdrop": size.dropout,
        "attn_pdrop": size.dropout,
        "initializer_range": 0.4 * size.width**-0.5,
        "bos_token_id": tokenizer.start,
        "eos_token_id": tokenizer.end,
        "pad_token_id": tokenizer.pad,
    }


def _fits(parts: Limits, size: Size, needed: int) -> None:
    if needed > size.positions:
        raise PlotTwistError(f"{type(parts).__name__} need {needed} positions but the model has {size.positions}; raise size.positions")
    if size.width % size.heads or size.calibrator_width % 2:
        raise PlotTwistError(f"width {size.width} must be a multiple of {size.heads} heads and calibrator_width even")
