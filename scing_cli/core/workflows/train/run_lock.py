"""Lock of a run folder: one training at a time. Taking it removes temporary files of a killed training."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import STAGES, acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import RunError

LOCK = ".training.lock"
# in the run folder itself, only our files are matched: users may have files next to them
RUN_PART = re.compile(r"\.(run\.json|manifest\.csv|metrics\.jsonl|report\.json)\.[0-9a-f]{8}\.part")
STAGE_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part|\.tmp\w{6}")  # in its subfolders; the second form is of safetensors
DRY_RUN = ".dry-run-"


class RunLockedError(RunError):
    """Another process is training in a run folder."""


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock a run folder for the duration of the context; create it if necessary.

    Folders that were created and are empty at the end are removed.

    Raises:
        RunLockedError: If another process is training in the folder.
        RunError: If the folder cannot be written.
    """
    created = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = acquire_lock(folder / LOCK)
    except OSError as error:
        raise RunError(f"Cannot write {folder}: {error.strerror}.", "Choose another folder: --run.") from error
    if handle is None:
        raise RunLockedError(
            f"Another process is training in {folder}{lock_holder(folder / LOCK)}.",
            "Wait until it ends, or choose another folder: --run.",
        )
    try:
        _sweep(folder)
        yield
    finally:
        release_lock(folder / LOCK, handle)
        with contextlib.suppress(OSError):
            for parent in created:
                parent.rmdir()


def is_locked(folder: Path) -> bool:
    """True if another process is training in a run folder, or the folder cannot be written."""
    try:
        with lock_run(folder):
            return False
    except RunError:
        return True


def _sweep(folder: Path) -> None:
    """Remove temporary files of a killed training. Only the owner of the lock writes such files."""
    leftovers = [file for file in folder.glob(".*.part") if RUN_PART.fullmatch(file.name)]
    for subfolder in (folder / "state", *(folder / stage for stage in STAGES)):
        leftovers += [file for file in subfolder.glob(".*") if STAGE_PART.fullmatch(file.name)]
        leftovers += subfolder.glob("*.dry-run.safetensors")
    for file in leftovers:
        if file.is_file():
            file.unlink(missing_ok=True)
    for dry_run in folder.glob(f"{DRY_RUN}????????"):
        if dry_run.is_dir():
            shutil.rmtree(dry_run, ignore_errors=True)
