"""A collection of Milvus as the place of a gallery."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from scing_cli.core.errors import IndexFileError, SettingError, counted
from scing_cli.core.index.gallery_places import GalleryPlace
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.milvus.address import Address
from scing_cli.core.index.milvus.milvus_gallery import MilvusGallery
from scing_cli.core.index.milvus.milvus_rows import MilvusRows
from scing_cli.core.index.milvus.milvus_writer import PAUSE, Kept, Writer
from scing_cli.core.index.milvus.server import Server

WAITS = 5  # looks at a gallery whose rows are not those of its stamp


class MilvusPlace(GalleryPlace):
    """A collection.

    Args:
        address: Where it is.
    """

    def __init__(self, address: Address) -> None:
        self._address, self._server = address, Server(address)
        self._writer = Writer(self._server)

    @property
    def named(self) -> str:
        """The address."""
        return self._address.text

    @property
    def local(self) -> Path:
        """The file in the current folder that an index of this name would be."""
        return Path(f"{self._address.collection}.milvus.faiss")

    def exists(self) -> bool:
        """Return whether there is a gallery; a write that was never finished is none."""
        return self._writer.read() is not None

    def check_writable(self) -> None:
        """Raise if Milvus cannot be reached, or the collection is not one of scing."""
        self._writer.read()

    def stamp(self) -> Stamp:
        """Read the newest stamp."""
        return self._kept().stamp

    def rows(self) -> MilvusRows:
        """Open the rows."""
        kept = self._kept()
        return MilvusRows(self._server, kept.first, kept.stamp.next_id)

    def open(self) -> MilvusGallery:
        """Open the gallery. While another process ends its write, wait for it.

        Raises:
            IndexFileError: If there is none, or an interrupted write has left rows missing.
        """
        for _ in range(WAITS):
            gallery = self.open_to_change()
            if (found := len(gallery)) == gallery.stamp.count:
                return gallery
            time.sleep(PAUSE)
        raise IndexFileError(
            f"{self} has {counted(found, 'row')}, but its stamp counts {gallery.stamp.count:,}: a change was "
            "interrupted, or another program has changed the collection.",
            "Run the interrupted command again; or settle it: scing embed --append, with the options of before.",
        )

    def open_to_change(self) -> MilvusGallery:
        """Open the gallery, also if an interrupted write has left rows missing."""
        kept = self._kept()
        return MilvusGallery(self._server, kept, kept)

    def check_kind(self, kind: str) -> None:
        """Raise for an index type other than the exact one."""
        if kind not in ("auto", "flat"):
            raise SettingError(
                f"--index-type {kind} has no effect on {self}: collections are made with Milvus's exact index, FLAT.",
                "Leave it out; whoever runs the server may give the collection another index.",
            )

    def check_compact(self) -> None:
        """Raise for `--compact`."""
        raise SettingError(f"--compact has no effect on {self}: Milvus compacts by itself.", "Leave it out.")

    def create(self, stamp: Stamp, count: int) -> MilvusGallery:  # noqa: ARG002
        """Return a gallery whose ids follow those of one that it replaces.

        Raises:
            IndexFileError: If there is a collection for vectors of another width.
        """
        former = self._writer.read()
        self._check_width(stamp.width)
        first = former.stamp.next_id if former else 0
        generation = former.stamp.generation if former else 0
        own = dataclasses.replace(stamp, kind="flat", next_id=first, generation=generation)
        return MilvusGallery(self._server, Kept(own, first), former)

    def lock(self) -> AbstractContextManager[None]:
        """Return nothing: `write` has a lease of its own, and refuses if the collection was changed meanwhile."""
        return contextlib.nullcontext()

    def write(self, gallery: Gallery, *, compact: bool = False) -> None:
        """Write the changes of a gallery."""
        if compact:
            self.check_compact()
        cast("MilvusGallery", gallery).write()

    def _kept(self) -> Kept:
        """Return the newest stamp.

        Raises:
            IndexFileError: If there is none.
        """
        if (kept := self._writer.read()) is not None:
            return kept
        if self._server.exists():
            raise IndexFileError(
                f"{self} is not whole: embed was interrupted before it was written.",
                "Run the same scing embed again: it resumes and writes the gallery.",
            )
        raise IndexFileError(f"There is no gallery {self}.", f"Make one: scing embed --output {self}")

    def _check_width(self, width: int) -> None:
        if not self._server.exists():
            return
        fields = self._server("describe_collection")["fields"]
        own = next(int(field["params"]["dim"]) for field in fields if "dim" in field["params"])
        if own != width:
            raise IndexFileError(
                f"{self} holds vectors {own} wide, and a collection's width never changes; these are {width} wide.",
                "Name another collection, or drop this one.",
            )


def place(text: str) -> MilvusPlace:
    """Return the place of an address.

    Raises:
        IndexFileError: If it is not one.
    """
    return MilvusPlace(Address.parse(text))
