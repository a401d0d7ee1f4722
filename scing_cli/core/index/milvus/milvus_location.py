"""A collection of Milvus as the location of a gallery."""

from __future__ import annotations

import contextlib
import hashlib
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from scing_cli.core.errors import IndexFileError, SettingError, counted
from scing_cli.core.index.gallery_location import GalleryLocation
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.index_files import check_writable
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.milvus.address import Address
from scing_cli.core.index.milvus.milvus_gallery import MilvusGallery
from scing_cli.core.index.milvus.milvus_rows import MilvusRows
from scing_cli.core.index.milvus.milvus_writer import FORMER, PAUSE, Writer
from scing_cli.core.index.milvus.server import Server
from scing_cli.core.index.milvus.stamp_record import StampRecord
from scing_cli.core.runtime import Reporter

WAITS = 5  # attempts to open a gallery that is being changed
RECENT = 10.0  # seconds: a stamp that was read so long ago is read again


class MilvusLocation(GalleryLocation):
    """A collection.

    Args:
        address: Where it is.
        reporter: Receives progress.
    """

    def __init__(self, address: Address, reporter: Reporter) -> None:
        self._address, self._server = address, Server(address, reporter)
        self._writer = Writer(self._server)
        self._seen: tuple[StampRecord, float] | None = None  # by `stamp`, and when

    @property
    def named(self) -> str:
        """The address."""
        return self._address.text

    @property
    def local(self) -> Path:
        """The file in the current folder that an index of this name would be."""
        own = hashlib.sha256(self._address.text.encode()).hexdigest()[:8]  # other servers have collections of this name
        return Path(f"{self._address.collection}-{own}.milvus.faiss")

    def exists(self) -> bool:
        """Return whether there is a gallery; a write that was never finished is none."""
        return self._writer.read() is not None

    def check_writable(self) -> None:
        """Raise if Milvus cannot be reached, the collection is not one of scing, or the folder cannot be written."""
        check_writable(self.local)
        self._writer.read(load=True)

    def state(self) -> object:
        """Return the generation of a stamp that was written from here; None if the newest is another one."""
        with contextlib.suppress(IndexFileError):
            record = self._writer.read()
            return record.stamp.generation if record and record.writer == self._writer.token else None
        return None

    def stamp(self) -> Stamp:
        """Read the newest stamp; `rows` and `open` take it over if they follow soon: each reading waits for a tick."""
        record = self._record()
        self._seen = record, time.monotonic()
        return record.stamp

    def rows(self) -> MilvusRows:
        """Open the rows."""
        record = self._recent()
        return MilvusRows(self._server, record.first, record.stamp.next_id)

    def open(self) -> MilvusGallery:
        """Open the gallery. While another process ends its write, wait for it.

        Raises:
            IndexFileError: If there is none, or an interrupted write has left rows missing.
        """
        for _ in range(WAITS):
            record, self._seen = self._recent(), None
            gallery = MilvusGallery(self._server, self._writer, record, record)
            if not record.journal and len(gallery) == record.stamp.count:
                return gallery
            time.sleep(PAUSE)
        if record.journal:
            raise IndexFileError(
                f"{self} is being changed, or a change was interrupted.",
                "Wait for the other process; if there is none, any scing embed --append or --prune ends the change.",
            )
        raise IndexFileError(
            f"{self} has {counted(len(gallery), 'row')}, but its stamp counts {record.stamp.count:,}: another program "
            "has changed the collection.",
            "Embed the images again that are missing: scing embed --append, with the options of before.",
        )

    def open_to_change(self) -> MilvusGallery:
        """Open the gallery; a change that was interrupted is carried out first.

        Raises:
            IndexFileError: If there is none, or another process is writing it.
        """
        record = self._record(load=True)
        if record.journal:
            with self._writer.leased(record.stamp.width, FORMER):
                record = self._writer.carry_out(self._record())
                self._writer.delete_former(record)
        return MilvusGallery(self._server, self._writer, record, record)

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

    def check_width(self, width: int) -> None:
        """Raise if the collection is for vectors of another width."""
        if not self._server.exists():
            return
        fields = self._server("describe_collection")["fields"]
        own = next(int(field["params"]["dim"]) for field in fields if "dim" in field["params"])
        if own != width:
            raise IndexFileError(
                f"{self} holds vectors {own} wide, and a collection's width never changes; these are {width} wide.",
                "Name another collection, or drop this one.",
            )

    def create(self, stamp: Stamp, count: int) -> MilvusGallery:  # noqa: ARG002
        """Return a gallery whose ids follow those of one that it replaces.

        Raises:
            IndexFileError: If there is a collection for vectors of another width.
        """
        former = self._writer.read()
        self.check_width(stamp.width)
        first = former.stamp.next_id if former else 0
        generation = former.stamp.generation if former else 0
        made_by = (stamp.model_digest, stamp.model, stamp.descriptor, stamp.width)
        own = Stamp(*made_by, next_id=first, generation=generation)
        return MilvusGallery(self._server, self._writer, StampRecord(own, first), former)

    def lock(self) -> AbstractContextManager[None]:
        """Return an empty context: `write` has a lease, and refuses if the collection was changed meanwhile."""
        return contextlib.nullcontext()

    def write(self, gallery: Gallery, *, compact: bool = False) -> None:
        """Write the changes of a gallery."""
        if compact:
            self.check_compact()
        self._seen = None
        cast("MilvusGallery", gallery).write()

    def _recent(self) -> StampRecord:
        """Return the stamp that `stamp` has just read, or read it. Who opened another one than the newest learns it."""
        if self._seen is not None and time.monotonic() - self._seen[1] < RECENT:
            return self._seen[0]
        return self._record()

    def _record(self, *, load: bool = False) -> StampRecord:
        """Return the newest stamp.

        Raises:
            IndexFileError: If there is none.
        """
        if (record := self._writer.read(load=load)) is not None:
            return record
        if self._server.exists():
            raise IndexFileError(
                f"{self} is not whole: embed has not written it yet, was interrupted before, or its index is gone.",
                "Wait for the other process; if there is none, run the same scing embed again: it writes the gallery.",
            )
        raise IndexFileError(f"There is no gallery {self}.", f"Make one: scing embed --output {self}")


def location(text: str, reporter: Reporter) -> MilvusLocation:
    """Return the location of an address, whose reporter receives progress.

    Raises:
        IndexFileError: If it is not one.
    """
    return MilvusLocation(Address.parse(text), reporter)
