"""A lock file that the system releases when its holder's process ends, however it ends.

The file exists only while somebody holds the lock, and names the holder. On release it is removed first; a process that
waited has then locked a file without a name, notices that, and tries again.
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

NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)  # a link that lies there could create a file anywhere
REMOVES_OPEN_FILES = sys.platform != "win32"
INTERVAL = 0.05  # seconds
SIGNED = re.compile(r"process \d+ on \S+, since [\d :-]+")
START = 1  # of the holder's line: byte 0 is the one that Windows locks, and then nobody else reads it
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems have no locks


def acquire_lock(file: Path, *, patience: float = 0.0) -> int | None:
    """Acquire a lock; on file systems without locks this always succeeds.

    Args:
        file: Created where missing.
        patience: Seconds to wait for another holder.

    Returns:
        The handle for `release_lock`; None where another process still holds the lock.

    Raises:
        OSError: If the file cannot be created.
    """
    end = time.monotonic() + patience
    while (handle := _attempt(file)) is None and time.monotonic() < end:
        time.sleep(INTERVAL)
    return handle


def release_lock(file: Path, handle: int) -> None:
    """Release a lock that `acquire_lock` gave."""
    if REMOVES_OPEN_FILES:  # while the lock still excludes others
        _remove(file)
    os.close(handle)
    if not REMOVES_OPEN_FILES:  # where the next holder has opened the file already, it stays
        _remove(file)


def lock_holder(file: Path) -> str:
    """Return who holds a lock, in brackets after a blank; empty where the file does not say."""
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
    held = False
    try:
        held = _lock(handle) and _named(handle, file)
        if held:
            _sign(handle)
    finally:
        if not held:
            os.close(handle)
    return handle if held else None


def _lock(handle: int) -> bool:
    import filelock  # costs 30 ms, and most commands need no lock

    # `filelock.FileLock` would leave its file behind, names no holder, and falls back to a marker that outlives a kill.
    try:
        return filelock.lock_descriptor(handle, blocking=False)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    return True


def _sign(handle: int) -> None:
    """Write into the lock who holds it; on a full disk this is left out."""
    now = dt.datetime.now(dt.UTC).astimezone()
    text = f"process {os.getpid()} on {platform.node() or '?'}, since {now:%Y-%m-%d %H:%M:%S}"
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, b" " * START + text.encode())


def _named(handle: int, file: Path) -> bool:
    """Tell whether the file still exists under its name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
