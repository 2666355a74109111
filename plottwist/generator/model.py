"""The writer itself: a small mixture of experts built from the profile, a dense rival of any width, or any model of the Hub.

The small ones have the architecture of Qwen3-MoE and Qwen3, the family of the paper's base model (Qwen3-30B-A3B), and are saved
in the same format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from plottwist.errors import PlotTwistError

if TYPE_CHECKING:
    from plottwist.profiles import Generator

_HEAD = 32  # width of an attention head
_EMBEDDING = 4.0  # times the usual spread of 0.02


def build(settings: Generator, tokenizer: PreTrainedTokenizerBase, seed: int, dense: int = 0) -> PreTrainedModel:
    """A new writer with random weights.

    Args:
        dense: 0 builds the mixture of experts; n builds a dense model with about n times its active parameters, embeddings aside
            (width grows with the square root of n, depth stays).
    """
    torch.manual_seed(seed)
    width = settings.width if not dense else round(settings.width * dense**0.5 / _HEAD) * _HEAD
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": width // _HEAD,
        "num_key_value_heads": width // _HEAD,
        "head_dim": _HEAD,
        "max_position_embeddings": settings.context,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    active = settings.experts_active * settings.expert_width  # hidden units that a token passes in a layer
    if dense:
        return _ready_to_copy(Qwen3ForCausalLM(Qwen3Config(**shape, intermediate_size=round(active * width / settings.width))))
    config = Qwen3MoeConfig(
        **shape,
        num_experts=settings.experts,
        num_experts_per_tok=settings.experts_active,
        moe_intermediate_size=settings.expert_width,
        norm_topk_prob=True,
    )
    return _ready_to_copy(Qwen3MoeForCausalLM(config))


@torch.no_grad()
def _ready_to_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Attention begins by carrying over what it looks at: values and outputs start at the identity (after "mimetic" initialisation,
    arXiv 2305.09828), embeddings large enough to say which token it was.

    A plot lives on names of its premise. From the usual weights a model this small has not found out how to copy one after 4,000 stories.
    """
    model.get_input_embeddings().weight.mul_(_EMBEDDING)
    for layer in model.model.layers:
        identity = torch.eye(layer.self_attn.v_proj.weight.shape[0])
        layer.self_attn.v_proj.weight.copy_(identity)
        layer.self_attn.o_proj.weight.add_(identity)
    return model


def load(source: str | Path, lora_rank: int = 0, dtype: torch.dtype | str = "auto") -> PreTrainedModel | PeftModel:
    """A causal language model from a folder or a Hub id (adapters included, and trainable); ``lora_rank`` > 0 adds new trainable LoRA weights;
    ``dtype`` is that of the checkpoint if left out.

    Raises:
        PlotTwistError: no such model, or weights that are not safetensors.
    """
    adapter = (Path(source) / "adapter_config.json").is_file()
    kind, own = (AutoPeftModelForCausalLM, {"is_trainable": True}) if adapter else (AutoModelForCausalLM, {})
    try:
        model = kind.from_pretrained(source, use_safetensors=True, dtype=dtype, **own)
    except (OSError, ValueError, SafetensorError) as error:
        raise PlotTwistError(f"cannot load a writer from '{source}': {str(error).splitlines()[0]}; name a folder or a Hub id") from error
    if not lora_rank:
        return model
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear")
    return get_peft_model(model.merge_and_unload() if adapter else model, config)


def parameter_counts(model: PreTrainedModel) -> tuple[int, int]:
    """(active per token, total), embeddings counted once in both; in a mixture a token passes ``num_experts_per_tok`` experts."""
    total = sum(p.numel() for p in model.parameters())
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    if not experts:
        return total, total
    return total - experts + experts * model.config.num_experts_per_tok // model.config.num_experts, total
