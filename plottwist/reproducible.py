"""Seeds and threads, fixed in one place.

Sums of floats depend on the number of threads, so a run fixes it; a seed alone does not carry over.
``environment`` is set before a notebook's kernel starts; ``seed_everything`` is called in it.
"""

from __future__ import annotations

import os
import random
import sys

import numpy as np
from threadpoolctl import threadpool_limits

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def environment(threads: int, hub: bool, device: str = "cpu") -> dict[str, str]:
    """The environment of a process that runs an experiment; on device "cpu" no GPU is seen, so that libraries do not choose it."""
    offline = {} if hub else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {
        **os.environ,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        **offline,
        **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}),
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore::FutureWarning",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def seed_everything(seed: int, threads: int) -> None:
    """Seed Python and numpy, and torch where the experiment has imported it, with a fixed number of threads.

    Where numpy was imported before ``environment`` was set, as in this process, only this call reaches the threads of its linear algebra.
    """
    threadpool_limits(threads)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)


def first_process() -> bool:
    """Whether this process is the one that writes: the only one, or the first of those that ``accelerate launch`` started."""
    return os.environ.get("RANK", "0") == "0"
