"""Start several processes of the same command on this machine, with torch's elastic launcher."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.errors import InterruptionError, ScingError, SettingError, counted
from scing_cli.core.processes.launched_record import all_done, read_endings
from scing_cli.core.processes.peer_errors import AGAIN, SentError
from scing_cli.environment import LAUNCHED

TIME_TO_SAVE = 120  # seconds after a signal, where torch lets a launcher say so; else, and for a lost process, 30
DEFAULT_PORT = 29_400
HANDLED = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name))


@dataclasses.dataclass(frozen=True)
class Launch:
    """How many processes to start, and where they meet.

    Args:
        processes: On each machine.
        nodes: Number of machines.
        node_rank: Number of this machine; the run folder is on machine 0.
        rendezvous: HOST:PORT of machine 0, where processes of several machines meet.
        max_restarts: How often they are started again if one of them ends without a message.
    """

    processes: int
    nodes: int = 1
    node_rank: int = 0
    rendezvous: str = ""
    max_restarts: int = 0

    def meeting_point(self) -> tuple[str, int]:
        """Return host and port of `rendezvous`.

        Raises:
            SettingError: If it is not HOST:PORT.
        """
        host, colon, port = self.rendezvous.rpartition(":")
        host, port = (host, port) if colon else (self.rendezvous, str(DEFAULT_PORT))
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise SettingError(
                f"--rendezvous {self.rendezvous!r}: it should be HOST:PORT of machine 0.", "Such as gpu01:29400."
            )
        return host, int(port)

    def check_host(self) -> None:
        """Check that the meeting point has an address.

        Raises:
            SettingError: If its name is not known.
        """
        host, port = self.meeting_point()
        try:
            socket.getaddrinfo(host, port)
        except OSError as error:
            raise SettingError(f"--rendezvous {self.rendezvous!r}: {host!r} has no address here.") from error


def launch(how: Launch, arguments: Sequence[str]) -> None:
    """Run `scing` with these arguments in several processes, and wait for them.

    Process 0 prints. A signal reaches each process once; they save, and end.

    Args:
        how: How many processes, and where they meet.
        arguments: Of the command line.

    Raises:
        ScingError: The error of a process, or one that names the process that ended without a message.
        InterruptionError: After Ctrl-C or SIGTERM.
        RuntimeError: The internal error of a process.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch reads it once, and warns at each attempt
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.disable(logging.CRITICAL)  # the launcher of torch tells of each signal, with a traceback of each failure
    folder = Path(tempfile.mkdtemp(prefix="scing-launch-"))
    # as this process was started: a script does not import from the current folder, python -m does
    safe = () if Path(sys.argv[0]).name == "__main__.py" else ("-P",)
    stopped, failed = 0, None
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    try:
        with _environment(how, folder):
            for number in HANDLED:  # until torch hears them: it waits for other machines where Python does not
                if handlers[number] is not signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            try:
                elastic_launch(_config(how, folder), sys.executable)(*safe, "-m", "scing_cli", *arguments)
            except SignalException as stop:
                stopped = int(stop.sigval)
            except ChildFailedError as failure:
                failed = failure
            except (RuntimeError, OSError) as error:
                raise ScingError(
                    f"The processes could not be started: {str(error).splitlines()[0]}",
                    "Is the address of --rendezvous that of machine 0, is its port free and open, and has each machine "
                    "a --node-rank of its own?",
                ) from error
        if not (stopped and all_done(folder, how.processes)):  # a signal after the end changes nothing
            _raise_ending(read_endings(folder), stopped, failed, how)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        logging.disable(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)


def _raise_ending(endings: Sequence[SentError], stopped: int, failed: Any, how: Launch) -> None:
    """Raise the error of the first process that has one of its own; nothing after success."""
    own = next((ending for ending in endings if not ending.left_behind), None)
    rank, failure = failed.get_first_failure() if failed is not None else (0, None)
    host = socket.gethostname()
    interrupted = own is not None and own.interrupted
    if stopped:
        if own is not None and interrupted:
            raise dataclasses.replace(own, number=stopped).raised(host)
        if own is None:
            raise InterruptionError("Interrupted.", f"{AGAIN.partition('.')[0]}:", number=stopped, again=True)
    if own is not None and not (interrupted and failure is not None and failure.exitcode != 1):
        raise own.raised(host)  # an interruption beside a lost process is torch's, which ends the others
    if failure is not None:
        gone = next((ending for ending in endings if ending.left_behind), None)
        if failure.exitcode == 1 and gone is not None:  # another machine's process ended
            raise gone.raised(host)
        what = f"Process {rank} of {how.processes * how.nodes} on {host} {_ended(failure.exitcode)}."
        restarts = f" It was started again {counted(how.max_restarts, 'time')}." if how.max_restarts else ""
        raise ScingError(what + restarts, AGAIN)


def _ended(code: int) -> str:
    """Return how a process ended, from its exit code.

    >>> _ended(-9), _ended(3)
    ('was ended by SIGKILL', 'ended with exit code 3')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _config(how: Launch, folder: Path) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    several = how.nodes > 1
    endpoint = "localhost:0"
    settings: dict[str, Any] = {"timeout": 900}
    if several:
        host, port = how.meeting_point()
        endpoint, settings = f"{host}:{port}", {**settings, "rank": how.node_rank}
    return LaunchConfig(
        min_nodes=how.nodes,
        max_nodes=how.nodes,
        nproc_per_node=how.processes,
        run_id="scing",
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=endpoint,
        rdzv_configs=settings,
        max_restarts=how.max_restarts,
        monitor_interval=0.1,
        local_addr=None if several else "localhost",
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs")),
        **_signals(LaunchConfig),
    )


def _signals(kind: Any) -> dict[str, Any]:
    """Return which signals end the processes: those that this process was not started to ignore, as by nohup."""
    heard = [signal.Signals(number).name for number in HANDLED if signal.getsignal(number) is not signal.SIG_IGN]
    known = {field.name for field in dataclasses.fields(kind)}
    return {"signals_to_handle": ",".join(heard)} if "signals_to_handle" in known else {}


@contextlib.contextmanager
def _environment(how: Launch, folder: Path) -> Any:
    """Set what the processes read, and the launcher itself; restore it afterwards."""
    from scing_cli.core.threads import default_threads

    wanted = {LAUNCHED: str(folder), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(TIME_TO_SAVE)}
    if "OMP_NUM_THREADS" not in os.environ:
        wanted["OMP_NUM_THREADS"] = str(max(1, default_threads() // how.processes))
    if how.nodes == 1 and sys.platform == "linux":
        wanted["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")  # whatever this host is called
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
