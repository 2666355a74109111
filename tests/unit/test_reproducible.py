"""Sums of floats depend on the number of threads, so a run must have the number it says, however it was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np  # noqa: F401  (so that its linear algebra is among the pools below)
import pytest
from threadpoolctl import threadpool_info

PROGRAM = """
import json, os
import numpy
from plottwist import reproducible
os.environ.update(reproducible.environment(1, hub=False))
import torch
reproducible.seed_everything(0, 1)
import scipy.linalg
from threadpoolctl import threadpool_info
print(json.dumps([[pool["internal_api"], pool["num_threads"]] for pool in threadpool_info()]))
"""


BLAS = {pool["internal_api"] for pool in threadpool_info()}


@pytest.mark.skipif((os.cpu_count() or 1) < 2 or "openblas" not in BLAS, reason="needs two cores and a numpy with OpenBLAS")
def test_linear_algebra_has_the_profiles_threads_even_where_numpy_came_first():
    several = {**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}
    told = subprocess.run([sys.executable, "-c", PROGRAM], env=several, capture_output=True, text=True, check=True).stdout
    pools = json.loads(told.splitlines()[-1])
    assert {api for api, _ in pools} >= {"openblas", "openmp"}
    assert all(threads == 1 for _, threads in pools), pools
