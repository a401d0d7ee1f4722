"""How a process that was started by `launch` ended: a file that the launcher reads, as it alone says why."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from scing_cli.core.processes.peer_errors import SentError
from scing_cli.environment import LAUNCHED

RUN = "run"


def launch_folder() -> Path | None:
    """Return the folder of the records; None if this process was not started by `launch`."""
    folder = os.environ.get(LAUNCHED)
    return Path(folder) if folder and Path(folder).is_dir() else None


def write_ending(folder: Path, ending: SentError) -> None:
    """Write with which error a process ended. Does nothing if the launcher is gone."""
    with contextlib.suppress(OSError):
        (folder / f"{ending.rank}.json").write_text(ending.text(), encoding="utf-8")


def forget(folder: Path, rank: int) -> None:
    """Remove what an earlier start of a process has left."""
    for suffix in ("json", "done"):
        with contextlib.suppress(OSError):
            (folder / f"{rank}.{suffix}").unlink(missing_ok=True)


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


def read_endings(folder: Path) -> list[SentError]:
    """Return the records of the processes of this machine, of the lowest rank first."""
    files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
    return [SentError.read(file.read_text(encoding="utf-8")) for file in files]
