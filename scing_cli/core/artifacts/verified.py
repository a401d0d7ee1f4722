"""Check a file once, such as its digest, and remember the result in the user's cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from scing_cli.core.artifacts.checksum import text_digest
from scing_cli.core.artifacts.files import cache_folder


def checked_once(file: Path, fact: str, check: Callable[[], bool], *, again: bool = False) -> bool:
    """Return whether a check of a file succeeds; a success is not checked again while the file is unchanged.

    Args:
        file: The file; a change of path, size, modification time or inode counts as a change.
        fact: The checked property, such as the expected digest.
        check: Performs the check.
        again: Check even if the check succeeded before.
    """
    marker = _marker(file, fact)
    if marker.exists() and not again:
        return True
    if not check():
        return False
    with contextlib.suppress(OSError):  # without a writable cache, the check is only repeated
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return True


def _marker(file: Path, fact: str) -> Path:
    """Return the empty cache file whose existence means that this state of the file was checked for this fact."""
    state = file.stat()
    known = (file.absolute().as_posix(), state.st_size, state.st_mtime_ns, state.st_ino)
    return cache_folder() / "verified" / text_digest(repr((known, fact)))
