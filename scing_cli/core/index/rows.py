"""The rows beside an index: which image each vector shows. An SQLite file, written whole and never changed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scing_cli.core.artifacts import file_digest, replacing
from scing_cli.core.errors import WRITE_REMEDY, IndexFileError

# Text goes in as bytes and a cast, so that a file name that is no UTF-8 survives (Python's surrogateescape).
TABLE = """CREATE TABLE rows (id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
           digest TEXT NOT NULL, identity TEXT NOT NULL, camera TEXT NOT NULL)"""
INSERT = "INSERT INTO rows VALUES (?, CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))"
LATEST = 2**63 - 1
SELECT = "SELECT id, path, size, mtime, digest, identity, camera FROM rows ORDER BY id"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One image, as it was when it was embedded.

    Args:
        path: Absolute POSIX path.
        size: Bytes.
        mtime: Time of the last change, nanoseconds since 1970.
        digest: SHA-256 of the file, hexadecimal.
        identity: The person; empty where unknown.
        camera: The camera; empty where unknown.
    """

    path: str
    size: int = 0
    mtime: int = 0
    digest: str = ""
    identity: str = ""
    camera: str = ""


class Row(NamedTuple):
    """One image of an index: an `Entry` with the id that is its own for ever. A tuple, as many are read at once."""

    id: int
    path: str
    size: int
    mtime: int
    digest: str
    identity: str
    camera: str

    @classmethod
    def of(cls, number: int, entry: Entry) -> Row:
        """Return the row of an entry."""
        return cls(number, entry.path, entry.size, entry.mtime, entry.digest, entry.identity, entry.camera)


def entry_of(file: Path, *, identity: str = "", camera: str = "") -> Entry:
    """Return the entry of an image file: its absolute path, size, time and digest.

    Raises:
        OSError: If the file cannot be read, or is a pipe or device.
    """
    size, mtime = file_state(file)
    path = file.absolute().as_posix()
    return Entry(path, size, mtime, file_digest(file), identity, camera)


def file_state(file: Path) -> tuple[int, int]:
    """Return size and time of an image file, as `Entry` has them; a time beyond SQLite's integers (2262) is its last.

    Raises:
        OSError: If there is no such file.
    """
    status = file.stat()
    return status.st_size, min(status.st_mtime_ns, LATEST)


def file_keys(files: Iterable[Path]) -> list[str]:
    """Return what tells image files apart, whatever way leads to them: absolute paths, links of folders followed.

    A link in place of an image stays what it is: a data set may be made of links into one store.
    """
    folders: dict[str, str] = {}
    keys = []
    for file in files:
        folder, name = os.path.split(file)  # texts, for many files
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        keys.append(os.path.join(folders[folder], name))  # noqa: PTH118
    return keys


def write_rows(target: Path, rows: Iterable[Row]) -> str:
    """Write the rows in one rename, flushed to the disk.

    Returns:
        The SHA-256 of the file, for the stamp.

    Raises:
        IndexFileError: If SQLite cannot write it.
    """
    values = (
        (row.id, _bytes(row.path), row.size, row.mtime, _bytes(row.digest), _bytes(row.identity), _bytes(row.camera))
        for row in rows
    )
    with replacing(target) as temporary:
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as base:
                base.execute("PRAGMA journal_mode = OFF")
                base.execute("PRAGMA synchronous = OFF")  # `replacing` flushes the whole file
                base.execute("BEGIN")
                base.execute(TABLE)
                base.executemany(INSERT, values)
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise IndexFileError(f"Cannot write {target}: {error}.", WRITE_REMEDY) from error
        return file_digest(temporary)


def read_rows(source: Path, *, digest: str) -> list[Row]:
    """Read the rows in order of their ids.

    Args:
        source: The SQLite file.
        digest: What the stamp says its SHA-256 is.

    Raises:
        FileNotFoundError: If there is no such file.
        IndexFileError: If it is another file than the stamp's, or no table of rows.
    """
    try:
        if file_digest(source) != digest:
            raise IndexFileError(
                f"{source} is not the table of rows that belongs to its index: one of both was changed or replaced."
            )
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?immutable=1", uri=True)) as base:
            base.text_factory = _text
            return list(map(Row._make, base.execute(SELECT)))
    except FileNotFoundError:
        raise
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IndexFileError(f"{source} cannot be read: {reason}.") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
