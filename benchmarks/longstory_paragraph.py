"""Time and peak memory of a paragraph by its place in the story: LongStory beside a model that rereads everything.

    python benchmarks/longstory_paragraph.py [--profile cpu] [--rounds 7]

The same paragraph over and over is the story so far, 32 tokens are written each time, models and places take turns. Exit code 1 if
LongStory's paragraph 50 takes more than 1.1 times the time or the memory of paragraph 5.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd
import torch

from plottwist import profiles
from plottwist.longstory import cost, data, experiments

MOST = 1.1
PLACES = (1, 5, 10, 20, 50)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    profile = profiles.load(arguments.profile)
    torch.set_num_threads(profile.threads)
    told = data.total(data.load(profile), "test")[0]
    models = experiments.for_cost(profile, max(PLACES))
    keywords = experiments.stories_of(models["LongStory"], [told])[0].keywords
    rows = [vars(c) for c in cost.measure(models, [told[1]] * max(PLACES), keywords, PLACES, arguments.rounds)]
    frame = pd.DataFrame(rows).groupby(["model", "paragraph"], sort=False)
    table = pd.DataFrame({"median ms": frame.seconds.median() * 1000, "peak kB": frame.peak_bytes.max() / 1000})
    print(table.round(1).to_string())
    ratios = {name: table.loc[(name, 50)] / table.loc[(name, 5)] for name in models}
    for name, ratio in ratios.items():
        print(f"{name:<10} paragraph 50 over paragraph 5: {ratio['median ms']:.2f}x time, {ratio['peak kB']:.2f}x memory")
    return int((ratios["LongStory"] > MOST).any())


if __name__ == "__main__":
    sys.exit(main())
