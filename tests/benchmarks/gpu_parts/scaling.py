"""Stage 2 in one process for each GPU against one process, with the command line of users."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gpu_parts.ground import Figure, Ground
from scing_cli.core.devices import gpu_count
from scing_cli.core.settings import PromptSettings
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.train.prompts_stage import train_prompts


def measure(ground: Ground) -> Iterator[Figure]:
    """Yield the images per second of the last epoch, alone and on all GPUs; on a CPU or one GPU, with two processes.

    The batch of all processes is the same, so this is the scaling that a user gets who changes nothing else.
    """
    sizes, on_gpu = ground.sizes, ground.device.type != "cpu"
    processes = gpu_count() if on_gpu else 2
    start = ground.folder / "start"
    first = {"model": sizes.model, "pretrained": "random", "method": "clip-reid", "epochs": 1}
    train_prompts(
        ground.table,
        PromptSettings(**first, batch_size=sizes.steps[0][0]),
        run=start,
        machine=Machine(ground.device.type),
    )
    rates = {}
    for count in dict.fromkeys((1, processes)):
        run = Path(shutil.copytree(start, ground.folder / f"processes-{count}"))
        rates[count] = images_per_second(run, count, ground)
        yield Figure(f"stage 2, {count} processes, batch {sizes.steps[0][0]}", rates[count], "images/s")
    if processes > 1:
        more = {"processes": processes, "shares cores": not on_gpu}
        yield Figure("  all of them, over one", rates[processes] / rates[1], "times", more=more)


def images_per_second(run: Path, processes: int, ground: Ground) -> float:
    """Train stage 2 of a run, and return the rate of its last epoch.

    Raises:
        RuntimeError: If the command fails; the message is its own.
    """
    sizes = ground.sizes
    options = ("--epochs", str(sizes.epochs), "--batch-size", str(sizes.steps[0][0]), "--run", str(run))
    command = ("train-visual", *options, "--processes", str(processes), "--device", ground.device.type)
    done = subprocess.run([sys.executable, "-m", "scing_cli", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    last = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return float(last["images_per_second"])
