"""Write a state of an index: as two files, or as a segment beside those that are there. One rename commits all of it.

Two files: `gallery.faiss` stores the vectors, their ids and the stamp; `gallery.rows-GENERATION` stores the rows.

Several segments: `gallery.faiss` stores the stamp alone, which names the segments. Each has a file of vectors,
`gallery.vectors-GENERATION`, and one of rows, `gallery.rows-GENERATION`, which never change. Ids that were removed from
them are in `gallery.removed-GENERATION`, rows that have other labels by now in `gallery.changed-GENERATION`. A large
index becomes one of segments when it changes, and one of two files again when as much has changed as is worth writing
it anew.

A write first flushes its new files, then renames `gallery.faiss`, which commits them, then removes those of older
states.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import WRITE_REMEDY, IndexFileError
from scing_cli.core.index.disk import read_vectors, remember
from scing_cli.core.index.flat_file import write_flat, write_index
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.index_files import generations, sweep, sweep_parts
from scing_cli.core.index.index_stamp import (
    Stamp,
    append_stamp,
    changed_file,
    removed_file,
    rows_file,
    vectors_file,
)
from scing_cli.core.index.kinds import KINDS
from scing_cli.core.index.memory_rows import Rows
from scing_cli.core.index.parts import Parts
from scing_cli.core.index.row_table import RowTable, write_rows
from scing_cli.core.index.store import FlatStore, IntArray, Store
from scing_cli.core.index.tuning import AIM, measured_recall, tune

LARGE = 1 << 26  # bytes of vectors; a smaller index is always written as two files
WORTH = {FlatStore.kind: 2}  # a whole index is written anew once 1 / this of it is in later segments
WORTH_APPROXIMATE = 8  # of other kinds, whose later segments are searched one by one
DEAD = 4  # the same, once 1 / this of its rows are removed or changed

Opened = tuple[list[Store], GalleryRows, Stamp]


def parts_to_keep(parts: Parts, rows: GalleryRows, kind: str) -> int:
    """Return how many segments stay as they are at the next write; 0 if all are written as two files.

    Later segments are merged as soon as the one before is not twice as long, so that there are never many of them.
    """
    there = sum(isinstance(table, RowTable) for table in rows.tables)
    base = len(parts.stores[0])
    if not there or 4 * base * parts.width < LARGE or DEAD * max(len(rows.removed), len(rows.changed)) > base:
        return 0
    keep, added = there, sum(map(len, parts.stores[there:]))
    if not added:
        return keep
    while keep > 1 and len(parts.stores[keep - 1]) <= 2 * added:
        keep -= 1
        added += len(parts.stores[keep])
    return keep if keep > 1 or WORTH.get(kind, WORTH_APPROXIMATE) * added < base else 0


def commit(path: Path, parts: Parts, rows: GalleryRows, stamp: Stamp, *, former: Stamp, keep: int) -> Opened:
    """Write a new generation of an index. The former one stays valid until the final rename.

    The caller must hold the write lock. Files of writers that were killed are removed.

    Args:
        path: The `.faiss` file.
        parts: The vectors.
        rows: One per vector.
        stamp: The index's stamp; this function sets its count, generation, segments and digests.
        former: The stamp of the state that is on the disk now; only with `keep`.
        keep: The number of segments that stay; 0 to write the whole index as two files.

    Returns:
        The vectors, rows and stamp as written; they stay those of this commit when another process writes the index.

    Raises:
        ScingError: If faiss or SQLite cannot write, for example because the disk is full, or a file vanishes meanwhile.
    """
    sweep_parts(path)  # this process holds the lock, so no other writer still needs them
    generation = 1 + max([stamp.generation, *generations(path)])
    sweep(path, generation)  # before the write, which may need their room
    bare = dataclasses.replace(stamp, count=len(rows), generation=generation, rows_digest="", vectors_digest="")
    bare = dataclasses.replace(bare, segments=(), removed_digest="", changed_digest="")
    try:
        if keep:
            return _commit_segments(path, parts, rows, bare, former=former, keep=keep)
        return _commit_whole(path, parts, rows, dataclasses.replace(bare, recall=None))
    except FileNotFoundError as error:  # a file that was there, or has just been written
        raise IndexFileError(
            f"{error.filename} vanished while {path} was written.",
            "Does another process write this index, on a file system without locks? Run the command again.",
        ) from error


def _commit_whole(path: Path, parts: Parts, rows: GalleryRows, stamp: Stamp) -> Opened:
    try:
        written = dataclasses.replace(stamp, rows_digest=write_rows(rows_file(path, stamp.generation), rows))
        table = RowTable.open(rows_file(path, stamp.generation), digest=written.rows_digest, known=True)
        with replacing(path) as temporary:
            written = dataclasses.replace(written, recall=_write_vectors(temporary, parts, rows, stamp))
            written = append_stamp(temporary, written)
            store = KINDS[written.kind](read_vectors(temporary))
        remember(path, written)
    finally:
        sweep(path, stamp.generation)
    return [store], GalleryRows([table]), written


def _write_vectors(target: Path, parts: Parts, rows: GalleryRows, stamp: Stamp) -> float | None:
    """Write all vectors; return the recall of an approximate index."""
    ids = rows.ids()
    if stamp.kind == FlatStore.kind:
        _write(target, lambda stream: write_flat(stream, ids, stamp.width, parts.vectors))
        return None
    whole = parts.whole(ids, rows.removed)
    if measured_recall(whole) < AIM:  # of rows that were added
        tune(whole)
    _write(target, lambda stream: write_index(stream, whole.index))
    return round(measured_recall(whole), 4)


def _commit_segments(path: Path, parts: Parts, rows: GalleryRows, stamp: Stamp, *, former: Stamp, keep: int) -> Opened:
    generation = stamp.generation
    kept, rest = rows.split(keep, parts.stores[keep - 1].ends()[1])
    stores, segments, ids = parts.stores[:keep], list(former.parts[:keep]), rest.ids()
    try:
        if not former.segments:
            _link(path, vectors_file(path, former.generation))
            remember(vectors_file(path, former.generation), segments[0])
        if len(ids):
            file, target = vectors_file(path, generation), rows_file(path, generation)
            digest = write_rows(target, rest)
            kept.tables.append(RowTable.open(target, digest=digest, known=True))
            with replacing(file) as temporary:
                _write(temporary, lambda stream: write_flat(stream, ids, stamp.width, parts.vectors))
                own = dataclasses.replace(stamp, kind=FlatStore.kind, count=len(ids), rows_digest=digest, recall=None)
                own = append_stamp(temporary, own)
            segments.append(own.parts[0])
            remember(file, segments[-1])
            stores.append(FlatStore(read_vectors(file)))
        removed = _write_removed(removed_file(path, generation), kept.removed)
        changed = _write_changed(path, kept.changed, generation, former)
        written = dataclasses.replace(stamp, segments=tuple(segments), removed_digest=removed, changed_digest=changed)
        with replacing(path) as temporary:
            temporary.touch()
            written = append_stamp(temporary, written)
    finally:
        sweep(path, stamp.generation)
    return stores, kept, written


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, without a copy of its content where the file system can do that."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def _write_changed(path: Path, rows: Rows, generation: int, former: Stamp) -> str:
    """Write the rows that have other labels; those that are as they were read get a second name. Return the digest."""
    if not len(rows):
        return ""
    target = changed_file(path, generation)
    if not isinstance(rows, RowTable):
        return write_rows(target, rows)
    _link(changed_file(path, former.generation), target)
    return former.changed_digest


def _write_removed(target: Path, ids: IntArray) -> str:
    """Write ids, 8 bytes each, ascending; return the SHA-256 of the file. Without ids, there is no file."""
    if not len(ids):
        return ""
    content = ids.astype("<i8").tobytes()
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _write(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a faiss index to a file."""
    with target.open("wb") as stream:
        try:
            write(stream)
        except RuntimeError as error:  # faiss's own errors; those of the stream are OSError
            raise IndexFileError(f"Cannot write the vectors to {target.parent}: {error}.", WRITE_REMEDY) from error
