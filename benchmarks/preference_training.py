"""Our preference training against TRL's own DPOTrainer: same writer, pairs, order, batch and arguments.

    python benchmarks/preference_training.py [--rounds 9]

TRL's trainer, ours without weights (DPO) and ours with weights (DDPO) run in turn in one process on one thread, each from the same
model, reference log-probabilities computed beforehand; ratios are taken round by round over CPU seconds, so that other programs on
the machine do not count. Peak memory is that of a process of its own for each.
"""

from __future__ import annotations

import argparse
import copy
import gc
import logging
import os
import subprocess
import sys
import tempfile
import time
from itertools import permutations
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from datasets import Dataset
from datasets.utils import disable_progress_bars
from transformers import PrinterCallback, Trainer
from transformers.trainer_utils import SaveStrategy
from trl import DPOTrainer

from plottwist import profiles, stats
from plottwist.corpora import storyworld
from plottwist.generator import preference
from plottwist.generator.model import build
from plottwist.generator.tokens import train_tokenizer

KINDS = ("TRL", "DPO", "DDPO")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--only", choices=KINDS, help="one round of this one, then its peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ["TQDM_DISABLE"] = "1"
    disable_progress_bars()
    setting = _setting(arguments.pairs, arguments.batch)
    if arguments.only:
        _seconds(arguments.only, *setting)
        print(_peak())
        return
    throughput(arguments.rounds, setting)
    for kind in KINDS:
        command = [sys.executable, __file__, "--only", kind, "--pairs", str(arguments.pairs), "--batch", str(arguments.batch)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        print(f"  {kind:<4}: peak memory {peak} MB")


def throughput(rounds: int, setting: tuple) -> None:
    pairs = len(setting[2])
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for round_ in range(rounds + 1):
        order = list(permutations(KINDS))[round_ % 6]  # nobody always goes first, or always after the same one
        spent = {kind: _seconds(kind, *setting) for kind in order}
        if round_:  # the first warms up
            for kind in KINDS:
                seconds[kind].append(spent[kind])
    taken = {kind: np.array(s) for kind, s in seconds.items()}
    print(f"{pairs} pairs a round, {rounds} rounds, 1 thread; pairs a CPU second, medians:")
    for kind, values in taken.items():
        print(f"  {kind:<4} {pairs / np.median(values):6.2f}")
    print(f"  DPO against TRL, pairs a second:  {_ratio(taken['TRL'] / taken['DPO'])}")
    print(f"  DDPO over DPO, extra time:        {_ratio(taken['DDPO'] / taken['DPO'] - 1)}")


def _setting(pairs: int, batch: int) -> tuple:
    settings = profiles.load("cpu").generator
    stories = [storyworld.simulate(i) for i in range(pairs)]
    others = [storyworld.simulate(i + pairs).text for i in range(pairs)]
    tokenizer = train_tokenizer([s.text for s in stories] + others, settings.vocabulary)
    model = build(settings, tokenizer, 0)
    rows = {"prompt": [s.premise for s in stories], "chosen": [s.text for s in stories], "rejected": others}
    config = preference.PreferenceConfig(batch_size=batch, epochs=1, max_length=settings.context, checkpoints=2)
    return model, tokenizer, Dataset.from_dict(rows), config


def _seconds(kind: str, model: torch.nn.Module, tokenizer: object, pairs: Dataset, config: preference.PreferenceConfig) -> float:
    weights = np.linspace(0, 2, len(pairs)) if kind == "DDPO" else None
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(kind, copy.deepcopy(model), tokenizer, preference.prepared(tokenizer, pairs, weights), config, Path(folder))
        trainer.remove_callback(PrinterCallback)
        trainer.args.save_strategy = SaveStrategy.NO
        gc.collect()  # not what another one left behind
        began = time.process_time()
        trainer.train()
        return time.process_time() - began


def _trainer(
    kind: str, model: torch.nn.Module, tokenizer: object, data: Dataset, config: preference.PreferenceConfig, folder: Path
) -> Trainer:
    if kind != "TRL":
        return preference.build_trainer(model, tokenizer, data, config, 0, folder)
    return DPOTrainer(model, args=preference.training_arguments(config, 0, folder), processing_class=tokenizer, train_dataset=data)


def _ratio(values: np.ndarray) -> str:
    estimate = stats.mean(values)
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] (95% CI over rounds)"


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
