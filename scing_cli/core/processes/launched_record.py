"""How a process that was started by `launch` ended: a file that the launcher reads, as it alone says why."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path

from scing_cli.core import errors
from scing_cli.core.errors import InterruptionError, ScingError
from scing_cli.core.processes.peer_errors import PeerLostError
from scing_cli.environment import LAUNCHED

RUN = "run"


@dataclasses.dataclass(frozen=True)
class Ending:
    """The error with which a process ended.

    Args:
        rank: Of the process.
        kind: Name of the error's class.
        what: As `ScingError.what`.
        remedy: As `ScingError.remedy`.
        number: Of the signal, for an interruption; the code of an exit without a message.
        again: As `InterruptionError.again`.
    """

    rank: int
    kind: str
    what: str
    remedy: str = ""
    number: int = 0
    again: bool = False

    @classmethod
    def of(cls, rank: int, error: BaseException) -> Ending:
        """Describe an error."""
        kind = type(error).__name__.lstrip("_")
        if isinstance(error, SystemExit):
            return cls(rank, SystemExit.__name__, "", number=error.code if isinstance(error.code, int) else 1)
        if isinstance(error, InterruptionError):
            return cls(rank, InterruptionError.__name__, error.what, error.remedy, error.number, error.again)
        if isinstance(error, KeyboardInterrupt):
            return cls(rank, InterruptionError.__name__, "Interrupted.", number=2)
        if isinstance(error, ScingError):
            return cls(rank, kind, error.what, error.remedy)
        return cls(rank, "", f"{kind}: {error}")

    @property
    def left_behind(self) -> bool:
        """True if the process ended because another one had left."""
        return self.kind == PeerLostError.__name__

    def error(self) -> BaseException:
        """Return the error for the launcher to raise."""
        if self.kind == SystemExit.__name__:
            return SystemExit(self.number)
        if self.kind == InterruptionError.__name__:
            return InterruptionError(self.what, self.remedy, number=self.number, again=self.again)
        if not self.kind:
            return RuntimeError(self.what)
        known = getattr(errors, self.kind, None)
        if self.left_behind or not (isinstance(known, type) and issubclass(known, ScingError)):
            known = ScingError
        return known(self.what, self.remedy)


def launch_folder() -> Path | None:
    """Return the folder of the records; None if this process was not started by `launch`."""
    folder = os.environ.get(LAUNCHED)
    return Path(folder) if folder and Path(folder).is_dir() else None


def write_ending(folder: Path, ending: Ending | None, rank: int) -> None:
    """Write how a process ended; None removes the record of an earlier start. Does nothing if the launcher is gone."""
    file = folder / f"{rank}.json"
    with contextlib.suppress(OSError):
        if ending is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(json.dumps(dataclasses.asdict(ending)), encoding="utf-8")


def write_done(folder: Path, rank: int) -> None:
    """Note that a process has done its work."""
    with contextlib.suppress(OSError):
        (folder / f"{rank}.done").touch()


def all_done(folder: Path, processes: int) -> bool:
    """Return whether so many processes of this machine have done their work."""
    return len(list(folder.glob("*.done"))) >= processes


def write_run(run: Path) -> None:
    """Note, where there is a launcher, the run folder of a training that has begun: a restart goes on there."""
    folder = launch_folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / RUN).write_text(str(run.absolute()), encoding="utf-8")


def begun_run() -> Path | None:
    """Return the run folder that an earlier start of these processes has begun; None if none has."""
    folder = launch_folder()
    file = folder / RUN if folder is not None else None
    return Path(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else None


def read_endings(folder: Path) -> list[Ending]:
    """Return the records of the processes of this machine, of the lowest rank first."""
    files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
    return [Ending(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
