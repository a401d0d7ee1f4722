"""Where a gallery is: a FAISS file, or a collection of a server. `ENGINES` in `paths.py` names the servers.

A file is named by its path; all else by text such as `milvus://host:19530/people`, which no `Path` can hold.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from scing_cli.core.errors import IndexFileError, SettingError
from scing_cli.core.index.disk import open_index_rows
from scing_cli.core.index.gallery import GalleryIndex
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.index_files import check_complete, check_writable, partial_file
from scing_cli.core.index.index_lock import write_lock
from scing_cli.core.index.index_stamp import Stamp, read_stamp
from scing_cli.core.index.kinds import choose_kind
from scing_cli.core.index.memory_rows import Rows
from scing_cli.core.paths import ENGINES, StrPath, as_path, engine_of
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter


class GalleryLocation(abc.ABC):
    """Where a gallery is, or is to be."""

    @property
    @abc.abstractmethod
    def named(self) -> Path | str:
        """The path of a file; the text of an address."""

    @property
    @abc.abstractmethod
    def local(self) -> Path:
        """The file next to which partial results and lists of images lie."""

    @property
    def short(self) -> str:
        """The name of a file without its folder; an address."""
        return self.named.name if isinstance(self.named, Path) else self.named

    @abc.abstractmethod
    def exists(self) -> bool:
        """Return whether there is a gallery."""

    @abc.abstractmethod
    def check_writable(self) -> None:
        """Raise IndexFileError if no gallery could be written here."""

    @abc.abstractmethod
    def state(self) -> object:
        """Return something that every write changes; None if there is no gallery, or it cannot be known."""

    @abc.abstractmethod
    def check_width(self, width: int) -> None:
        """Raise IndexFileError if no gallery of this width could be written here."""

    @abc.abstractmethod
    def stamp(self) -> Stamp:
        """Read the stamp of a whole gallery.

        Raises:
            IndexFileError: If there is none, or it is not whole.
        """

    @abc.abstractmethod
    def rows(self) -> Rows:
        """Open the rows without the vectors.

        Raises:
            IndexFileError: If there is no gallery, or it cannot be read.
        """

    @abc.abstractmethod
    def open(self) -> Gallery:
        """Open the gallery.

        Raises:
            IndexFileError: If there is none, or it cannot be read.
        """

    def open_to_change(self) -> Gallery:
        """Open the gallery, also if an interrupted write has left rows missing: the next write settles it.

        Raises:
            IndexFileError: If there is none, or it cannot be read.
        """
        return self.open()

    @abc.abstractmethod
    def check_kind(self, kind: str) -> None:
        """Raise SettingError if there are no galleries of an index type here."""

    @abc.abstractmethod
    def check_compact(self) -> None:
        """Raise SettingError if `--compact` has no effect here."""

    @abc.abstractmethod
    def create(self, stamp: Stamp, count: int) -> Gallery:
        """Return a gallery without vectors, which replaces one that is here once it is written.

        Args:
            stamp: Its model, descriptor, width and index type; the type may be `auto`.
            count: Number of vectors that it will get.
        """

    @abc.abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Return the lock of the gallery, which servers do not have; `write` is called inside."""

    @abc.abstractmethod
    def write(self, gallery: Gallery, *, compact: bool = False) -> None:
        """Write a gallery that was opened or created here.

        Raises:
            IndexFileError: If another process has changed it since it was opened, or it cannot be written.
        """

    def check_free(self, *, force: bool) -> None:
        """Raise if there is a gallery that is not to be replaced.

        Raises:
            IndexFileError: If it is there and `force` is not set.
        """
        if force or not self.exists():
            return
        remedy = "Add to it with --append, replace it with --force, or name another --output."
        partial = partial_file(self.local)
        if partial.exists():
            remedy += f"\n{partial} has partial results of an interrupted embed: --append and --force use them."
        raise IndexFileError(f"{self} is there already.", remedy)

    def __str__(self) -> str:
        return str(self.named)


class IndexFile(GalleryLocation):
    """A FAISS file with the files that belong to it.

    Args:
        path: The `.faiss` file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def named(self) -> Path:
        """The path."""
        return self._path

    @property
    def local(self) -> Path:
        """The path."""
        return self._path

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self._path.exists()

    def check_writable(self) -> None:
        """Raise IndexFileError if no index could be written here."""
        check_writable(self._path)

    def state(self) -> object:
        """Return the file's inode, which changes when another file is renamed over it."""
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def check_width(self, width: int) -> None:
        """Accept every width."""

    def stamp(self) -> Stamp:
        """Read the stamp; partial results are refused."""
        check_complete(self._path)
        return read_stamp(self._path)

    def rows(self) -> Rows:
        """Open the rows without the vectors."""
        return open_index_rows(self._path)

    def open(self) -> GalleryIndex:
        """Open the index; partial results are refused."""
        check_complete(self._path)
        return GalleryIndex.read(self._path)

    def check_kind(self, kind: str) -> None:
        """Raise for an unknown index type."""
        choose_kind(kind, 0, 0)

    def check_compact(self) -> None:
        """Accept it."""

    def create(self, stamp: Stamp, count: int) -> GalleryIndex:
        """Return an index without vectors."""
        return GalleryIndex.of(dataclasses.replace(stamp, kind=choose_kind(stamp.kind, count, stamp.width)))

    def lock(self) -> AbstractContextManager[None]:
        """Return the lock of the file."""
        return write_lock(self._path)

    def write(self, gallery: Gallery, *, compact: bool = False) -> None:
        """Write the index; one rename commits all files."""
        cast("GalleryIndex", gallery).write(self._path, locked=True, compact=compact)


def as_location(value: StrPath | GalleryLocation, reporter: Reporter = LIBRARY_REPORTER) -> GalleryLocation:
    """Return where a gallery is.

    Args:
        value: The path of a `.faiss` file, or an address as text.
        reporter: Receives progress of a server that gets a gallery ready.

    Raises:
        IndexFileError: If an address is not valid, or the package for it is not installed.
        DataError: If it is a URL of another kind.

    >>> str(as_location("gallery.faiss"))
    'gallery.faiss'
    """
    if isinstance(value, GalleryLocation):
        return value
    if (engine := engine_of(value)) is not None:
        module = importlib.import_module(ENGINES[engine], __package__)
        location: GalleryLocation = module.location(os.fspath(value), reporter)
        return location
    return IndexFile(as_path(value))


def as_file(value: StrPath, option: str) -> IndexFile:
    """Return the location of an index file.

    Raises:
        SettingError: If it is an address; the message names the option that writes files.
    """
    if engine_of(value) is not None:
        raise SettingError(f"{option} makes index files: {value} is not one.", "Name a file that ends in .faiss.")
    return IndexFile(as_path(value))
