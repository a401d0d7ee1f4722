"""One writer at a time: a lock beside an index, which the system takes back when its holder ends, however that ends.

`.gallery.faiss.lock` is there only while somebody writes, and says who. Its holder removes it before letting go; who
was waiting then holds a lock on a file that has no name any more, sees that, and tries again.
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
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.errors import IndexFileError

if sys.platform != "win32":
    import fcntl

NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)  # one that lies there could make a file anywhere
PATIENCE = 5.0  # seconds
INTERVAL = 0.05
SIGNED = re.compile(r"process \d+ on \S+, since [\d :-]+")
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network folders know no locks


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
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        while (handle := _attempt(file)) is None and time.monotonic() < end:
            time.sleep(INTERVAL)
    except OSError as error:
        raise IndexFileError(f"Cannot write {index}: {error.strerror}.", "Choose another place for it.") from error
    if handle is None:
        raise IndexFileError(
            f"Another process is writing {index}{_holder(file)}.", "Run the command again when that one has ended."
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(handle)


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


def _holder(file: Path) -> str:
    """Return who holds a lock, in brackets; nothing where it does not say."""
    try:
        text = file.read_bytes()[:200].decode()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({text})" if SIGNED.fullmatch(text) else ""


def _named(handle: int, file: Path) -> bool:
    """Tell whether the file is still there under its name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
