"""The lock that lets one process at a time write an index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import IndexFileError, IndexHeldError

PATIENCE = 5.0  # seconds to wait for another writer


@contextlib.contextmanager
def write_lock(index: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold the write lock of an index inside a `with` block. Readers are not blocked.

    On file systems without locks the block runs unlocked.

    Args:
        index: The `.faiss` file; it does not have to exist.
        patience: Seconds to wait for another writer; None for `PATIENCE`.

    Raises:
        IndexHeldError: If another process still holds the lock; the message names it.
        IndexFileError: If the folder is not writable.
    """
    file = index.with_name(f".{index.name}.lock")
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        handle = acquire_lock(file, patience=PATIENCE if patience is None else patience)
    except OSError as error:
        raise IndexFileError(f"Cannot write {index}: {error.strerror}.", "Choose another place for it.") from error
    if handle is None:
        raise IndexHeldError(
            f"Another process is writing {index}{lock_holder(file)}.",
            "Run the command again when that process has ended.",
        )
    try:
        yield
    finally:
        release_lock(file, handle)
