"""Join the processes of a training at its start, and leave them at its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from scing_cli.core.errors import InterruptionError, ScingError
from scing_cli.core.processes.launched_record import forget, launch_folder, write_done, write_ending
from scing_cli.core.processes.peer_errors import PeerLostError, SentError
from scing_cli.core.processes.process_group import ALONE, ProcessGroup
from scing_cli.core.processes.started import Start, start_of


@contextlib.contextmanager
def joined(device: str = "auto", *, quiet: bool = True, compress: bool = False) -> Iterator[ProcessGroup]:
    """Yield the group of this process: `ALONE`, unless launcher, torchrun or srun started it as one of several.

    All but process 0 are silent from then on. An error in the block is told to the other processes. In a process that
    `launch` started, it is written down for the launcher, and the process exits.

    Args:
        device: One of `devices.DEVICES`.
        quiet: Whether processes other than the first one lose standard error too.
        compress: Whether gradients travel as bf16.

    Raises:
        SettingError: If the environment is inconsistent, or there are fewer GPUs than processes.
        PeerLostError: If the processes do not find each other.
    """
    start = start_of()
    if start is None:
        yield ALONE
        return
    folder, group = launch_folder(), None
    heard: list[int] = []
    try:
        if folder is not None:
            forget(folder, start.rank)
        group = _join(start, device, compress=compress)
        if start.rank:
            _silence(errors=quiet)
        if folder is not None:
            _hear_signals(heard)
        yield group
    except BaseException as raised:
        error = _numbered(raised, heard)
        if group is not None and not isinstance(error, PeerLostError | SystemExit):
            group.leave(error)
        if folder is None:
            raise
        _end(folder, error, start, group)
    else:
        if folder is not None:
            write_done(folder, start.rank)
        group.leave()


def _numbered(error: BaseException, heard: Sequence[int]) -> BaseException:
    """Return the error; for the interruption by a signal, one that has its number."""
    if not heard or not isinstance(error, KeyboardInterrupt):
        return error
    return InterruptionError("Interrupted.", "", number=heard[-1])


def _end(folder: Path, error: BaseException, start: Start, group: ProcessGroup | None) -> None:
    """Write down for the launcher why this process ends, and exit."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the launcher may be ending its processes
        signal.signal(number, signal.SIG_IGN)
    write_ending(folder, SentError.of(error, host=socket.gethostname(), rank=start.rank))
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # not sys.exit: threads of a group that was left in disorder may abort the interpreter's own end
    os._exit(0 if group is not None and _is_told(error, group) else 1)


def _is_told(error: BaseException, group: ProcessGroup) -> bool:
    """Return whether all processes will end by themselves: then none has to be ended, or started again."""
    if isinstance(error, SystemExit):  # the output was closed, after all was done
        return True
    if isinstance(error, PeerLostError) or not isinstance(error, ScingError | KeyboardInterrupt):
        return False
    if group.on_gpus:  # a process may wait for ever for what this one does not send
        return False
    # launchers of several machines wait minutes for each other, unless their processes fail
    several = os.environ.get("GROUP_WORLD_SIZE", "1") != "1"
    interrupted = isinstance(error, KeyboardInterrupt | InterruptionError)
    return not (several and interrupted and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0")


def _join(start: Start, device: str, *, compress: bool) -> ProcessGroup:
    import torch
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    from scing_cli.core.devices import choose_device, gpu_count, process_backend
    from scing_cli.core.processes.several_processes import PATIENCE, SeveralProcesses
    from scing_cli.core.threads import default_threads

    gpu = 0 if start.by == "srun" and gpu_count() == 1 else start.local_rank  # Slurm may show each task its own alone
    backend = process_backend(choose_device(device, gpu))
    sharers = 1 if start.by == "srun" and os.environ.get("SLURM_CPUS_PER_TASK") else start.local_size
    if "OMP_NUM_THREADS" not in os.environ:  # the launcher, and torchrun, set it
        os.environ["OMP_NUM_THREADS"] = str(max(1, default_threads() // sharers))
        torch.set_num_threads(default_threads())
    with _no_output():  # gloo prints how many others it has found, on standard output
        try:
            if start.address is None:
                store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
            else:
                host, port = start.address
                store = TCPStore(host, port, start.size, start.rank == 0, timeout=PATIENCE)
        except RuntimeError as error:
            where = ":".join(map(str, start.address or (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"])))
            raise PeerLostError(
                f"Process {start.rank} of {start.size} does not reach the others at {where}.",
                "Is this the first machine's address, is the port free and open?",
            ) from error
        # torch keeps one store over restarts: without a name for each, addresses of lost processes would be used again
        return SeveralProcesses(
            PrefixStore(f"scing/{start.step}/{start.restarts}", store),
            rank=start.rank,
            size=start.size,
            local_rank=start.local_rank,
            local_size=start.local_size,
            backend=backend,
            compress=compress,
            gpu=gpu,
            sharers=sharers,
        )


def _hear_signals(heard: list[int]) -> None:
    """Make SIGINT and SIGTERM raise KeyboardInterrupt, as in one process alone, and add their numbers to a list."""

    def stop(number: int, frame: object) -> None:
        del frame
        heard.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _silence(*, errors: bool) -> None:
    """Send what this process prints to nowhere; with `errors`, also what goes to standard error."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for number in (1, 2) if errors else (1,):
        os.dup2(null, number)
    os.close(null)


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    """Lose what libraries print within a block."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    before = {number: os.dup(number) for number in (1, 2)}
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in before:
            os.dup2(null, number)
        yield
    finally:
        for number, former in before.items():
            os.dup2(former, number)
            os.close(former)
        os.close(null)
