"""Files that were held against their digest before: that is done once, and remembered in the user's cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from scing_cli.core.artifacts.checksum import text_digest
from scing_cli.core.artifacts.files import cache_folder


def checked_once(file: Path, fact: str, check: Callable[[], bool], *, again: bool = False) -> bool:
    """Tell whether a check of a file holds; one that held is not made again while the file stays as it is.

    Args:
        file: Known by path, size, time and inode.
        fact: What the check says of it, such as its digest.
        check: Makes the check.
        again: Make it even if it held before.
    """
    memory = _memory(file, fact)
    if memory.exists() and not again:
        return True
    if not check():
        return False
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.touch()
    return True


def _memory(file: Path, fact: str) -> Path:
    """Return the empty file in the user's cache that says: these bytes were checked for this fact before."""
    state = file.stat()
    known = (file.absolute().as_posix(), state.st_size, state.st_mtime_ns, state.st_ino)
    return cache_folder() / "verified" / text_digest(repr((known, fact)))
