"""The files of an index: their names, and which of them are left over.

`gallery.faiss` is the index, `gallery.rows-GENERATION` its rows. An index of several segments has more: `vectors` and
`rows` of each, `removed` (ids) and `changed` (rows). Temporary files and files of other generations are left over by a
process that was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index.index_stamp import (
    SUFFIX,
    Stamp,
    changed_file,
    read_stamp,
    removed_file,
    rows_file,
    vectors_file,
)

PARTIAL_SUFFIX = ".unfinished.faiss"
LONGEST = ".{}.unfinished.removed-1000000.01234567.part"  # of the names of the files that belong to an index


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
        IndexFileError: If the name is not valid or too long, the folder is missing or not writable, or the path is
            something else than a file.
    """
    check_name(path)
    if path.name.endswith(PARTIAL_SUFFIX):
        raise IndexFileError(f"{path}: such a name is that of partial results.", "Name the index otherwise.")
    try:
        if path.is_dir():
            raise IndexFileError(f"{path} is a folder.", "Name a file for the index in it.")
        if path.exists() and not path.is_file():
            raise IndexFileError(f"{path} is not a regular file.", "Name another file for the index.")
        if not path.parent.is_dir():
            raise IndexFileError(
                f"Cannot write {path}: there is no folder {path.parent}.",
                "Create the folder first, or name another path.",
            )
        path.with_name(LONGEST.format(path.name.removesuffix(SUFFIX))).exists()  # raises if the name is too long
        with os.scandir(path.parent):
            pass
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise IndexFileError(f"Cannot write {path}: {error.strerror}.", "Choose another place for it.") from error


def files_of(path: Path) -> list[Path]:
    """Return the existing files of an index: first the `.faiss` file, then those that belong to it."""
    return [file for file in (path, *sorted(_belonging(path))) if file.exists()]


def generations(index: Path) -> set[int]:
    """Return all generations that have a file next to an index, valid or not."""
    return set(_belonging(index).values())


def sweep_parts(index: Path) -> None:
    """Remove temporary files of an index and of those that belong to it, which nothing else would ever remove."""
    part = re.compile(rf"\.({re.escape(index.name)}|{_pattern(index)})\.[0-9a-f]{{8}}\.part")
    for file in list(index.parent.glob(".*.part")):
        if part.fullmatch(file.name):
            file.unlink(missing_ok=True)


def sweep_newer(index: Path, newest: int) -> None:
    """Remove the files of generations that a writer had begun before it was killed, so that the next has their names.

    Args:
        index: The `.faiss` file, which that writer did not replace.
        newest: The last generation that had a file before.
    """
    for file, generation in _belonging(index).items():
        if generation > newest:
            file.unlink(missing_ok=True)


def sweep(index: Path, generation: int) -> None:
    """Remove all files that the state on the disk does not need. The caller must hold the write lock.

    After a commit these are the files of older states, after a failed one those that it wrote, before one those that a
    killed process left. If the index cannot be read, nothing is removed, because it may need any of them.

    Args:
        index: The `.faiss` file; without it, only the files of one generation are removed.
        generation: The generation that is being written.
    """
    with contextlib.suppress(IndexFileError, OSError):
        there = _is_there(index)
        needed = _needed(index, read_stamp(index)) if there else set()
        for file, own in _belonging(index).items():
            if file not in needed and (there or own == generation):
                file.unlink(missing_ok=True)


def _needed(index: Path, stamp: Stamp) -> set[Path]:
    """Return the files of a state of an index, besides the `.faiss` file."""
    needed = {rows_file(index, part.generation) for part in stamp.parts}
    needed |= {vectors_file(index, part.generation) for part in stamp.segments}
    digests = {removed_file: stamp.removed_digest, changed_file: stamp.changed_digest}
    return needed | {name(index, stamp.generation) for name, digest in digests.items() if digest}


def _belonging(index: Path) -> dict[Path, int]:
    """Return the files next to an index that are named after it, with their generations."""
    pattern = re.compile(_pattern(index))
    if not index.parent.is_dir():
        return {}
    matches = ((file, pattern.fullmatch(file.name)) for file in index.parent.iterdir())
    return {file: int(match[1]) for file, match in matches if match}


def _pattern(index: Path) -> str:
    """Return a regular expression for the names of all files that belong to an index; its group is the generation."""
    return rf"{re.escape(index.name.removesuffix(SUFFIX))}\.(?:rows|vectors|removed|changed)-(\d+)"


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
