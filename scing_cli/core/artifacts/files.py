"""Files: atomic writes, digests, CSV, remembered checks, locks.

A file appears complete or not at all. The system releases a lock when the holder's process ends, even if it is killed.
The lock file exists only while a process holds the lock, and names this process. Release removes the file first. A
process that was waiting then has a lock on a deleted file; it detects this and tries again.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError

from scing_cli.core.errors import WRITE_REMEDY, ScingError
from scing_cli.core.safe_reading import opened
from scing_cli.environment import temporary_home

NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)  # following a link could create a file anywhere
REMOVES_OPEN_FILES = sys.platform != "win32"
INTERVAL = 0.05  # seconds
SIGNED = re.compile(r"process \d+ on \S+, since [\d :-]+")
START = 1  # offset of the holder's line: Windows locks byte 0, and others cannot read a locked byte
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems have no locks


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`. On success it is renamed to `target`, otherwise it is removed.

    Raises:
        ScingError: If the folder cannot be written, or the disk is full.
    """
    # A rename would silently replace a pipe or a device.
    if os.path.lexists(target) and not (target.is_symlink() or target.is_file() or target.is_dir()):
        raise ScingError(f"Cannot write {target}: it is not a regular file.", "Choose another path.")
    # In the same folder, because a rename across file systems is not atomic.
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # the umask applies
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
    except OSError as error:
        raise ScingError(f"Cannot write {target}: {error.strerror}.", "Choose another path.") from error
    try:
        yield temporary
        with contextlib.suppress(OSError):  # some file systems have no modes
            temporary.chmod(mode)  # safetensors replaces the file by one that only its owner can read
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())  # before the rename: after a crash the file must not be empty
        temporary.replace(target)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScingError(f"Cannot write {target}: {reason}.", WRITE_REMEDY) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with LF line ends; reading it returns every field unchanged."""
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return "".join(lines)


class _Lines(list[str]):
    """The output of a csv.writer, with its CR LF line ends replaced by LF."""

    def write(self, row: str) -> None:
        """Append one row."""
        # The writer's own line end must contain CR: otherwise Python < 3.13 does not quote a lone CR in a field.
        self.append(row.removesuffix("\r\n") + "\n")


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(source: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: If the file cannot be read, or is a pipe or device.
    """
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(source))
    with opened(source, status.st_size) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def home_folder() -> Path:
    """Return the user's home folder; a temporary one for a user who has none."""
    try:
        return Path.home()
    except RuntimeError:
        return temporary_home()


def cache_folder() -> Path:
    """Return this program's cache folder: `SCING_CACHE` if it is set, else `~/.cache/scing`."""
    if folder := os.environ.get("SCING_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "scing"


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
