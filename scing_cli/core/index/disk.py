"""An index on disk: two files, one commit.

`gallery.faiss` holds the vectors, their ids and the stamp, `gallery.rows-GENERATION` the rows. The rows of a new
generation are written and flushed first; then one rename of `gallery.faiss` commits both; then older rows are removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from scing_cli.core.artifacts import checked_once, replacing
from scing_cli.core.errors import WRITE_REMEDY, IndexFileError, spelled
from scing_cli.core.index.index_stamp import REMEDY, SUFFIX, Stamp, append_stamp, check_vectors, read_stamp, rows_file
from scing_cli.core.index.kinds import KINDS
from scing_cli.core.index.rows import Row, read_rows, write_rows
from scing_cli.core.index.store import Store

PARTIAL_SUFFIX = ".unfinished.faiss"
READ_ATTEMPTS = 20  # a writer whose every commit falls into a reading: three in a row happened
BLOCK = 1 << 20  # bytes written at a time


def check_name(path: Path) -> None:
    """Check that an index may have this name.

    Raises:
        IndexFileError: If it does not end in `.faiss`.
    """
    if path.suffix != SUFFIX:
        raise IndexFileError(f"{path}: the name of an index ends in {SUFFIX}.", f"Name it {path.name}{SUFFIX}.")


def partial_file(output: Path) -> Path:
    """Return where an unfinished `embed` keeps its results: `gallery.unfinished.faiss` next to `gallery.faiss`."""
    return output.with_name(output.name.removesuffix(SUFFIX) + PARTIAL_SUFFIX)


def check_complete(index: Path) -> None:
    """Refuse to search the partial results of an unfinished `embed`.

    Raises:
        IndexFileError: If the name says so.
    """
    if index.name.endswith(PARTIAL_SUFFIX):
        raise IndexFileError(
            f"{index} holds the partial results of an interrupted scing embed; it is not an index to search.",
            "Run the same embed command again: it resumes, and makes the index.",
        )


def check_writable(path: Path) -> None:
    """Check that an index can be written there, before the work that fills it; nothing is left behind.

    Raises:
        IndexFileError: If its name does not fit, its folder is missing or cannot be written, or it is a folder itself.
    """
    check_name(path)
    if path.is_dir():
        raise IndexFileError(f"{path} is a folder.", "Name a file for the index in it.")
    if not path.parent.is_dir():
        raise IndexFileError(
            f"Cannot write {path}: there is no folder {path.parent}.", "Make the folder first, or name another place."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise IndexFileError(f"Cannot write {path}: {error.strerror}.", "Choose another place for it.") from error


def load(path: Path) -> tuple[Store, list[Row], Stamp]:
    """Read the vectors, its rows and its stamp; a writer at work beside it does no harm.

    Raises:
        IndexFileError: If the index is missing, none of this program, damaged, or without its rows.
    """
    for _ in range(READ_ATTEMPTS):
        stamp = read_stamp(path)
        try:
            store, rows = _load(path, stamp)
        except IndexFileError:
            if read_stamp(path) == stamp:  # else it was replaced meanwhile: try the new one
                raise
        else:
            if read_stamp(path) == stamp:
                return store, rows, stamp
    raise IndexFileError(f"{path} is being written again and again.", "Wait for the writer to end.")


def commit(path: Path, index: Any, rows: Sequence[Row], stamp: Stamp) -> Stamp:
    """Write a new generation of an index and its rows; until the one rename the former generation stays valid.

    The caller holds the write lock: what is half written beside the index is a killed writer's, and is removed.

    Args:
        path: The `.faiss` file.
        index: The faiss index.
        rows: One per vector, in order of their ids.
        stamp: What it says of itself; generation and digests are set here.

    Returns:
        The stamp as written.

    Raises:
        ScingError: If faiss or SQLite cannot write, as on a full disk.
    """
    _sweep_parts(path)
    generation = 1 + max([stamp.generation, *_generations(path)])
    digest = write_rows(rows_file(path, generation), rows)
    written = dataclasses.replace(stamp, generation=generation, rows_digest=digest)
    try:
        with replacing(path) as temporary:
            _write_vectors(index, temporary)
            written = append_stamp(temporary, written)
        with contextlib.suppress(IndexFileError):  # committed it is; what is not remembered is checked once more
            check_vectors(path, written, known=True)
    finally:
        _sweep(path, written)
    return written


def _load(path: Path, stamp: Stamp) -> tuple[Store, list[Row]]:
    """Read vectors and rows, and check that they belong together; damaged ones reach neither faiss nor SQLite."""
    source = rows_file(path, stamp.generation)
    try:
        rows = read_rows(source, digest=stamp.rows_digest)
    except FileNotFoundError:
        remedy = (
            f"Bring {source.name} back (it moves with {path.name}), or embed again: scing embed --force, same --output."
        )
        raise IndexFileError(f"{path} is without its rows: {source} is missing.", remedy) from None
    except IndexFileError as error:
        raise IndexFileError(f"{path}: {error.what}", REMEDY) from error
    check_vectors(path, stamp)
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:  # what faiss raises
        raise IndexFileError(f"{path} is damaged: faiss cannot read it.", REMEDY) from error
    if stamp.kind not in KINDS or not KINDS[stamp.kind].fits(index):
        raise IndexFileError(f"{path} is no inner-product index with ids of the kind {stamp.kind}.", REMEDY)
    store = KINDS[stamp.kind](index)
    held = (index.d, index.ntotal, store.ids().tolist())
    if held != (stamp.width, stamp.count, [row.id for row in rows]):
        raise IndexFileError(f"{path} is damaged: its vectors, stamp and rows do not fit each other.", REMEDY)
    if not _are_finite(path, stamp, store):
        broken = np.flatnonzero(~np.isfinite(store.stored()[1]).all(axis=1))
        first = spelled(rows[int(broken[0])].path)
        raise IndexFileError(f"{path}: {len(broken)} vectors are not finite, that of {first} for one.", REMEDY)
    return store, rows


def _are_finite(path: Path, stamp: Stamp, store: Store) -> bool:
    """Tell whether all vectors are finite; once for a file as it is."""
    try:
        return checked_once(path, f"finite {stamp.vectors_digest}", store.are_finite)
    except OSError:  # it was replaced or removed meanwhile
        return store.are_finite()


def _write_vectors(index: Any, target: Path) -> None:
    """Write what faiss has to write through a stream of Python's: faiss's own says nothing of bytes lost on closing."""
    with target.open("wb") as stream:
        try:
            faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, BLOCK))
        except RuntimeError as error:  # what faiss raises for faults of its own
            raise IndexFileError(f"Cannot write the vectors to {target.parent}: {error}.", WRITE_REMEDY) from error


def files_of(path: Path) -> list[Path]:
    """Return the files of an index that are there: its own, which makes it one, and then its rows."""
    rows = [rows_file(path, generation) for generation in sorted(_generations(path))]
    return [file for file in (path, *rows) if file.exists()]


def _generations(index: Path) -> set[int]:
    """Return the generations whose rows lie beside an index, valid or not."""
    pattern = re.compile(re.escape(rows_file(index, 0).name[:-1]) + r"(\d+)")
    if not index.parent.is_dir():
        return set()
    matches = (pattern.fullmatch(file.name) for file in index.parent.iterdir())
    return {int(match[1]) for match in matches if match}


def _sweep_parts(index: Path) -> None:
    """Remove the temporary files of an index and of its rows: they would stay for ever, and may fill the disk."""
    rows = re.escape(rows_file(index, 0).name[:-1])
    part = re.compile(rf"\.({re.escape(index.name)}|{rows}\d+)\.[0-9a-f]{{8}}\.part")
    for file in list(index.parent.glob(".*.part")):
        if part.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _sweep(index: Path, written: Stamp) -> None:
    """Remove the rows that no index needs: the older ones after a commit, else those just written.

    Where the index cannot be read, nothing is removed: it may need either. The next commit sweeps.
    """
    with contextlib.suppress(IndexFileError, OSError):
        committed = _is_there(index) and read_stamp(index) == written
        unneeded = _generations(index) - {written.generation} if committed else {written.generation}
        for generation in unneeded:
            rows_file(index, generation).unlink(missing_ok=True)


def _is_there(index: Path) -> bool:
    """Tell whether there is such a file; a folder that cannot be read raises OSError, and does not say no."""
    try:
        index.stat()
    except FileNotFoundError:
        return False
    return True
