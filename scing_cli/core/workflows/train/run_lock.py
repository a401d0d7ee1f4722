"""One training at a time in a run folder, and what a killed one left there swept."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import STAGES, acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import RunError

LOCK = ".training.lock"
PART = re.compile(r"\.(run\.json|manifest\.csv|metrics\.jsonl|report\.json)\.[0-9a-f]{8}\.part")  # in the run itself
OWN_PART = re.compile(r"\..+\.[0-9a-f]{8}\.part|\.tmp\w{6}")  # in folders that are ours; the latter are safetensors'
DRY_RUN = ".dry-run-"


class RunLockedError(RunError):
    """Another process is training in a run folder."""


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Be the only training in a run folder; it is made where missing, and what was made and stays empty is removed.

    Raises:
        RunLockedError: If another process is training there.
        RunError: If the folder cannot be written.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = acquire_lock(folder / LOCK)
    except OSError as error:
        raise RunError(f"Cannot write {folder}: {error.strerror}.", "Choose another place for it: --run.") from error
    if handle is None:
        raise RunLockedError(
            f"Another process is training in {folder}{lock_holder(folder / LOCK)}.",
            "Wait for its end, or name another folder: --run.",
        )
    try:
        _sweep(folder)
        yield
    finally:
        release_lock(folder / LOCK, handle)
        with contextlib.suppress(OSError):
            for place in made:
                place.rmdir()


def is_locked(folder: Path) -> bool:
    """Tell whether a process is training there."""
    try:
        with lock_run(folder):
            return False
    except RunError:
        return True


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed has left: only the holder of the lock writes here."""
    left = [file for file in folder.glob(".*.part") if PART.fullmatch(file.name)]
    for place in (folder / "state", *(folder / stage for stage in STAGES)):
        left += [file for file in place.glob(".*") if OWN_PART.fullmatch(file.name)]
        left += place.glob("*.dry-run.safetensors")
    for file in left:
        if file.is_file():
            file.unlink(missing_ok=True)
    for dry_run in folder.glob(f"{DRY_RUN}????????"):
        if dry_run.is_dir():
            shutil.rmtree(dry_run, ignore_errors=True)
