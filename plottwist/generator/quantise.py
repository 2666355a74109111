"""Weights in int8: a quarter of the size on disk, for committing and sending.

Weight-only, symmetric, one scale per row (LLM.int8 without its outliers; Dettmers et al. 2022). The weights are put back into float32 when
they are loaded, so that every layer is covered, also the experts of a mixture, which the int8 kernels of torch do not know.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from plottwist.errors import PlotTwistError

Loaded = TypeVar("Loaded")

WEIGHTS, SMALL = "model.safetensors", "model.int8.safetensors"
_SCALE = ".int8_scale"
_LEAST_ROW = 16  # shorter rows (norms, biases) stay as they are


def shrink(source: Path, target: Path) -> None:
    """Copy a saved model (a flat folder) with its weights in int8; the rest stays as it is."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and path.name != WEIGHTS:
            shutil.copyfile(path, target / path.name)
    save_file(to_int8(load_file(source / WEIGHTS)), target / SMALL, metadata={"format": "pt"})


def restored(folder: Path, load: Callable[[Path], Loaded]) -> Loaded:
    """What ``load`` makes of a folder; one shrunk before is put back to float32 in a temporary folder first.

    Raises:
        PlotTwistError: broken weights.
    """
    if not (folder / SMALL).is_file():
        return load(folder)
    with tempfile.TemporaryDirectory() as place:
        for path in folder.iterdir():
            if path.is_file() and path.name != SMALL:
                shutil.copyfile(path, Path(place) / path.name)
        try:
            weights = to_float(load_file(folder / SMALL))
        except (OSError, SafetensorError) as error:
            raise PlotTwistError(f"cannot read {folder / SMALL}: {error}") from error
        save_file(weights, Path(place) / WEIGHTS, metadata={"format": "pt"})
        return load(Path(place))


def to_int8(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each matrix (..., rows, columns) as whole numbers from -127 to 127 with one scale a row."""
    small: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim < 2 or weight.shape[-1] < _LEAST_ROW:
            small[name] = weight
            continue
        scale = weight.float().abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
        small[name] = (weight.float() / scale).round().to(torch.int8)
        small[name + _SCALE] = scale
    return small


def to_float(small: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``to_int8``, up to half a step."""
    return {
        name: weight.float() * small[name + _SCALE] if name + _SCALE in small else weight
        for name, weight in small.items()
        if not name.endswith(_SCALE)
    }


def size(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
