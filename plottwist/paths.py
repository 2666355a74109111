"""Where things are: the one place that knows the layout of the repository."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("PLOTTWIST_ROOT", Path(__file__).resolve().parents[1]))
NOTEBOOKS = ROOT / "notebooks"
SHIPPED = Path(os.environ.get("PLOTTWIST_SHIPPED", ROOT / "data"))
RESULTS = ROOT / "results"
BUILD = ROOT / "build"


def public_data() -> Path:
    """The folder of third-party data: ``PLOTTWIST_DATA``, else ``shared/data`` beside the clone."""
    return Path(os.environ.get("PLOTTWIST_DATA", ROOT.parent / "shared" / "data"))
