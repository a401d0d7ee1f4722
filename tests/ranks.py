"""Runs functions in several processes that train together: each file of tests starts its processes once.

`in_processes(size, jobs, folder)` starts `size` processes of this file. Each joins the group and does all jobs in order;
a job is the name of a function of this file with its arguments. The results are those of process 0, or of all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patience import HANG

HERE = Path(__file__).resolve().parent


def in_processes(size: int, jobs: Sequence[tuple[str, Mapping[str, Any]]], folder: Path) -> list[list[Any]]:
    """Return what each process returned of each job: size lists of JSON-ready values."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(list(jobs)), encoding="utf-8")
    environment = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / "ranks.py"), str(rank), str(size), str(folder)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        errors = [process.communicate(timeout=HANG)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * size, "\n".join(errors)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


def train(
    group: Any, *, stage: str, settings: Mapping[str, Any], run: str, data: str = "", strict: bool = False
) -> Any:
    """Train one stage as the commands do; return the error, if there was one."""
    from scing_cli.core.errors import ScingError
    from scing_cli.core.runtime import Silent
    from scing_cli.core.settings import PromptSettings, VisualSettings, build_settings
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.prompts_stage import train_prompts
    from scing_cli.core.workflows.train.visual_stage import train_visual

    machine = Machine(device="cpu", workers=group.local_size, group=group)
    try:
        if stage == "prompts":
            chosen = build_settings(PromptSettings, {}, settings)
            train_prompts(data, chosen, run=run, strict=strict, machine=machine, reporter=Silent())
        else:
            chosen = build_settings(VisualSettings, {}, settings)
            train_visual(chosen, run=run, strict=strict, machine=machine, reporter=Silent())
    except ScingError as error:
        return f"{type(error).__name__}: {error.what}"
    return None


def train_and_damage(group: Any, *, settings: Mapping[str, Any], run: str, data: str, image: str) -> Any:
    """Train stage 1 without mercy for images that cannot be read; one is damaged after all were found sound."""
    from scing_cli.core.errors import ScingError
    from scing_cli.core.runtime import Silent
    from scing_cli.core.settings import PromptSettings, build_settings
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.prompts_stage import train_prompts

    class Damaging(Silent):
        def note(self, text: str) -> None:
            if text.startswith("Trainable parameters"):
                group.highest(0)  # all have read it for the last time as it was
                if group.is_first:
                    Path(image).write_bytes(Path(image).read_bytes()[:200])

    machine = Machine(device="cpu", workers=group.local_size, group=group)
    chosen = build_settings(PromptSettings, {}, settings)
    try:
        train_prompts(data, chosen, run=run, strict=True, machine=machine, reporter=Damaging())
    except ScingError as error:
        return [type(error).__name__, error.what, error.remedy]
    return None


def gather(group: Any, *, count: int, copies: int) -> Any:
    """Return the gradients of a loss over gathered rows: of what only some processes compute, and of what all do."""
    import torch

    draw = torch.Generator().manual_seed(7)
    inputs = torch.randn(copies * count, 5, generator=draw)
    shared, head = (torch.randn(5, 4, generator=draw).requires_grad_() for _ in range(2))
    unused = torch.zeros(3, requires_grad=True)
    share = group.share(count)
    with group.averaging([shared, head, unused]):
        features = share.whole(share.take(inputs, copies=copies) @ shared, copies=copies)
        ((features @ features.T).tanh().sum() + (features @ head.T @ head).square().mean()).backward()
    return {
        "features": features.tolist(),
        "shared": shared.grad.tolist(),
        "head": head.grad.tolist(),
        "unused": unused.grad is None,
    }


def compressed(group: Any) -> Any:
    """Return the mean gradient, sent in full and as bf16."""
    import torch

    weight = torch.zeros(1000, requires_grad=True)
    value = torch.randn(1000, generator=torch.Generator().manual_seed(group.rank))
    found = []
    for group.compress in (False, True):
        weight.grad = None
        with group.averaging([weight]):
            (weight * value).sum().backward()
        found.append(weight.grad.tolist())
    group.compress = False
    return found


def exchange(group: Any) -> Any:
    """Return what the meetings give in this process."""
    import torch

    tensors = {"a": torch.arange(3, dtype=torch.bfloat16), "none": torch.zeros(0), "flag": torch.tensor([True])}
    told = group.tensors_of_first(tensors if group.is_first else None)
    mean = group.mean([torch.tensor([float(group.rank)]), None])
    return {
        "first": group.from_first(lambda: f"from {group.rank}"),
        "everyone": group.everyone(group.rank * 10),
        "highest": group.highest(group.rank),
        "tensors": {name: [str(value.dtype), value.tolist()] for name, value in told.items()},
        "mean": [None if value is None else value.tolist() for value in mean],
        "agreed": list(group.agreed(range(3))),
    }


def fail(group: Any, *, rank: int, how: str) -> Any:
    """Return the error that this process sees when another one fails."""
    from scing_cli.core.errors import ImageError

    def act() -> str:
        if group.rank == rank:
            raise ImageError("image 7 is damaged.", "Repair it.")
        return "fine"

    def items() -> Any:
        yield "fine"
        yield act()

    try:
        if how == "agreed":
            list(group.agreed(items()))
        elif how == "together":
            group.together(act)
        else:
            group.from_first(act)
    except ImageError as error:
        return [error.what, error.remedy]
    return None


def _main(rank: int, size: int, folder: Path) -> None:
    import torch
    import torch.distributed as dist

    from scing_cli.core.processes import ALONE
    from scing_cli.core.processes.several_processes import SeveralProcesses

    torch.set_num_threads(1)
    group = ALONE
    if size > 1:
        store = dist.FileStore(str(folder / "store"), size)
        group = SeveralProcesses(store, rank=rank, size=size, local_rank=rank, local_size=size, backend="gloo")
    jobs = json.loads((folder / "jobs.json").read_text())
    results = [globals()[name](group, **arguments) for name, arguments in jobs]
    (folder / f"{rank}.json").write_text(json.dumps(results), encoding="utf-8")
    group.leave()
    names = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    left = [name for name in names if "gloo" in name]  # may abort the interpreter's end
    assert not left, left


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
