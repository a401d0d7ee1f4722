"""Rows and vectors that another index lends: they are read there, piece by piece, when a new index is written.

N rows, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from scing_cli.core.index.memory_rows import IntArray, Rows
from scing_cli.core.index.rows import LABELS, Labels, Row, RowFilter
from scing_cli.core.index.store import FlatStore, Vectors

PIECE = 4096  # rows that are read at a time


class Lender(Protocol):
    """What a `GalleryIndex` lends."""

    @property
    def table(self) -> Rows:
        """Its rows."""
        ...

    def vectors(self, ids: IntArray) -> Vectors:
        """Return the vectors of M ids, shape (M, D)."""
        ...


class Loan(NamedTuple):
    """Some rows of another index, under new ids.

    Args:
        lender: Opens the other index.
        places: The N ids that they have there.
        first: The first of their new ids, which follow each other.
        labels: Identity, camera and scene of each row, if they are other ones than there.
    """

    lender: Callable[[], Lender]
    places: IntArray
    first: int
    labels: Sequence[Labels] | None = None

    def ids(self) -> IntArray:
        """Return the new ids, ascending."""
        return np.arange(self.first, self.first + len(self.places), dtype=np.int64)


class BorrowedStore(FlatStore):
    """The vectors of a loan.

    Args:
        loan: The loan.
        width: D.
    """

    def __init__(self, loan: Loan, width: int) -> None:
        self._loan, self._width = loan, width

    @functools.cached_property
    def index(self) -> Any:
        """A faiss index in memory, for searches before the new index is written."""
        index = self.empty(self._width)
        index.add_with_ids(np.ascontiguousarray(self.vectors(self.ids())), self.ids())
        return index

    def __len__(self) -> int:
        return len(self._loan.places)

    def ids(self) -> IntArray:
        """Return the new ids."""
        return self._loan.ids()

    def ends(self) -> tuple[int, int]:
        """Return the least and the greatest new id; without vectors 0 and -1."""
        first = self._loan.first
        return (first, first + len(self) - 1) if len(self) else (0, -1)

    def vectors(self, ids: IntArray) -> Vectors:
        """Return the vectors of M new ids, shape (M, D)."""
        return self._loan.lender().vectors(self._loan.places[ids - self._loan.first])


class BorrowedRows(Rows):
    """The rows of a loan.

    Args:
        loan: The loan.
    """

    def __init__(self, loan: Loan) -> None:
        self._loan = loan

    def __len__(self) -> int:
        return len(self._loan.places)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of new ids."""
        return self._rows(self._loan.ids())

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the new ids of the rows that pass a filter, ascending; all ids without one."""
        return np.array([row.id for row in self if allowed(row)], np.int64) if allowed else self._loan.ids()

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those new ids that are there."""
        first, end = self._loan.first, self._loan.first + len(self)
        own = np.array([number for number in map(int, ids) if first <= number < end], np.int64)
        return {row.id: row for row in self._rows(own)}

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        if self._loan.labels is not None and field in LABELS:
            place = LABELS.index(field)
            return any(labels[place] for labels in self._loan.labels)
        return self._loan.lender().table.have(field)

    def _rows(self, ids: IntArray) -> Iterator[Row]:
        """Yield the rows of some new ids, in their order."""
        loan = self._loan
        for start in range(0, len(ids), PIECE):
            some = ids[start : start + PIECE]
            places = loan.places[some - loan.first].tolist()
            there = loan.lender().table.find(places)
            for number, place in zip(some.tolist(), places, strict=True):
                row = there[place]._replace(id=number)
                if loan.labels is not None:
                    identity, camera, scene = loan.labels[number - loan.first]
                    row = row._replace(identity=identity, camera=camera, scene=scene)
                yield row
