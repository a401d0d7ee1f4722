"""A lock that is a file, which the system takes back when its holder ends, however that ends.

The file is there only while somebody holds it, and says who. Its holder removes it before letting go; who was waiting
then holds a lock on a file that has no name any more, sees that, and tries again.
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

if sys.platform != "win32":
    import fcntl

NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)  # one that lies there could make a file anywhere
INTERVAL = 0.05
SIGNED = re.compile(r"process \d+ on \S+, since [\d :-]+")
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network folders know no locks


def take_lock(file: Path, *, patience: float = 0.0) -> int | None:
    """Take a lock; where the system or the folder knows none, it is had for nothing.

    Args:
        file: Made where missing.
        patience: Seconds to wait for another holder.

    Returns:
        What `let_go` takes; None where another process goes on holding it.

    Raises:
        OSError: If the file cannot be made.
    """
    end = time.monotonic() + patience
    while (handle := _attempt(file)) is None and time.monotonic() < end:
        time.sleep(INTERVAL)
    return handle


def let_go(file: Path, handle: int) -> None:
    """Let go of a lock that `take_lock` gave."""
    with contextlib.suppress(OSError):
        file.unlink()
    os.close(handle)


def holder_of(file: Path) -> str:
    """Return who holds a lock, in brackets and after a blank; nothing where it does not say."""
    try:
        text = file.read_bytes()[:200].decode()
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
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    return True


def _sign(handle: int) -> None:
    """Say in the lock who holds it; on a full disk it goes without."""
    now = dt.datetime.now(dt.UTC).astimezone()
    text = f"process {os.getpid()} on {platform.node() or '?'}, since {now:%Y-%m-%d %H:%M:%S}"
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())


def _named(handle: int, file: Path) -> bool:
    """Tell whether the file is still there under its name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
