"""Atomic writes, digests, JSON and CSV: a file appears complete or not at all. A check of a file is remembered."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from scing_cli.core.artifacts.checksum import checked_json, text_digest, with_checksum
from scing_cli.core.errors import WRITE_REMEDY, RunError, ScingError, one_line
from scing_cli.core.safe_reading import check_ordinary, opened, read_limited
from scing_cli.environment import temporary_home

REMEDY = "Restore it from a copy, or create it again."


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


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, atomically."""
    write_text(target, json_text(content))


def json_text(content: Mapping[str, Any]) -> str:
    """Return the JSON text of an object, with its checksum, as it is written to a file."""
    complete = with_checksum(content)
    text = json.dumps(complete, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: use JSON escapes
        text = json.dumps(complete, indent=1, allow_nan=False)
    return text + "\n"


def read_json(source: Path, *, remedy: str = REMEDY) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RunError: If the file is missing, not a JSON object, changed since it was written, or in a newer format.
    """
    try:
        check_ordinary(source)
        text = read_limited(source)
    except FileNotFoundError:
        raise RunError(f"{source} is missing.", remedy) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{source} cannot be read: {one_line(error)}.", remedy) from error
    return checked_json(text, source, remedy=remedy)


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
