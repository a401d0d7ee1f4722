"""One writer of an index at a time: `.gallery.faiss.lock` beside it is there only while somebody writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import IndexFileError

PATIENCE = 5.0  # seconds


@contextlib.contextmanager
def write_lock(index: Path, *, patience: float | None = None) -> Iterator[None]:
    """Be the only writer of an index for a block; readers go on reading.

    Where the system or the folder knows no locks, the block runs without one.

    Args:
        index: The `.faiss` file; it need not exist.
        patience: Seconds to wait for another writer; None for `PATIENCE`.

    Raises:
        IndexFileError: If another process goes on writing, which is named, or the folder cannot be written.
    """
    file = index.with_name(f".{index.name}.lock")
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        handle = acquire_lock(file, patience=PATIENCE if patience is None else patience)
    except OSError as error:
        raise IndexFileError(f"Cannot write {index}: {error.strerror}.", "Choose another place for it.") from error
    if handle is None:
        raise IndexFileError(
            f"Another process is writing {index}{lock_holder(file)}.", "Run the command again when that one has ended."
        )
    try:
        yield
    finally:
        release_lock(file, handle)
