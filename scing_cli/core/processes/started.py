"""Whether this process is one of several: started by `launch`, by torchrun or by Slurm's srun."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping

from scing_cli.core.errors import SettingError

LOWEST_PORT, PORTS = 20_000, 20_000  # of Slurm jobs, by their number
HIGHEST_PORT = 65_535
STEP = 97  # ports between two steps of a job


@dataclasses.dataclass(frozen=True)
class Start:
    """The place of one process among several.

    Args:
        rank: Its number.
        size: Number of processes, at least 2.
        local_rank: Its number on its machine.
        local_size: Number of processes on its machine.
        by: What started them: `torchrun`, also for `launch`, or `srun`.
        restarts: How often they were started again.
        step: Name of the group, apart from others of one job.
        address: Name of the machine where they meet, if the environment does not tell; with the port.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    by: str
    restarts: int = 0
    step: str = ""
    address: tuple[str, int] | None = None


def start_of(environment: Mapping[str, str] = os.environ) -> Start | None:
    """Return how this process was started; None for one that is alone.

    Raises:
        SettingError: If the environment names a group of processes without a place in it.
    """
    if "WORLD_SIZE" in environment:
        return _from_torchrun(environment)
    if "SLURM_STEP_NUM_TASKS" in environment:  # srun alone sets it: a batch script is no task of a step
        return _from_srun(environment)
    return None


def _from_torchrun(environment: Mapping[str, str]) -> Start | None:
    size = _number(environment, "WORLD_SIZE", least=1)
    rank = _number(environment, "RANK", most=size - 1)
    if size == 1:
        return None
    local_size = _number(environment, "LOCAL_WORLD_SIZE", least=1, otherwise=1)
    local_rank = _number(environment, "LOCAL_RANK", most=local_size - 1, otherwise=rank % local_size)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name):
            raise SettingError(
                f"WORLD_SIZE is {size}, and {name} is not set: where should the processes meet?",
                "Start them with --processes or torchrun, or unset WORLD_SIZE and RANK.",
            )
    _number(environment, "MASTER_PORT", least=1, most=HIGHEST_PORT)
    restarts = _number(environment, "TORCHELASTIC_RESTART_COUNT", otherwise=0)
    return Start(rank, size, local_rank, local_size, "torchrun", restarts)


def _from_srun(environment: Mapping[str, str]) -> Start | None:
    size = _number(environment, "SLURM_STEP_NUM_TASKS", least=1)
    if size == 1:
        return None
    rank = _number(environment, "SLURM_PROCID", most=size - 1)
    local_rank = _number(environment, "SLURM_LOCALID")
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    local_size = tasks_of_node(tasks, _number(environment, "SLURM_NODEID", otherwise=0), at_least=local_rank + 1)
    job, step = (_number(environment, name, otherwise=0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    address = environment.get("MASTER_ADDR") or first_host(environment.get("SLURM_STEP_NODELIST", ""))
    port = _number(
        environment, "MASTER_PORT", least=1, most=HIGHEST_PORT, otherwise=LOWEST_PORT + (job + step * STEP) % PORTS
    )
    return Start(rank, size, local_rank, local_size, "srun", 0, f"{job}.{step}", (address, port))


def first_host(nodes: str) -> str:
    """Return the first name of Slurm's list of nodes.

    >>> first_host("gpu[07-09,12]"), first_host("a1,b[2-3]"), first_host("rack[1-2]n[04,6]")
    ('gpu07', 'a1', 'rack1n04')
    """
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    name = re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0]) if first else ""
    return name or "localhost"


def tasks_of_node(text: str, node: int, *, at_least: int = 1) -> int:
    """Return the number of tasks on a node from Slurm's list of them.

    >>> tasks_of_node("2(x3),1", 1), tasks_of_node("2(x3),1", 3), tasks_of_node("", 0)
    (2, 1, 1)
    """
    counts: list[int] = []
    for number, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(number)] * int(times or 1)
    return max(counts[node] if node < len(counts) else 1, at_least)


def _number(
    environment: Mapping[str, str], name: str, *, least: int = 0, most: int | None = None, otherwise: int | None = None
) -> int:
    text = environment.get(name, "")
    if not text and otherwise is not None:
        return otherwise
    if text.isdecimal() and len(text) < 10 and int(text) >= least and (most is None or int(text) <= most):
        return int(text)
    limits = f"from {least} to {most}" if most is not None else f"of at least {least}"
    raise SettingError(
        f"The environment has {name}={text!r}: it should be a number {limits}.",
        "Start processes with --processes, torchrun or srun, or unset WORLD_SIZE, RANK and the like.",
    )
