"""Write one index of the vectors and rows of several, in their order and under new ids.

At most one of them is open at a time, and its vectors are mapped into memory. N vectors, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.errors import DataError
from scing_cli.core.index.commits import commit
from scing_cli.core.index.gallery import GalleryIndex
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.index_lock import write_lock
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.kinds import KINDS, choose_kind
from scing_cli.core.index.memory_rows import IntArray
from scing_cli.core.index.parts import Parts
from scing_cli.core.index.rows import FURTHER, Row, RowFilter
from scing_cli.core.index.store import Store, Vectors
from scing_cli.core.index.tuning import tune


def join(
    path: Path, indexes: Sequence[Path], *, model: Mapping[str, Any], kind: str = "auto", locked: bool = False
) -> GalleryIndex:
    """Write the rows of several indexes as one index, with the bytes that it has if it is made of them at once.

    Ids start at 0, in the order of the indexes and of their ids.

    Args:
        path: The index to write.
        indexes: The indexes, of one model and one descriptor; at least one.
        model: Where to find the encoder, as in `Stamp.model`.
        kind: The index type: `auto` (by the number of vectors), `flat`, `ivf` or `hnsw`.
        locked: True if the caller already holds the `write_lock` of `path`.

    Raises:
        IndexFileError: If one is missing, damaged or of another model, or the new one cannot be written.
        DataError: If they have no rows.
    """
    sources = _Sources(indexes)
    if not sources.count:
        raise DataError("There is no image to index.")
    first = sources.stamp
    chosen = choose_kind(kind, sources.count)
    stamp = Stamp(first.model_digest, model, first.descriptor, first.width, kind=chosen, next_id=sources.count)
    with contextlib.nullcontext() if locked else write_lock(path):
        parts, rows = _JoinedParts(sources, chosen), _JoinedRows(sources)
        stores, written, stamp = commit(path, parts, rows, stamp, former=stamp, keep=0)
    return GalleryIndex(stores, written, stamp, path)


class _Sources:
    """Several indexes, of which the one that was used last is open.

    Args:
        paths: The indexes.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._opened: tuple[int, GalleryIndex, IntArray] | None = None
        self.starts, self.further = [0], set[str]()
        for number in range(len(self._paths)):
            index, ids = self.open(number)
            if number == 0:
                self.stamp = index.stamp
            own = self.stamp
            index.check_model(own.model_digest, descriptor=own.descriptor, width=own.width, name=str(self._paths[0]))
            self.starts.append(self.starts[-1] + len(ids))
            self.further |= {name for name in FURTHER if index.table.have(name)}

    @property
    def count(self) -> int:
        """N, the number of rows of all of them."""
        return self.starts[-1]

    def open(self, number: int) -> tuple[GalleryIndex, IntArray]:
        """Return an index and its ids, ascending."""
        if self._opened is None or self._opened[0] != number:
            index = GalleryIndex.read(self._paths[number])
            self._opened = (number, index, index.table.ids())
        return self._opened[1:]

    def owners(self, ids: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Yield the number of each index that has some of the new ids, and the places of its own in `ids`."""
        owners = np.searchsorted(self.starts, ids, side="right") - 1
        return ((int(number), np.flatnonzero(owners == number)) for number in np.unique(owners))


class _JoinedParts(Parts):
    """The vectors of several indexes, under new ids."""

    def __init__(self, sources: _Sources, kind: str) -> None:
        super().__init__((), sources.stamp.width)
        self._sources, self._kind = sources, kind

    def vectors(self, ids: IntArray) -> Vectors:
        """Return a copy of the vectors of M new ids, shape (M, D)."""
        found = np.empty((len(ids), self.width), np.float32)
        for number, places in self._sources.owners(ids):
            index, own = self._sources.open(number)
            found[places] = index.vectors(own[ids[places] - self._sources.starts[number]].tolist())
        return found

    def whole(self, ids: IntArray, removed: object = ()) -> Store:
        """Return all vectors as one store in memory, its search effort tuned."""
        del removed
        kind = KINDS[self._kind]
        store = kind(kind.empty(self.width))
        if store.add(self.vectors(ids), ids):
            tune(store)
        return store


class _JoinedRows(GalleryRows):
    """The rows of several indexes, under new ids."""

    def __init__(self, sources: _Sources) -> None:
        super().__init__(())
        self._sources = sources

    def __len__(self) -> int:
        return self._sources.count

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of new ids."""
        number = 0
        for source in range(len(self._sources.starts) - 1):
            index, _ = self._sources.open(source)
            for row in index.table:
                yield row._replace(id=number)
                number += 1

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the new ids; rows are not filtered before they are written."""
        if allowed:
            raise ValueError("rows that are being joined cannot be filtered")
        return np.arange(self._sources.count, dtype=np.int64)

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a further column."""
        return field in self._sources.further
