"""A file lock that the system releases when the holder's process ends, even if it is killed.

The lock file exists only while a process holds the lock, and names this process. Release removes the file first. A
process that was waiting then has a lock on a deleted file; it detects this and tries again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import platform
import re
import sys
import time
from pathlib import Path

NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)  # following a link could create a file anywhere
REMOVES_OPEN_FILES = sys.platform != "win32"
INTERVAL = 0.05  # seconds
SIGNED = re.compile(r"process \d+ on \S+, since [\d :-]+")
START = 1  # offset of the holder's line: Windows locks byte 0, and others cannot read a locked byte
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems have no locks


def acquire_lock(file: Path, *, patience: float = 0.0) -> int | None:
    """Acquire a lock; on file systems without locks this always succeeds.

    Args:
        file: The lock file; it is created if missing.
        patience: How long to wait for another holder, in seconds.

    Returns:
        The handle for `release_lock`; None if another process still holds the lock.

    Raises:
        OSError: If the file cannot be created.
    """
    end = time.monotonic() + patience
    while (handle := _attempt(file)) is None and time.monotonic() < end:
        time.sleep(INTERVAL)
    return handle


def release_lock(file: Path, handle: int) -> None:
    """Release a lock that `acquire_lock` returned."""
    if REMOVES_OPEN_FILES:  # while the lock still excludes other processes
        _remove(file)
    os.close(handle)
    if not REMOVES_OPEN_FILES:  # the file stays if the next holder has opened it already
        _remove(file)


def lock_holder(file: Path) -> str:
    """Return the lock's holder as ` (process ...)`, with a leading space; empty if the file does not name one."""
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(START)
            text = stream.read(200).decode()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({text})" if SIGNED.fullmatch(text) else ""


def _attempt(file: Path) -> int | None:
    """Return the handle that holds the lock, or None if another process holds it."""
    handle = os.open(file, os.O_CREAT | os.O_RDWR | NOT_THROUGH_LINKS, 0o666)  # the umask applies
    acquired = False
    try:
        acquired = _lock(handle) and _still_exists(handle, file)
        if acquired:
            _sign(handle)
    finally:
        if not acquired:
            os.close(handle)
    return handle if acquired else None


def _lock(handle: int) -> bool:
    import filelock  # takes 30 ms, and most commands need no lock

    # Not `filelock.FileLock`: it leaves its file behind, names no holder, and its fallback outlives a killed process.
    try:
        return filelock.lock_descriptor(handle, blocking=False)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    return True


def _sign(handle: int) -> None:
    """Write the holder into the lock file; errors, such as a full disk, are ignored."""
    now = dt.datetime.now(dt.UTC).astimezone()
    text = f"process {os.getpid()} on {platform.node() or '?'}, since {now:%Y-%m-%d %H:%M:%S}"
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, b" " * START + text.encode())


def _still_exists(handle: int, file: Path) -> bool:
    """Return whether the locked file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
