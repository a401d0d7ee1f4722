"""The rows of a whole gallery: several tables, some of whose rows are removed or have other labels by now."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from scing_cli.core.index.memory_rows import IntArray, MemoryRows, Rows
from scing_cli.core.index.rows import Labels, Row, RowFilter, labelled

FEW = 20  # rows that are looked at before all
PIECE = 2000  # rows that are compared at a time with the hidden ones
FILTERS = {"camera": "cameras", "identity": "identities"}  # what a filter calls the names of a field


class GalleryRows(Rows):
    """The rows of several tables.

    Args:
        tables: The tables; all ids of one are greater than those of the tables before it.
        removed: Ids of rows that count as removed, ascending; None for none.
        changed: Rows that stand for those of the same ids in the tables; none of them is removed.
    """

    def __init__(self, tables: Sequence[Rows], removed: IntArray | None = None, changed: Rows | None = None) -> None:
        self.tables = list(tables)
        self.removed = np.empty(0, np.int64) if removed is None else removed
        self.changed = changed if changed is not None else MemoryRows()

    @functools.cached_property
    def _hidden(self) -> IntArray:
        """The ids of the rows of the tables that are removed, or have other labels by now, ascending."""
        return _both(self.removed, self.changed.ids())

    def __len__(self) -> int:
        return sum(map(len, self.tables)) - len(self.removed)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""
        return self._merged(iter)

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""
        found = np.concatenate([np.empty(0, np.int64), *(table.ids(allowed) for table in self.tables)])
        if not allowed:
            return _without(found, self.removed)
        return _both(_without(found, self._hidden), self.changed.ids(allowed))

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""
        left = _without(np.fromiter(ids, np.int64), self.removed).tolist()
        found = self.changed.find(left)
        for table in reversed(self.tables):
            left = [number for number in left if number not in found]
            found |= table.find(left) if left else {}
        return found

    def counts(self, field: str, allowed: RowFilter | None = None) -> Counter[str]:
        """Return how many rows that pass a filter have each value of a field."""
        total = Counter[str]()
        for table in self.tables:
            total.update(table.counts(field, allowed))
            hidden = np.intersect1d(self._hidden, table.ids(allowed)) if allowed and len(self._hidden) else self._hidden
            total.subtract(table.values(field, hidden))
        total.update(self.changed.counts(field, allowed))
        return +total  # only values that a row has

    def sample(self, count: int) -> list[Row]:
        """Return about `count` rows that are spread over the gallery, or all if there are fewer."""
        whole = max(1, sum(map(len, self.tables)))
        some = [row.id for table in self.tables for row in table.sample(-(-count * len(table) // whole))]
        return list(self.find(some).values()) if len(self) > count else list(self)

    def count(self, allowed: RowFilter | None = None) -> int:
        """Return the number of rows that pass a filter."""
        if not allowed or len(self._hidden):
            return super().count(allowed)
        return sum(table.count(allowed) for table in self.tables)

    def known(self, field: str, names: Collection[str]) -> set[str]:
        """Return those of some names that a row has in a field of text."""
        found = {name for table in (*self.tables, self.changed) for name in table.known(field, names)}
        if not len(self._hidden):
            return found
        if field not in FILTERS:
            return super().known(field, found)
        return {name for name in found if len(self.ids(RowFilter(**{FILTERS[field]: frozenset({name})})))}

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        some = any(table.have(field) for table in (*self.tables, self.changed))
        if not some or not len(self._hidden):
            return some
        few = self.sample(FEW)  # the first rows may all be removed
        return any(getattr(row, field) for row in few) or super().have(field)

    def having(self, field: str) -> Iterator[Row]:
        """Yield the rows that have a value of a field, in order of ids."""
        return self._merged(lambda rows: rows.having(field))

    def folders(self) -> set[str]:
        """Return the folders of all paths, also of removed rows, each with a slash at its end."""
        return {folder for table in self.tables for folder in table.folders()}

    def at(self, paths: Iterable[str]) -> list[Row]:
        """Return the rows of some paths, in order of ids."""
        wanted = set(paths)
        found = [row for table in self.tables for row in _left(table.at(wanted), self.removed)]
        changed = self.changed.find(row.id for row in found)  # these have other labels, never another path
        return [changed.get(row.id, row) for row in found]

    def split(self, count: int, last: int) -> tuple[GalleryRows, GalleryRows]:
        """Return the rows of the first tables and those of the others.

        Args:
            count: Number of first tables.
            last: The greatest id of the first tables.
        """
        place = np.searchsorted(self.removed, last, side="right")
        early, late = self.changed, MemoryRows()
        if (self.changed.ids() > last).any():
            early = MemoryRows(row for row in self.changed if row.id <= last)
            late = MemoryRows(row for row in self.changed if row.id > last)
        first = GalleryRows(self.tables[:count], self.removed[:place], early)
        return first, GalleryRows(self.tables[count:], self.removed[place:], late)

    def remove(self, ids: IntArray) -> None:
        """Count rows that are there as removed.

        Args:
            ids: Their ids, ascending.
        """
        if len(gone := np.intersect1d(self.changed.ids(), ids)):
            self._change_in_memory().drop(gone.tolist())
        self.removed = _both(self.removed, ids)
        self.__dict__.pop("_hidden", None)

    def change(self, rows: Mapping[int, Row]) -> None:
        """Replace rows that are there."""
        left = dict(rows)
        for table in self.tables:
            if isinstance(table, MemoryRows):
                own = table.find(left)
                table.put({number: left.pop(number) for number in own})
        if left:
            self._change_in_memory().put(left)
            self.__dict__.pop("_hidden", None)

    def relabel(self, labels: Mapping[int, tuple[str, str] | Labels]) -> None:
        """Give rows that are there other labels.

        Args:
            labels: Identity and camera by id, and the scene if it is another one too.
        """
        found = self.find(labels)
        self.change({number: labelled(row, labels[number]) for number, row in found.items()})

    def _change_in_memory(self) -> MemoryRows:
        """Return the changed rows as a table that can be changed; a search reads them where they lie."""
        if not isinstance(self.changed, MemoryRows):
            self.changed = MemoryRows(self.changed)
        return self.changed

    def _merged(self, read: Callable[[Rows], Iterator[Row]]) -> Iterator[Row]:
        """Yield what is read of each table in order of ids, with the changed rows in their places."""
        found = itertools.chain.from_iterable(map(read, self.tables))
        if not len(self._hidden):
            return found
        return heapq.merge(_left(found, self._hidden), read(self.changed), key=lambda row: row.id)


def _both(ids: IntArray, others: IntArray) -> IntArray:
    """Return ids and others, which are not among them, ascending."""
    return np.sort(np.concatenate([ids, others])) if len(others) else ids


def _without(ids: IntArray, hidden: IntArray) -> IntArray:
    """Return the ids, in their order, that are not among the hidden ones, which are ascending."""
    if not len(hidden):
        return ids
    left: IntArray = ids[hidden.take(np.searchsorted(hidden, ids), mode="clip") != ids]
    return left


def _left(rows: Iterable[Row], hidden: IntArray) -> Iterator[Row]:
    """Yield the rows, in their order, whose ids are not among the hidden ones, which are ascending."""
    reader = iter(rows)
    while some := list(itertools.islice(reader, PIECE)):
        left = set(_without(np.array([row.id for row in some], np.int64), hidden).tolist())
        yield from (row for row in some if row.id in left)
