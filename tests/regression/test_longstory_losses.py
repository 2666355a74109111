"""The first losses of each kind of storyteller against recorded ones: a change of library or code that moves training shows here.

Recorded with torch 2.13.0 and transformers 5.23.0 on a CPU. To record anew, run this file as a program and say why in the commit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from plottwist.longstory import building
from plottwist.longstory.building import Size
from plottwist.longstory.contexts import Parts
from plottwist.longstory.plain import HistoryParts
from plottwist.longstory.plotmachines import PlotParts
from plottwist.longstory.tokens import train_tokenizer
from plottwist.longstory.training import Story, TrainingConfig, train

STORIES = [
    Story(("storm", "lighthouse"), ("Ana kept the lighthouse.", "A storm broke the lamp.", "She lit a fire, and the ships came home.")),
    Story(("well", "coin"), ("Bo dropped a coin into the well.", "The well gave back two.", "He shared them and was content.")),
]
LIMITS = {"source_tokens": 12, "paragraph_tokens": 32}
RECORDED = {
    "LongStory": [5.956, 5.9114, 6.2869, 5.3576, 5.0844, 5.6241],
    "PlotMachines": [5.8382, 5.8418, 5.5259, 5.3258, 5.1538, 5.108],
    "PlainEncoderDecoder": [6.0254, 5.8466, 6.2024, 5.3962, 5.0496, 5.5744],
    "PlainDecoder": [5.773, 5.8533, 5.5657, 5.3145, 5.1193, 5.0855],
}


def losses(kind: str) -> list[float]:
    """Losses of six steps without dropout."""
    torch.set_num_threads(1)
    tokenizer = train_tokenizer([p for s in STORIES for p in s.paragraphs], 320)
    size = Size(width=16, layers=1, heads=2, positions=96, dropout=0.0, calibrator_width=8, calibrator_layers=1)
    history = HistoryParts(**LIMITS, history_tokens=40)
    build = {
        "LongStory": lambda: building.long_story(tokenizer, Parts(**LIMITS), size, 0),
        "PlotMachines": lambda: building.plot_machines(tokenizer, PlotParts(**LIMITS, state_slots=2), size, 0),
        "PlainEncoderDecoder": lambda: building.plain_encoder_decoder(tokenizer, history, size, 0),
        "PlainDecoder": lambda: building.plain_decoder(tokenizer, history, size, 0),
    }
    config = TrainingConfig(steps=6, batch_size=2, learning_rate=1e-2, warmup=1, evaluate_every=6)
    with tempfile.TemporaryDirectory() as folder:
        return train(build[kind](), STORIES, STORIES, config, 0, Path(folder)).train


@pytest.mark.parametrize("kind", RECORDED)
def test_the_first_losses_are_the_recorded_ones(kind):
    assert losses(kind) == pytest.approx(RECORDED[kind], abs=2e-3)


if __name__ == "__main__":
    for each in RECORDED:
        print(f'    "{each}": {[round(x, 4) for x in losses(each)]},')
