"""Several processes with sharded weights (FSDP) on a CPU, which torch can do and accelerate 1.15 cannot start: without a word it would
give each process the whole weights (DDP). All else is as ``accelerate launch`` and docs/accelerate/fsdp.yaml say."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from plottwist import paths

_begin = AcceleratorState.__init__


def launch(program: str, folder: Path) -> None:
    """Run a Python program in two processes."""
    script = folder / "program.py"
    script.write_text(program)
    config = str(paths.ROOT / "docs/accelerate/fsdp.yaml")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0"]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, "--num_processes", "2", __file__, str(script)], check=True, env=environment, timeout=600)


def _sharding(self: AcceleratorState, *arguments: object, fsdp_plugin: object = None, **keywords: object) -> None:
    """As on GPUs: what accelerate does there for FSDP, and not on a CPU."""
    _begin(self, *arguments, fsdp_plugin=fsdp_plugin, **keywords)
    if fsdp_plugin and self.distributed_type == DistributedType.MULTI_CPU:
        if self.mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self.mixed_precision)
        self.fsdp_plugin = fsdp_plugin
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    AcceleratorState.__init__ = _sharding
    runpy.run_path(sys.argv[1], run_name="__main__")
