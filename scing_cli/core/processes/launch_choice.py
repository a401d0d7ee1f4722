"""Whether a command starts several processes of itself, from the options of the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from scing_cli.core.devices import gpu_count
from scing_cli.core.errors import SettingError
from scing_cli.core.processes.launch import Launch, launch
from scing_cli.core.processes.launched_record import launch_folder
from scing_cli.core.processes.started import start_of

AUTO = "auto"
MOST = 1024  # processes of one machine


@dataclasses.dataclass(frozen=True)
class LaunchChoice:
    """What the user chose; None for what was not given.

    Args:
        processes: A number, or `auto` for one process for each GPU.
        nodes: Number of machines.
        node_rank: Number of this machine.
        rendezvous: HOST:PORT of machine 0.
        max_restarts: How often lost processes are started again.
        compress: Whether gradients travel as bf16.
    """

    processes: str | None = None
    nodes: int | None = None
    node_rank: int | None = None
    rendezvous: str | None = None
    max_restarts: int | None = None
    compress: bool | None = None

    def run(self, arguments: Sequence[str], device: str = AUTO, say: Callable[[str], object] = str) -> bool:
        """Start the processes and wait for them, if several are wanted and this is none of them.

        Args:
            arguments: Of the command line, which all processes get.
            device: One of `devices.DEVICES`.
            say: Shows what several machines wait for.

        Returns:
            Whether it was so; if not, this process does the work.

        Raises:
            SettingError: If the options do not fit together, or something else has started the processes.
        """
        if launch_folder() is not None and start_of() is not None:
            return False
        how, start = self.checked(), start_of()
        if how is None:
            if self.compress and start is None:
                raise SettingError(
                    "--compress-gradients has no effect on one process.", "Leave it out, or give --processes."
                )
            return False
        if start is not None:
            raise SettingError(
                "--processes and --nodes have no effect here: torchrun or srun has started these processes.",
                "Leave them out, or start scing by itself.",
            )
        gpus = gpu_count() if device != "cpu" else 0
        if how.processes > gpus > 0:
            raise SettingError(
                f"--processes {how.processes}: each process needs a GPU of its own, and torch finds {gpus:,} here.",
                "Use --processes auto, or --device cpu.",
            )
        if how.nodes > 1:
            how.check_host()
            told = "" if how.node_rank == 0 else " Machine 0 tells how the training goes."
            waits = f"Machine {how.node_rank} of {how.nodes} waits for the others at {how.rendezvous}"
            say(f"{waits}, up to 15 minutes.{told}")
        launch(how, arguments)
        return True

    def checked(self) -> Launch | None:
        """Return what to start; None for one process alone.

        Raises:
            SettingError: If the options do not fit together.
        """
        count, nodes = self._count(), self.nodes if self.nodes is not None else 1
        for name, value, least in (
            ("--nodes", self.nodes, 1),
            ("--node-rank", self.node_rank, 0),
            ("--max-restarts", self.max_restarts, 0),
        ):
            if value is not None and value < least:
                raise SettingError(f"{name} {value}: must be at least {least}.")
        self._check_machines(nodes)
        if count * nodes == 1:
            if self.max_restarts:
                raise SettingError("--max-restarts has no effect on one process.", "Leave it out, or give --processes.")
            return None
        how = Launch(count, nodes, self.node_rank or 0, self.rendezvous or "", self.max_restarts or 0)
        if nodes > 1:
            how.meeting_point()
        return how

    def _check_machines(self, nodes: int) -> None:
        if nodes > 1 and self.rendezvous is None:
            raise SettingError(
                f"--nodes {nodes}: where should the machines meet?", "Name machine 0: --rendezvous HOST:PORT, on each."
            )
        if nodes > 1 and self.node_rank is None:
            raise SettingError(f"--nodes {nodes}: which of them is this machine?", "Give --node-rank, from 0 on.")
        if self.node_rank is not None and self.node_rank >= nodes:
            raise SettingError(f"--node-rank {self.node_rank}: must be below --nodes, {nodes}.")
        if self.rendezvous is not None and nodes == 1:
            raise SettingError("--rendezvous has no effect on one machine.", "Leave it out, or give --nodes.")

    def _count(self) -> int:
        text = self.processes
        if text is None:
            return 1
        if text == AUTO:
            return max(1, gpu_count())
        if text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST:
            return int(text)
        raise SettingError(f"--processes {text!r}: must be a number from 1 to {MOST:,}, or auto.")
