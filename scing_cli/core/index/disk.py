"""Read and write an index on disk: two files that one rename commits together.

`gallery.faiss` stores the vectors, their ids and the stamp; `gallery.rows-GENERATION` stores the rows. A write first
flushes the rows of the new generation, then renames `gallery.faiss`, which commits both, then removes older rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.artifacts import acquire_lock, checked_once, file_digest, lock_holder, release_lock, replacing
from scing_cli.core.errors import INDEX_AGAIN, WRITE_REMEDY, IndexFileError, counted, spelled
from scing_cli.core.index.index_stamp import REMEDY, SUFFIX, Stamp, append_stamp, check_vectors, read_stamp, rows_file
from scing_cli.core.index.kinds import KINDS
from scing_cli.core.index.rows import Row, read_rows, write_rows
from scing_cli.core.index.store import Store, faiss

PARTIAL_SUFFIX = ".unfinished.faiss"
READ_ATTEMPTS = 20  # each fails only if a commit happens during it; three failures in a row have been seen
PATIENCE = 5.0  # seconds to wait for another writer
BLOCK = 1 << 20  # bytes written at a time


def check_name(path: Path) -> None:
    """Check that a path is a valid name for an index.

    Raises:
        IndexFileError: If it does not end in `.faiss`.
    """
    if path.suffix != SUFFIX:
        raise IndexFileError(f"{path}: the name of an index ends in {SUFFIX}.", f"Name it {path.name}{SUFFIX}.")


def partial_file(output: Path) -> Path:
    """Return the file for partial results of `embed`: `gallery.unfinished.faiss` next to `gallery.faiss`."""
    return output.with_name(output.name.removesuffix(SUFFIX) + PARTIAL_SUFFIX)


def check_complete(index: Path) -> None:
    """Refuse to search the partial results of an unfinished `embed`.

    Raises:
        IndexFileError: If the name ends in `.unfinished.faiss`.
    """
    if index.name.endswith(PARTIAL_SUFFIX):
        raise IndexFileError(
            f"{index} holds the partial results of an interrupted scing embed; it is not an index to search.",
            "Run the same embed command again: it resumes and writes the index.",
        )


def check_writable(path: Path) -> None:
    """Check that an index can be written to a path, before the work starts. Leaves no file behind.

    Raises:
        IndexFileError: If the name is not valid, the folder is missing or not writable, or the path is a folder.
    """
    check_name(path)
    if path.is_dir():
        raise IndexFileError(f"{path} is a folder.", "Name a file for the index in it.")
    if not path.parent.is_dir():
        raise IndexFileError(
            f"Cannot write {path}: there is no folder {path.parent}.", "Create the folder first, or name another path."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise IndexFileError(f"Cannot write {path}: {error.strerror}.", "Choose another place for it.") from error


def load(path: Path) -> tuple[Store, list[Row], Stamp]:
    """Read an index's vectors, rows and stamp. Another process may write the index at the same time.

    Raises:
        IndexFileError: If the index is missing, was not written by scing, is damaged, or its rows are missing.
    """
    for _ in range(READ_ATTEMPTS):
        stamp = read_stamp(path)
        try:
            store, rows = _load(path, stamp)
        except IndexFileError:
            if read_stamp(path) == stamp:  # otherwise a writer has replaced the index: read the new one
                raise
        else:
            if read_stamp(path) == stamp:
                return store, rows, stamp
    raise IndexFileError(
        f"{path} changed during each of {READ_ATTEMPTS} attempts to read it.",
        "Wait until the other process has written it.",
    )


def read_index_rows(path: Path) -> list[Row]:
    """Read the rows of an index without its vectors. Another process may write the index at the same time.

    Raises:
        IndexFileError: If the index is missing, was not written by scing, or its rows are missing or damaged.
    """
    for _ in range(READ_ATTEMPTS - 1):
        stamp = read_stamp(path)
        try:
            return _rows(path, stamp)
        except IndexFileError:
            if read_stamp(path) == stamp:  # otherwise a writer has replaced the index: read the new one
                raise
    return _rows(path, read_stamp(path))


def commit(path: Path, index: Any, rows: Sequence[Row], stamp: Stamp) -> Stamp:
    """Write a new generation of an index and its rows. The former generation stays valid until the final rename.

    The caller must hold the write lock. Temporary files of writers that were killed are removed.

    Args:
        path: The `.faiss` file.
        index: The faiss index.
        rows: One per vector, in order of ids.
        stamp: The index's stamp; this function sets its generation and digests.

    Returns:
        The stamp as written.

    Raises:
        ScingError: If faiss or SQLite cannot write, for example because the disk is full.
    """
    _sweep_parts(path)  # this process holds the lock, so no other writer still needs them
    generation = 1 + max([stamp.generation, *_generations(path)])
    digest = write_rows(rows_file(path, generation), rows)
    written = dataclasses.replace(stamp, generation=generation, rows_digest=digest)
    try:
        with replacing(path) as temporary:
            _write_vectors(index, temporary)
            written = append_stamp(temporary, written)
        # The index is committed: a failure here costs only one more check of the vectors by the next reader.
        with contextlib.suppress(IndexFileError):
            check_vectors(path, written, known=True)
    finally:
        _sweep(path, written)
    return written


def _load(path: Path, stamp: Stamp) -> tuple[Store, list[Row]]:
    """Read vectors and rows, and check that they belong together.

    Checksums are compared first, so that faiss and SQLite never parse damaged files.
    """
    rows = _rows(path, stamp)
    check_vectors(path, stamp)
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:  # faiss raises both for damaged files
        raise IndexFileError(f"{path} is damaged: faiss cannot read it.", REMEDY) from error
    if stamp.kind not in KINDS or not KINDS[stamp.kind].fits(index):
        raise IndexFileError(f"{path} is not an inner-product index with ids of the type {stamp.kind}.", REMEDY)
    store = KINDS[stamp.kind](index)
    found = (index.d, index.ntotal, store.ids().tolist())
    if found != (stamp.width, stamp.count, [row.id for row in rows]):
        raise IndexFileError(f"{path} is damaged: its vectors, stamp and rows do not match.", REMEDY)
    if not _are_finite(path, stamp, store):
        broken = np.flatnonzero(~np.isfinite(store.stored()[1]).all(axis=1))
        first = spelled(rows[int(broken[0])].path)
        raise IndexFileError(
            f"{path}: {counted(len(broken), 'vector is', 'vectors are')} not finite, for example that of {first}.",
            REMEDY,
        )
    return store, rows


def _has_digest(file: Path, digest: str) -> bool:
    try:
        return file_digest(file) == digest
    except OSError:
        return False


def _rows(path: Path, stamp: Stamp) -> list[Row]:
    """Read the rows that belong to a stamp."""
    source = rows_file(path, stamp.generation)
    try:
        return read_rows(source, digest=stamp.rows_digest)
    except FileNotFoundError:
        others = sorted(path.parent.glob(f"*.rows-{stamp.generation}"))
        found = next((other for other in others if _has_digest(other, stamp.rows_digest)), None)
        bring = (
            f"Bring {source.name} back" if found is None else f"Copy {spelled(found.name)} to {spelled(source.name)}"
        )
        remedy = f"{bring} (it moves with {path.name}), or embed again: {INDEX_AGAIN}"
        raise IndexFileError(f"{path} is unusable without its rows: {source} is missing.", remedy) from None
    except IndexFileError as error:
        raise IndexFileError(f"{path}: {error.what}", REMEDY) from error


def _are_finite(path: Path, stamp: Stamp, store: Store) -> bool:
    """Return whether all vectors are finite. The answer is cached until the file changes."""
    try:
        return checked_once(path, f"finite {stamp.vectors_digest}", store.are_finite)
    except OSError:  # another process has replaced or removed the file
        return store.are_finite()


def _write_vectors(index: Any, target: Path) -> None:
    """Write a faiss index to a file."""
    # A Python stream, because faiss's own writer does not report bytes that are lost when the file is closed.
    with target.open("wb") as stream:
        try:
            faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, BLOCK))
        except RuntimeError as error:  # faiss's own errors; those of the stream are OSError
            raise IndexFileError(f"Cannot write the vectors to {target.parent}: {error}.", WRITE_REMEDY) from error


def files_of(path: Path) -> list[Path]:
    """Return the existing files of an index: first the `.faiss` file, then its files of rows."""
    rows = [rows_file(path, generation) for generation in sorted(_generations(path))]
    return [file for file in (path, *rows) if file.exists()]


def _generations(index: Path) -> set[int]:
    """Return all generations that have a file of rows next to an index, valid or not."""
    pattern = re.compile(re.escape(rows_file(index, 0).name[:-1]) + r"(\d+)")
    if not index.parent.is_dir():
        return set()
    matches = (pattern.fullmatch(file.name) for file in index.parent.iterdir())
    return {int(match[1]) for match in matches if match}


def _sweep_parts(index: Path) -> None:
    """Remove temporary files of an index and of its rows, which nothing else would ever remove."""
    rows = re.escape(rows_file(index, 0).name[:-1])
    part = re.compile(rf"\.({re.escape(index.name)}|{rows}\d+)\.[0-9a-f]{{8}}\.part")
    for file in list(index.parent.glob(".*.part")):
        if part.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _sweep(index: Path, written: Stamp) -> None:
    """Remove unneeded files of rows: the older ones after a commit, the new one after a failed commit.

    If the index cannot be read, nothing is removed, because it may need either. The next commit removes them.
    """
    with contextlib.suppress(IndexFileError, OSError):
        committed = _is_there(index) and read_stamp(index) == written
        unneeded = _generations(index) - {written.generation} if committed else {written.generation}
        for generation in unneeded:
            rows_file(index, generation).unlink(missing_ok=True)


def _is_there(index: Path) -> bool:
    """Return whether a file exists.

    Raises:
        OSError: If its folder cannot be read: then the file may exist.
    """
    try:
        index.stat()
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def write_lock(index: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold the write lock of an index inside a `with` block. Readers are not blocked.

    On file systems without locks the block runs unlocked.

    Args:
        index: The `.faiss` file; it does not have to exist.
        patience: Seconds to wait for another writer; None for `PATIENCE`.

    Raises:
        IndexFileError: If another process still holds the lock (the message names it), or the folder is not writable.
    """
    file = index.with_name(f".{index.name}.lock")
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        handle = acquire_lock(file, patience=PATIENCE if patience is None else patience)
    except OSError as error:
        raise IndexFileError(f"Cannot write {index}: {error.strerror}.", "Choose another place for it.") from error
    if handle is None:
        raise IndexFileError(
            f"Another process is writing {index}{lock_holder(file)}.",
            "Run the command again when that process has ended.",
        )
    try:
        yield
    finally:
        release_lock(file, handle)
