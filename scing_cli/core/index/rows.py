"""The rows of an index, hits and filters: an SQLite file says which image each vector belongs to."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scing_cli.core.artifacts import file_digest, replacing
from scing_cli.core.errors import WRITE_REMEDY, IndexFileError
from scing_cli.core.index.observed import file_state, joint_digest, observed_images, observed_state
from scing_cli.core.spectra import VISIBLE, Observation, Source, View

# Text is bound as bytes and cast: Python's sqlite3 refuses file names that are not UTF-8 (surrogateescape) as str.
TABLE = """CREATE TABLE rows (id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
           digest TEXT NOT NULL, identity TEXT NOT NULL, camera TEXT NOT NULL{further})"""
INSERT = (
    "INSERT INTO rows VALUES (?, CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT){further})"
)
FURTHER = ("views", "scene")  # columns that a file has only if a row has a value
Names = frozenset[str]
NONE: Names = frozenset()
SELECT = "SELECT id, path, size, mtime, digest, identity, camera{further} FROM rows ORDER BY id"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An image file, or the files of an observation, as they were when they were embedded.

    Args:
        path: Absolute POSIX path; of an observation that of its first image.
        size: Size in bytes, of all files.
        mtime: Time of the last change of any file, in nanoseconds since 1970.
        digest: SHA-256 of the file, hexadecimal; of several files that of their digests.
        identity: The person; empty if unknown.
        camera: The camera; empty if unknown.
        views: The images of an observation, as `observed_images` reads them; empty for an ordinary image.
        scene: When and where it was taken; empty if unknown.
    """

    path: str
    size: int = 0
    mtime: int = 0
    digest: str = ""
    identity: str = ""
    camera: str = ""
    views: str = ""
    scene: str = ""


class Row(NamedTuple):
    """One row of an index: an `Entry` with its permanent id."""

    # A tuple and not a dataclass, because reading an index makes one object per image.
    id: int
    path: str
    size: int
    mtime: int
    digest: str
    identity: str
    camera: str
    views: str = ""
    scene: str = ""

    @classmethod
    def of(cls, number: int, entry: Entry) -> Row:
        """Return the row of an entry."""
        named = (entry.path, entry.size, entry.mtime, entry.digest, entry.identity, entry.camera)
        return cls(number, *named, entry.views, entry.scene)

    @property
    def images(self) -> dict[str, View]:
        """The image of each spectrum; an ordinary image is the visible one."""
        return observed_images(self.views) or {VISIBLE: View(Path(self.path))}

    @property
    def files(self) -> list[Path]:
        """The files of all images, each once."""
        return list(dict.fromkeys(view.file for view in self.images.values()))

    @property
    def picture(self) -> Source:
        """All images together; the path of an ordinary image."""
        return Observation(tuple(self.images.values())) if self.views else Path(self.path)

    def record(self) -> dict[str, Any]:
        """Return the row as a dictionary, without the further columns that it has no value of."""
        return {name: value for name, value in self._asdict().items() if value or name not in FURTHER}


def entry_of(
    file: Path, *, identity: str = "", camera: str = "", images: Mapping[str, View] | None = None, scene: str = ""
) -> Entry:
    """Return the entry of an image file, or of an observation, with its current size, time and digest.

    Args:
        file: The image; of an observation its first one.
        identity: The person.
        camera: The camera.
        images: The image of each spectrum of an observation; None for an ordinary image.
        scene: When and where it was taken.

    Raises:
        OSError: If a file cannot be read, or is a pipe or a device.
    """
    path = file.absolute().as_posix()
    if images is None:
        size, mtime = file_state(file)
        return Entry(path, size, mtime, file_digest(file), identity, camera, scene=scene)
    size, mtime, views = observed_state(images)
    return Entry(
        path,
        size,
        mtime,
        joint_digest([file_digest(file) for file in dict.fromkeys(view.file for view in images.values())]),
        identity,
        camera,
        views,
        scene,
    )


def write_rows(target: Path, rows: Iterable[Row]) -> str:
    """Write the rows to a temporary file, flush it to the disk and rename it.

    Returns:
        The SHA-256 of the file, for the stamp.

    Raises:
        IndexFileError: If SQLite cannot write the file.
    """
    rows = list(rows)
    further = [name for name in FURTHER if any(getattr(row, name) for row in rows)]
    table = TABLE.format(further="".join(f", {name} TEXT NOT NULL" for name in further))
    insert = INSERT.format(further=", CAST(? AS TEXT)" * len(further))
    values = (
        (
            *(row.id, _bytes(row.path), row.size, row.mtime),
            *map(_bytes, (row.digest, row.identity, row.camera, *(getattr(row, name) for name in further))),
        )
        for row in rows
    )
    with replacing(target) as temporary:
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as base:
                # No journal and no flushing by SQLite: `replacing` flushes the whole file, or removes it.
                base.execute("PRAGMA journal_mode = OFF")
                base.execute("PRAGMA synchronous = OFF")
                base.execute("BEGIN")
                base.execute(table)
                base.executemany(insert, values)
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise IndexFileError(f"Cannot write {target}: {error}.", WRITE_REMEDY) from error
        return file_digest(temporary)


def read_rows(source: Path, *, digest: str) -> list[Row]:
    """Read the rows in order of ids.

    Args:
        source: The SQLite file.
        digest: Its SHA-256 according to the stamp.

    Raises:
        FileNotFoundError: If there is no such file.
        IndexFileError: If the digest differs, or the file is not a table of rows.
    """
    try:
        if file_digest(source) != digest:
            raise IndexFileError(
                f"{source} is not the table of rows that belongs to its index: one of the two was changed or replaced."
            )
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?immutable=1", uri=True)) as base:
            base.text_factory = _text
            there = {column[1] for column in base.execute("PRAGMA table_info(rows)")}
            further = "".join(f", {name}" if name in there else ", ''" for name in FURTHER)
            return list(map(Row._make, base.execute(SELECT.format(further=further))))
    except FileNotFoundError:
        raise
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IndexFileError(f"{source} cannot be read: {reason}.") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search: the cosine score, in [-1, 1], and the row."""

    score: float
    row: Row


def best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each identity. A row without an identity counts as an identity."""
    first = {hit.row.identity or hit.row.id: hit for hit in reversed(hits)}
    return [hit for hit in hits if first[hit.row.identity or hit.row.id] is hit]


@dataclasses.dataclass(frozen=True, slots=True)
class RowFilter:
    """Cameras and identities that a row must have, or must not have.

    Args:
        cameras: Only rows of these cameras; empty for all.
        identities: Only rows of these identities; empty for all.
        without_cameras: No rows of these cameras.
        without_identities: No rows of these identities.

    >>> row = Row(0, "a.jpg", 0, 0, "", "anna", "door")
    >>> RowFilter(cameras=frozenset({"door"}))(row), RowFilter(without_identities=frozenset({"anna"}))(row)
    (True, False)
    """

    cameras: Names = NONE
    identities: Names = NONE
    without_cameras: Names = NONE
    without_identities: Names = NONE

    def __bool__(self) -> bool:
        return self != RowFilter()

    def __call__(self, row: Row) -> bool:
        """Return whether a row passes the filter."""
        return (
            (not self.cameras or row.camera in self.cameras)
            and (not self.identities or row.identity in self.identities)
            and row.camera not in self.without_cameras
            and row.identity not in self.without_identities
        )
