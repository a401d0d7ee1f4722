"""Read an index from the disk, in whichever files `commits.py` wrote it; another process may write it meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scing_cli.core.artifacts import checked_once, file_digest
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, counted, spelled
from scing_cli.core.index.flat_file import read_flat
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.index_stamp import (
    REMEDY,
    SegmentStamp,
    Stamp,
    changed_file,
    check_vectors,
    read_stamp,
    removed_file,
    rows_file,
    vectors_file,
)
from scing_cli.core.index.kinds import KINDS
from scing_cli.core.index.memory_rows import IntArray, Rows
from scing_cli.core.index.row_table import RowTable
from scing_cli.core.index.store import FlatStore, Store, faiss

READ_ATTEMPTS = 20  # each fails only if a commit happens during it; three failures in a row have been seen
Read = TypeVar("Read")


def load(path: Path) -> tuple[list[Store], GalleryRows, Stamp]:
    """Open an index's vectors, rows and stamp. Another process may write the index at the same time.

    Raises:
        IndexFileError: If the index is missing, was not written by scing, is damaged, or a file of it is missing.
    """
    return _consistent(path, _load)


def open_index_rows(path: Path) -> Rows:
    """Open the rows of an index without its vectors. Another process may write the index at the same time.

    Raises:
        IndexFileError: If the index is missing, was not written by scing, or its rows are missing or damaged.
    """
    return _consistent(path, _rows)


def _consistent(path: Path, read: Callable[[Path, Stamp], Read]) -> Read:
    """Return what `read` reads of one state of an index, although another process may replace it meanwhile."""
    for _ in range(READ_ATTEMPTS):
        stamp = read_stamp(path)
        try:
            found = read(path, stamp)
        except IndexFileError:
            if read_stamp(path) == stamp:  # otherwise a writer has replaced the index: read the new one
                raise
        except OSError as error:  # such as a file of the former index that has been removed just now
            if read_stamp(path) == stamp:
                what = f"{error.filename or path} cannot be read: {error.strerror}."
                raise IndexFileError(what, REMEDY) from error
        else:
            if read_stamp(path) == stamp:
                return found
    raise IndexFileError(
        f"{path} changed during each of {READ_ATTEMPTS} attempts to read it.",
        "Wait until the other process has written it.",
    )


def _load(path: Path, stamp: Stamp) -> tuple[list[Store], GalleryRows, Stamp]:
    """Open vectors and rows, and check that they belong together.

    Checksums are compared first, so that faiss and SQLite never parse damaged files.
    """
    rows = _rows(path, stamp)
    stores: list[Store] = []
    for part, table in zip(stamp.parts, rows.tables, strict=True):
        file = vectors_file(path, part.generation) if stamp.segments else path
        kind = KINDS.get(FlatStore.kind if stores else stamp.kind)
        if stamp.segments and not file.exists():
            raise _missing(path, file, "vectors")
        try:
            stores.append(_vectors(file, part, table, kind, stamp))
        except IndexFileError as error:
            raise IndexFileError(error.what, REMEDY if stamp.segments else error.remedy) from error
    ordered = all(store.ends()[1] < later.ends()[0] for store, later in itertools.pairwise(stores))
    if len(rows) != stamp.count or not ordered:
        raise IndexFileError(f"{path} is damaged: its vectors, stamp and rows do not match.", REMEDY)
    return stores, rows, stamp


def _vectors(file: Path, part: SegmentStamp, table: Rows, kind: type[Store] | None, stamp: Stamp) -> Store:
    """Open the vectors of a segment, and check that they are those of its rows."""
    check_vectors(file, part)
    if stamp.segments and read_stamp(file).parts != (part,):
        raise IndexFileError(f"{file} is damaged: its vectors, stamp and rows do not match.", REMEDY)
    try:
        index = read_vectors(file)
    except (RuntimeError, MemoryError) as error:  # faiss raises both for damaged files
        raise IndexFileError(f"{file} is damaged: faiss cannot read it.", REMEDY) from error
    if kind is None or not kind.fits(index):
        raise IndexFileError(f"{file} is not an inner-product index with ids of the type {stamp.kind}.", REMEDY)
    store = kind(index)
    counts = (index.d, index.ntotal, len(table)) == (stamp.width, part.count, part.count)
    if not counts or not _once(file, f"ids {part.rows_digest}", lambda: np.array_equal(store.ids(), table.ids())):
        raise IndexFileError(f"{file} is damaged: its vectors, stamp and rows do not match.", REMEDY)
    if not _once(file, f"finite {part.vectors_digest}", store.are_finite):
        broken = store.ids()[~np.isfinite(store.stored()[1]).all(axis=1)]
        (first,) = table.find(broken[:1]).values()
        raise IndexFileError(
            f"{file}: {counted(len(broken), 'vector is', 'vectors are')} not finite, for example that of "
            f"{spelled(first.path)}.",
            REMEDY,
        )
    return store


def read_vectors(file: Path) -> Any:
    """Return the faiss index of a file, mapped into memory where that is possible.

    Raises:
        RuntimeError: If faiss cannot read it.
    """
    if sys.platform == "win32":  # there, a file that is mapped could not be replaced
        return faiss.read_index(str(file))
    # Older versions of faiss cannot map all kinds.
    return read_flat(file) or faiss.read_index(str(file), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))


def _rows(path: Path, stamp: Stamp) -> GalleryRows:
    """Open the rows that belong to a stamp."""
    tables = [_table(path, rows_file(path, part.generation), part.rows_digest, part.count) for part in stamp.parts]
    removed = _removed(path, stamp) if stamp.removed_digest else None
    changed = None
    if stamp.changed_digest:
        changed = _table(path, changed_file(path, stamp.generation), stamp.changed_digest)
    return GalleryRows(tables, removed, changed)


def _removed(path: Path, stamp: Stamp) -> IntArray:
    """Read the ids that were removed, ascending."""
    file = removed_file(path, stamp.generation)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise _missing(path, file, "removed ids") from None
    except OSError as error:
        raise IndexFileError(f"{file} cannot be read: {error.strerror}.", REMEDY) from error
    if hashlib.sha256(content).hexdigest() != stamp.removed_digest:
        raise IndexFileError(f"{path}: {file} is not the list of removed ids that belongs to it.", REMEDY)
    return np.frombuffer(content, "<i8").astype(np.int64, copy=False)


def _table(path: Path, file: Path, digest: str, count: int | None = None) -> RowTable:
    """Open a file of rows."""
    try:
        return RowTable.open(file, digest=digest, count=count)
    except FileNotFoundError:
        raise _missing(path, file, "rows", digest) from None
    except IndexFileError as error:
        raise IndexFileError(f"{path}: {error.what}", REMEDY) from error


def _missing(path: Path, file: Path, what: str, digest: str = "") -> IndexFileError:
    """Return the error for a missing file of an index; it names the same file under another name, if there is one."""
    others = sorted(path.parent.glob(f"*{file.suffix}")) if digest else []
    found = next((other for other in others if _has_digest(other, digest)), None)
    bring = f"Bring {file.name} back" if found is None else f"Copy {spelled(found.name)} to {spelled(file.name)}"
    remedy = f"{bring} (it moves with {path.name}), or embed again: {INDEX_AGAIN}"
    return IndexFileError(f"{path} is unusable without its {what}: {file} is missing.", remedy)


def _has_digest(file: Path, digest: str) -> bool:
    try:
        return file_digest(file) == digest
    except OSError:
        return False


def remember(file: Path, part: Stamp | SegmentStamp) -> None:
    """Remember that a file of vectors was written by this process, so that the next reader does not check it again."""
    # The index is committed, or is going to be: a failure here costs only one more check.
    with contextlib.suppress(IndexFileError):
        check_vectors(file, part, known=True)
    for fact in (f"ids {part.rows_digest}", f"finite {part.vectors_digest}"):
        _once(file, fact, lambda: True)


def _once(path: Path, fact: str, check: Callable[[], bool]) -> bool:
    """Return whether a check of an index succeeds. The answer is cached until the file changes."""
    try:
        return checked_once(path, fact, check)
    except OSError:  # another process has replaced or removed the file
        return check()
