"""A table of rows on the disk: an SQLite file, whose rows are read when they are asked for."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.artifacts import checked_once, file_digest, replacing
from scing_cli.core.errors import WRITE_REMEDY, IndexFileError
from scing_cli.core.index.memory_rows import IntArray, Rows, folder_of
from scing_cli.core.index.rows import FURTHER, Row, RowFilter

# Text is bound as bytes and cast: Python's sqlite3 refuses file names that are not UTF-8 (surrogateescape) as str.
TABLE = """CREATE TABLE rows (id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
           digest TEXT NOT NULL, identity TEXT NOT NULL, camera TEXT NOT NULL{further})"""
INSERT = (
    "INSERT INTO rows VALUES (?, CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT){further})"
)
FIELDS = ("identity", "camera")  # what filters ask for; each has an index
INDEXED = (*FIELDS, "path")  # earlier versions wrote no index of paths: their tables are read as a whole
COLUMNS = "id, path, size, mtime, digest, identity, camera"
FOLDERS = "CREATE TABLE folders (name TEXT PRIMARY KEY) WITHOUT ROWID"
AT_ONCE = 500  # rows fetched by one statement
MOST_NAMES = 20_000  # names of a filter; SQLite takes 32,766 values in one statement


class RowTable(Rows):
    """The rows of an SQLite file. If another process replaces or removes the file, this table does not change.

    Args:
        base: An open connection to the file, which never changes.
        count: Number of rows, if it is known: SQLite reads a whole index of the table to count them.
    """

    def __init__(self, base: sqlite3.Connection, count: int | None = None) -> None:
        base.text_factory = _text
        base.execute("PRAGMA temp_store = MEMORY")  # also where no folder for temporary files can be written
        self._base, self._lock = base, threading.RLock()
        there = {column[1] for column in base.execute("PRAGMA table_info(rows)")}
        self._has_folders = bool(base.execute("PRAGMA table_info(folders)").fetchall())
        self._further = frozenset(there & set(FURTHER))
        self._columns = COLUMNS + "".join(f", {name}" if name in there else ", ''" for name in FURTHER)
        self._count = base.execute("SELECT COUNT(*) FROM rows").fetchone()[0] if count is None else count

    @classmethod
    def open(cls, source: Path, *, digest: str, known: bool = False, count: int | None = None) -> RowTable:
        """Open a file of rows.

        Args:
            source: The SQLite file.
            digest: Its SHA-256 according to the stamp.
            known: True right after a write: the file is not read for its digest.
            count: Number of rows according to the stamp; None to count them.

        Raises:
            FileNotFoundError: If there is no such file.
            IndexFileError: If the digest differs, or the file is not a table of rows.
        """
        try:
            if not checked_once(source, f"rows {digest}", lambda: known or file_digest(source) == digest):
                raise IndexFileError(
                    f"{source} is not the table of rows that belongs to its index: "
                    "one of the two was changed or replaced."
                )
            place = f"{source.absolute().as_uri()}?immutable=1"
            base = sqlite3.connect(place, uri=True, check_same_thread=False)
            try:
                return cls(base, count)
            except BaseException:
                base.close()
                raise
        except FileNotFoundError:
            raise
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise IndexFileError(f"{source} cannot be read: {reason}.") from error

    def __len__(self) -> int:
        return int(self._count)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""
        return self._pages("1")

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        if self._lacks(field):
            return False
        return bool(self._fetch(f"1 FROM rows WHERE {field} <> '' LIMIT 1", ()))

    def having(self, field: str) -> Iterator[Row]:
        """Yield the rows that have a value of a field, in order of ids."""
        return iter(()) if self._lacks(field) else self._pages(f"{field} <> ''")

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""
        if allowed and (without := allowed.only_without()):
            return self._all_but(without)
        condition = _condition(allowed) if allowed else ("1", [])
        if condition is None:
            return np.fromiter((row.id for row in self if allowed is None or allowed(row)), np.int64)
        what = f"id FROM rows WHERE {condition[0]} ORDER BY id"
        with self._reading():  # one by one: as Python's objects, all of them would take a hundred bytes each
            found = self._base.execute(f"SELECT {what}", condition[1])
            return np.fromiter(itertools.chain.from_iterable(found), np.int64)

    def _all_but(self, filters: Sequence[RowFilter]) -> IntArray:
        """Return the ids of the rows that pass none of the filters. Reads the others, which are mostly fewer."""
        gone = np.unique(np.concatenate([self.ids(each) for each in filters]))
        first, last = self._fetch("(SELECT MIN(id) FROM rows), (SELECT MAX(id) FROM rows)", ())[0]
        whole = len(self) > 0 and last - first + 1 == len(self)  # no id is missing, as before any removal
        ids = np.arange(first, last + 1) if whole else self.ids()
        return np.delete(ids, np.searchsorted(ids, gone))

    def sample(self, count: int) -> list[Row]:
        """Return about `count` rows that are spread over the table, or all if there are fewer. Reads no others."""
        if len(self) <= count:
            return list(self)
        ((first, last),) = self._fetch("(SELECT MIN(id) FROM rows), (SELECT MAX(id) FROM rows)", ())
        ids = [first + (last - first) * step // count for step in range(count)]
        near = [self._fetch("id FROM rows WHERE id >= ? ORDER BY id LIMIT 1", [number])[0][0] for number in ids]
        return list(self.find(dict.fromkeys(near)).values())

    def count(self, allowed: RowFilter | None = None) -> int:
        """Return the number of rows that pass a filter."""
        condition = _condition(allowed) if allowed and not allowed.only_without() else None
        if condition is None:
            return super().count(allowed)
        return int(self._fetch(f"COUNT(*) FROM rows WHERE {condition[0]}", condition[1])[0][0])

    def known(self, field: str, names: Collection[str]) -> set[str]:
        """Return those of some names that a row has in a field of text."""
        if field not in FIELDS:
            return super().known(field, names)
        asked = f"1 FROM rows WHERE {field} = CAST(? AS TEXT) LIMIT 1"
        return {name for name in names if self._fetch(asked, [_bytes(name)])}

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""
        return {row[0]: Row._make(row) for row in self._of(self._columns, np.fromiter(ids, np.int64))}

    def values(self, field: str, ids: IntArray) -> Iterator[str]:
        """Yield a field of text of the rows of those ids that are there, in any order."""
        return (text for (text,) in self._of("''" if self._lacks(field) else field, ids))

    def counts(self, field: str, allowed: RowFilter | None = None) -> Counter[str]:
        """Return how many rows that pass a filter have each value of a field."""
        if self._lacks(field):
            return Counter({"": len(self.ids(allowed)) if allowed else len(self)})
        condition = _condition(allowed) if allowed else ("1", [])
        if condition is None:
            return Counter(getattr(row, field) for row in self if allowed is None or allowed(row))
        return Counter(
            dict(self._fetch(f"{field}, COUNT(*) FROM rows WHERE {condition[0]} GROUP BY {field}", condition[1]))
        )

    def folders(self) -> set[str]:
        """Return the folders of all paths, each with a slash at its end."""
        what = "name FROM folders"
        if not self._has_folders:  # a file of an earlier version
            what = "DISTINCT rtrim(path, replace(path, '/', '')) FROM rows"
        return {folder for (folder,) in self._fetch(what, ())}

    def at(self, paths: Iterable[str]) -> list[Row]:
        """Return the rows of some paths, in order of ids. Reads no others, except in a file of an earlier version."""
        wanted = [(_bytes(path),) for path in paths]
        if not wanted:
            return []
        with self._lock:  # one statement of this table at a time
            self._base.execute("CREATE TEMP TABLE wanted (path TEXT PRIMARY KEY) WITHOUT ROWID")
            try:
                self._base.executemany("INSERT OR IGNORE INTO wanted VALUES (CAST(? AS TEXT))", wanted)
                found = self._fetch(f"{self._columns} FROM rows WHERE path IN wanted ORDER BY id", ())
            finally:
                self._base.execute("DROP TABLE wanted")
        return list(map(Row._make, found))

    def _of(self, columns: str, ids: IntArray) -> Iterator[Any]:
        """Yield columns of the rows of those ids that are there."""
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE].tolist()
            yield from self._fetch(f"{columns} FROM rows WHERE id IN ({_places(some)})", some)

    def _pages(self, condition: str) -> Iterator[Row]:
        """Yield the rows for which an SQL condition holds, in order of ids. No statement stays open meanwhile."""
        asked = f"{self._columns} FROM rows WHERE id > ? AND {condition} ORDER BY id LIMIT {4 * AT_ONCE}"
        last: tuple[Any, ...] = (-(2**63),)
        while page := self._fetch(asked, last):
            yield from map(Row._make, page)
            last = page[-1][:1]

    def _lacks(self, field: str) -> bool:
        """Return whether the file has no column of a field, because no row has a value of it."""
        return field in FURTHER and field not in self._further

    def _fetch(self, what: str, values: Sequence[Any]) -> list[Any]:
        with self._reading():
            return self._base.execute(f"SELECT {what}", values).fetchall()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise IndexFileError(f"The table of rows cannot be read: {error}.") from error


def write_rows(target: Path, rows: Rows) -> str:
    """Write rows to a temporary file, flush it to the disk and rename it. The rows never lie in memory as a whole.

    Returns:
        The SHA-256 of the file, for the stamp.

    Raises:
        IndexFileError: If SQLite cannot write the file.
    """
    further, folders = [name for name in FURTHER if rows.have(name)], set[str]()

    def values() -> Iterator[tuple[object, ...]]:
        for row in rows:
            folders.add(folder_of(row.path))
            named = (row.digest, row.identity, row.camera, *(getattr(row, name) for name in further))
            yield (row.id, _bytes(row.path), row.size, row.mtime, *map(_bytes, named))

    with replacing(target) as temporary:
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as base:
                # No journal and no flushing by SQLite: `replacing` flushes the whole file, or removes it.
                base.execute("PRAGMA journal_mode = OFF")
                base.execute("PRAGMA synchronous = OFF")
                base.execute("BEGIN")
                base.execute(TABLE.format(further="".join(f", {name} TEXT NOT NULL" for name in further)))
                base.executemany(INSERT.format(further=", CAST(? AS TEXT)" * len(further)), values())
                base.execute(FOLDERS)
                base.executemany(
                    "INSERT INTO folders VALUES (CAST(? AS TEXT))", ((_bytes(f),) for f in sorted(folders))
                )
                for name in INDEXED:
                    base.execute(f"CREATE INDEX {name} ON rows ({name})")
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise IndexFileError(f"Cannot write {target}: {error}.", WRITE_REMEDY) from error
        return file_digest(temporary)


def _condition(allowed: RowFilter) -> tuple[str, list[bytes]] | None:
    """Return a filter as an SQL condition with its values; None if it has more names than a statement takes."""
    parts: list[str] = []
    values: list[bytes] = []
    for field, names, without in (
        ("camera", allowed.cameras, allowed.without_cameras),
        ("identity", allowed.identities, allowed.without_identities),
    ):
        for chosen, test in ((names, "IN"), (without, "NOT IN")):
            if chosen:
                parts.append(f"{field} {test} ({', '.join(['CAST(? AS TEXT)'] * len(chosen))})")
                values += map(_bytes, sorted(chosen))
    return (" AND ".join(parts) or "1", values) if len(values) <= MOST_NAMES else None


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
