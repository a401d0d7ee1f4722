"""The gallery index in files: search, add, remove, write.

Q queries, N vectors, D width. Vectors are unit length, so an inner product is a cosine (Eq. 21).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.errors import DataError, IndexFileError
from scing_cli.core.index.borrowed import BorrowedRows, BorrowedStore, Lender, Loan
from scing_cli.core.index.commits import commit, parts_to_keep
from scing_cli.core.index.comparable import check_width
from scing_cli.core.index.disk import load
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.hits import best_hits
from scing_cli.core.index.index_files import check_name
from scing_cli.core.index.index_lock import write_lock
from scing_cli.core.index.index_stamp import Stamp, read_stamp
from scing_cli.core.index.kinds import KINDS, choose_kind
from scing_cli.core.index.memory_rows import IntArray, MemoryRows, Rows
from scing_cli.core.index.parts import Parts
from scing_cli.core.index.rows import Entry, Hit, Labels, Row, RowFilter
from scing_cli.core.index.store import FlatStore, Store, Vectors, check_unit
from scing_cli.core.index.tuning import measured_recall, tune


class GalleryIndex(Gallery):
    """Unit vectors with stable int64 ids, and one row of metadata per vector. Made by `create` or `read`.

    What was read stays on the disk, mapped into memory; rows are read when they are asked for. Changes are kept beside
    it until `write`.

    Args:
        stores: The vectors; all ids of a store are greater than those of the stores before it.
        rows: The rows; a table for each store.
        stamp: Model, descriptor and counts of the index.
        path: The file it was read from or last written to.
    """

    def __init__(self, stores: Sequence[Store], rows: GalleryRows, stamp: Stamp, path: Path | None = None) -> None:
        self._parts = Parts(stores, stamp.width)
        self._rows = rows
        self._stamp = self._committed = stamp
        self._path = path

    @classmethod
    def create(
        cls,
        vectors: Vectors,
        entries: Sequence[Entry],
        *,
        model_digest: str,
        model: Mapping[str, Any],
        descriptor: str,
        kind: str = "auto",
    ) -> GalleryIndex:
        """Create an index of new vectors. Ids start at 0.

        Args:
            vectors: Shape (N, D), float32, unit length.
            entries: The N images.
            model_digest: Digest of the image encoder.
            model: Where to find the encoder, as in `Stamp.model`.
            descriptor: `projected` or `concat`.
            kind: The index type: `auto` (by the number of vectors), `flat`, `ivf` or `hnsw`.

        Raises:
            SettingError: If the kind is unknown.
            DataError: If there are no vectors, or one is not finite or not of unit length.
        """
        if not len(vectors):
            raise DataError("There is no image to index.")
        chosen = choose_kind(kind, *vectors.shape)
        index = cls.empty(vectors.shape[1], model_digest=model_digest, model=model, descriptor=descriptor, kind=chosen)
        index.add(vectors, entries)
        return index

    @classmethod
    def empty(
        cls, width: int, *, model_digest: str, model: Mapping[str, Any], descriptor: str, kind: str = FlatStore.kind
    ) -> GalleryIndex:
        """Create an index without vectors, which cannot be written before it has one; `kind` is not `auto`."""
        return cls.of(Stamp(model_digest, model, descriptor, width, kind=kind))

    @classmethod
    def of(cls, stamp: Stamp) -> GalleryIndex:
        """Create an index without vectors that has a stamp, whose kind is not `auto`."""
        store = KINDS[stamp.kind]
        return cls([store(store.empty(stamp.width))], GalleryRows([MemoryRows()]), stamp)

    @classmethod
    def read(cls, path: Path) -> GalleryIndex:
        """Read an index with its rows. Another process may write the index at the same time.

        Raises:
            IndexFileError: If it is missing, was not written by scing, is damaged, or its rows are missing.
        """
        return cls(*load(path), path)

    @property
    def name(self) -> str:
        """What messages call it: the file it was read from or last written to."""
        return "The index" if self._path is None else str(self._path)

    @property
    def stamp(self) -> Stamp:
        """The index's stamp; generation and digests are those of the last write."""
        return self._stamp

    @property
    def is_approximate(self) -> bool:
        """Whether a search may miss a row."""
        return self._parts.approximate

    @property
    def is_split(self) -> bool:
        """Whether it was written as several segments."""
        return bool(self._stamp.segments)

    @property
    def table(self) -> Rows:
        """The rows, which are read when they are asked for."""
        return self._rows

    def vectors(self, ids: Sequence[int] | IntArray | None = None) -> Vectors:
        """Return a copy of the vectors of M ids, shape (M, D), or of all vectors in order of ids, shape (N, D)."""
        return self._parts.vectors(self._rows.ids() if ids is None else np.array(ids, dtype=np.int64))

    def add(self, vectors: Vectors, entries: Sequence[Entry]) -> list[int]:
        """Add vectors under new ids and return these ids. The disk changes only with `write`.

        Args:
            vectors: Shape (N, D), float32, unit length.
            entries: The N images.

        Raises:
            IndexFileError: If the vectors are not D wide.
            DataError: If a vector is not finite or not of unit length; the message names the image.
        """
        if len(vectors) != len(entries):
            raise ValueError(f"{len(vectors)} vectors, {len(entries)} images")
        check_width(vectors, self.width, self.name)
        check_unit(vectors, [entry.path for entry in entries])
        ids = self._new_ids(len(entries))
        if ids:
            store, table = self._in_memory()
            changed = store.add(np.ascontiguousarray(vectors, dtype=np.float32), np.array(ids, dtype=np.int64))
            table.put({number: Row.of(number, entry) for number, entry in zip(ids, entries, strict=True)})
            if changed:
                tune(store)
        self._stamp = dataclasses.replace(self._stamp, count=len(self))
        return list(ids)

    def borrow(self, lender: Callable[[], Lender], ids: IntArray, labels: Sequence[Labels] | None = None) -> None:
        """Add rows of another index under new ids. `write` reads them there, piece by piece.

        Args:
            lender: Opens the other index, whose vectors are D wide; it stays as it is until this one is written.
            ids: Their N ids in it.
            labels: Identity, camera and scene of each; None for those that they have there.
        """
        new = self._new_ids(len(ids))
        if new:
            loan = Loan(lender, ids, new.start, labels)
            self._parts.stores.append(BorrowedStore(loan, self.width))
            self._rows.tables.append(BorrowedRows(loan))
        self._stamp = dataclasses.replace(self._stamp, count=self._stamp.count + len(new))

    def remove(self, ids: Collection[int]) -> None:
        """Remove rows; an id may be named twice. Their ids are never used again. The disk changes only with `write`.

        Raises:
            ValueError: If an id is unknown.
        """
        self._check_known(ids)
        if not ids:
            return
        self._parts.remove(np.unique(np.fromiter(ids, np.int64, len(ids))), self._rows)
        self._stamp = dataclasses.replace(self._stamp, count=len(self))

    def relabel(self, labels: Mapping[int, tuple[str, str] | tuple[str, str, str]]) -> None:
        """Give rows other labels; ids and vectors stay. The disk changes only with `write`.

        Args:
            labels: Identity and camera by id, and the scene if it is another one too.

        Raises:
            ValueError: If an id is unknown.
        """
        self._check_known(labels.keys())
        self._rows.relabel(labels)

    def name_model(self, model: Mapping[str, Any]) -> None:
        """Say where the encoder is now, as in `Stamp.model`. The disk changes only with `write`."""
        self._stamp = dataclasses.replace(self._stamp, model=model)

    def write(self, path: Path, *, locked: bool = False, compact: bool = False) -> Stamp:
        """Write the index and its rows; one rename commits all files.

        Args:
            path: The `.faiss` file.
            locked: True if the caller already holds its `write_lock`.
            compact: Write two files, even if the index is large and little has changed.

        Raises:
            IndexFileError: If the name does not end in `.faiss`, another process is writing the file or has changed it
                since this index was read from it, or faiss cannot write.
        """
        check_name(path)
        with contextlib.nullcontext() if locked else write_lock(path):
            self._check_unchanged(path)
            here = self._path is not None and self._path.absolute() == path.absolute()
            keep = parts_to_keep(self._parts, self._rows, self._stamp.kind) if here and not compact else 0
            stores, rows, stamp = commit(path, self._parts, self._rows, self._stamp, former=self._committed, keep=keep)
        self._parts, self._rows = Parts(stores, self.width), rows
        self._stamp, self._committed, self._path = stamp, stamp, path
        return stamp

    def _find(
        self, queries: Vectors, k: int, *, allowed: RowFilter | None, each_identity_once: bool
    ) -> list[list[Hit]]:
        ids = self._rows.ids(allowed) if allowed else None
        there = len(self) if ids is None else len(ids)
        people = self._rows.people(allowed) if each_identity_once else None

        def nearest(some: Vectors, reach: int) -> list[list[Hit]]:
            found = self._parts.nearest(some, reach, ids, self._rows.removed)
            named = self._rows.find({int(number) for _, near in found for number in near})
            return [
                [Hit(float(score), named[int(number)]) for score, number in zip(scores, near, strict=True)]
                for scores, near in found
            ]

        return best_hits(nearest, queries, k, there=there, people=people)

    def _new_ids(self, count: int) -> range:
        """Take new ids. They are taken before anything else changes, so that an interruption never gives one twice."""
        first = self._stamp.next_id
        self._stamp = dataclasses.replace(self._stamp, next_id=first + count)
        return range(first, first + count)

    def _in_memory(self) -> tuple[Store, MemoryRows]:
        """Return the store and the table that take new rows; those that were read do not change."""
        table = self._rows.tables[-1]
        if not isinstance(table, MemoryRows):
            table = MemoryRows()
            self._parts.stores.append(FlatStore(FlatStore.empty(self.width)))
            self._rows.tables.append(table)
        return self._parts.stores[-1], table

    def recall(self) -> float:
        """Return recall@10 compared with a flat index; 1 for a flat index.

        Of an index that was written, it is that of its first segment as it was written: of the others, all vectors are
        compared.
        """
        if self._stamp.recall is not None and not isinstance(self._rows.tables[0], MemoryRows):
            return self._stamp.recall
        return measured_recall(self._parts.stores[0])

    def _check_unchanged(self, path: Path) -> None:
        """Raise if another process has changed the file since this index was read from it."""
        if self._path is None or self._path.absolute() != path.absolute() or not path.exists():
            return
        if read_stamp(path) != self._committed:
            raise IndexFileError(f"{path} was changed by another process after it was read.", "Run the command again.")
