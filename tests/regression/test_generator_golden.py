"""The first losses of fine-tuning against recorded ones: a change of library or code that moves training shows here.

Recorded with torch 2.13.0 and transformers 5.23.0 on a CPU, one thread. To record anew, run this file as a program and say why in the commit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from plottwist import profiles
from plottwist.generator import model, sft, tokens

RECORDED = [6.6005, 6.6284, 6.5054, 6.4407, 6.3914, 6.3461]


def losses() -> list[float]:
    """Losses of six updates of four stories."""
    torch.set_num_threads(1)
    stories = sft.storyworld_examples(24, "train", 0)
    tokenizer = tokens.train_tokenizer([t for row in stories for t in (row["premise"], row["plot"])], 700)
    writer = model.build(profiles.load("smoke").generator, tokenizer, 0)
    config = sft.SftConfig(batch_size=4, learning_rate=3e-3, evaluations=1)
    with tempfile.TemporaryDirectory() as folder:
        _, log = sft.finetune(writer, tokenizer, stories, stories.select(range(4)), config, 0, Path(folder))
    return [row["loss"] for row in log if "loss" in row]


def test_the_first_losses_are_the_recorded_ones():
    assert losses() == pytest.approx(RECORDED, abs=2e-3)


if __name__ == "__main__":
    print([round(x, 4) for x in losses()])
