"""The first losses of DPO, DDPO, ORPO and DORPO against recorded ones: a change of library or code that moves training shows here.

Recorded with torch 2.13.0, transformers 5.23.0 and TRL 1.16.0 on a CPU. To record anew, run this file as a program and say why in
the commit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from plottwist import files
from plottwist.generator.preference import PreferenceConfig, train
from plottwist.generator.tokens import train_tokenizer

PREMISES = [f"{name} wants to {want}." for name in ("Ana", "Bo", "Cy") for want in ("sing", "sail")]
GOOD = "She left home, lost a friend and found the sea."
BAD = "She ate, and then she ate again, and nothing came of it."
WEIGHTS = [0.0, 2.0, 0.5, 1.5, 1.0, 1.0]
RECORDED = {
    "DPO": [0.6952, 0.6952, 0.5518, 0.463, 0.4072, 0.3752],
    "DDPO": [0.5219, 0.5219, 0.8287, 0.6935, 0.104, 0.4712],
    "ORPO": [5.8724, 5.8772, 5.7826, 5.7144, 5.6656, 5.6377],
    "DORPO": [4.4043, 4.4078, 8.6788, 8.574, 1.4175, 7.0514],
}


def losses(kind: str) -> list[float]:
    """Losses of six steps, two epochs of two pairs a step."""
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([*PREMISES, GOOD, BAD], 320)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "tie_word_embeddings": True}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=0, **size, **experts))
    pairs = Dataset.from_list([{"prompt": p, "chosen": GOOD, "rejected": BAD} for p in PREMISES])
    config = PreferenceConfig(loss=kind.lower()[-3:] if kind.endswith("DPO") else "orpo", learning_rate=1e-3, epochs=2, batch_size=2)
    with tempfile.TemporaryDirectory() as folder:
        train(model, tokenizer, pairs, config, 0, Path(folder), WEIGHTS if kind.startswith("D") and kind != "DPO" else None)
        return [row["loss"] for row in files.read_json(Path(folder) / "history.json")]


@pytest.mark.parametrize("kind", RECORDED)
def test_the_first_losses_are_the_recorded_ones(kind):
    assert losses(kind) == pytest.approx(RECORDED[kind], abs=2e-3)


if __name__ == "__main__":
    for each in ("DPO", "DDPO", "ORPO", "DORPO"):
        print(f'    "{each}": {[round(x, 4) for x in losses(each)]},')
