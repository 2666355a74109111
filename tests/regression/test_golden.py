"""Golden numbers: the reward model's loss step by step on fixed sentences, beside the versions that gave it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plottwist.reward import training
from plottwist.reward.model import AspectRewardModel, RewardConfig, SequenceHead

GOLDEN = Path(__file__).with_name("golden_reward_loss.json")
SENTENCES = ["A storm takes the harbour.", "The cook finds her brother.", "Nobody answers the letter.", "The king loses a ship."]


def losses() -> list[float]:
    """Loss before each of the first eight steps."""
    torch.manual_seed(0)
    examples = training.Examples(
        [SENTENCES[i:] + SENTENCES[:i] for i in range(4)] * 2, np.array([[1.0 + 2 * (i % 4)] * 5 for i in range(8)]), np.arange(8) // 4
    )
    config = RewardConfig(heads=2, layers=None, hidden_size=8, dropout=0.0, centre=(4.0,) * 5, spread=(2.2,) * 5)
    model = AspectRewardModel(config, [SequenceHead(config)])
    vectors, mask = training.pad(model.read(examples.documents))
    targets, groups = training._targets(examples, np.arange(8), config)
    optimiser = torch.optim.SGD(model.heads[0].parameters(), lr=0.1)
    found = []
    for _ in range(8):
        value = training.loss(model.heads[0], vectors, mask, targets, groups, pair_weight=1.0)
        found.append(value.item())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return found


def test_the_loss_of_every_step_is_the_recorded_one():
    golden = json.loads(GOLDEN.read_text())
    assert losses() == pytest.approx(golden["losses"], rel=2e-3), f"recorded with {golden['versions']}"
