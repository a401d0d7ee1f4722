"""The rows of a whole gallery: several tables, some of whose rows are removed or have other labels by now."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from scing_cli.core.index.memory_rows import IntArray, MemoryRows, Rows
from scing_cli.core.index.rows import Labels, Row, RowFilter, labelled


class GalleryRows(Rows):
    """The rows of several tables.

    Args:
        tables: The tables; all ids of one are greater than those of the tables before it.
        removed: Ids of rows that count as removed.
        changed: Rows that stand for those of the same ids in the tables.
    """

    def __init__(self, tables: Sequence[Rows], removed: Iterable[int] = (), changed: MemoryRows | None = None) -> None:
        self.tables = list(tables)
        self.removed = set(removed)
        self.changed = changed if changed is not None else MemoryRows()

    def __len__(self) -> int:
        return sum(map(len, self.tables)) - len(self.removed)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""
        hidden = self._hidden()
        unchanged = (row for table in self.tables for row in table if row.id not in hidden)
        return heapq.merge(unchanged, self.changed, key=lambda row: row.id) if len(self.changed) else unchanged

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""
        found = np.concatenate([np.empty(0, np.int64), *(table.ids(allowed) for table in self.tables)])
        if not (hidden := self._hidden()):
            return found
        found = np.setdiff1d(found, np.fromiter(hidden, np.int64, len(hidden)), assume_unique=True)
        return np.union1d(found, self.changed.ids(allowed)) if len(self.changed) else found

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""
        left = [number for number in map(int, ids) if number not in self.removed]
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
        total.subtract(getattr(row, field) for row in self._hidden_rows() if not allowed or allowed(row))
        total.update(self.changed.counts(field, allowed))
        return +total  # only values that a row has

    def sample(self, count: int) -> list[Row]:
        """Return about `count` rows that are spread over the gallery, or all if there are fewer."""
        whole = max(1, sum(map(len, self.tables)))
        some = [row.id for table in self.tables for row in table.sample(-(-count * len(table) // whole))]
        return list(self.find(some).values()) if len(self) > count else list(self)

    def count(self, allowed: RowFilter | None = None) -> int:
        """Return the number of rows that pass a filter."""
        if not allowed:
            return len(self)
        gone = sum(map(allowed, self._hidden_rows()))
        return sum(table.count(allowed) for table in self.tables) - gone + self.changed.count(allowed)

    def known(self, field: str, names: Collection[str]) -> set[str]:
        """Return those of some names that a row has in a field of text."""
        found = {name for table in (*self.tables, self.changed) for name in table.known(field, names)}
        doubtful = found & {getattr(row, field) for row in self._hidden_rows()}
        return found - doubtful | super().known(field, doubtful) if doubtful else found

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        some = any(table.have(field) for table in (*self.tables, self.changed))
        return some and (not self._hidden() or super().have(field))

    def observations(self) -> Iterator[Row]:
        """Yield the rows that have images of their own for the spectra, in order of ids."""
        if len(self.changed):
            return super().observations()
        return (row for table in self.tables for row in table.observations() if row.id not in self.removed)

    def folders(self) -> set[str]:
        """Return the folders of all paths, also of removed rows, each with a slash at its end."""
        return {folder for table in self.tables for folder in table.folders()}

    def at(self, paths: Iterable[str]) -> list[Row]:
        """Return the rows of some paths, in order of ids."""
        wanted = set(paths)
        found = [row for table in self.tables for row in table.at(wanted) if row.id not in self.removed]
        changed = self.changed.find(row.id for row in found)  # these have other labels, never another path
        return [changed.get(row.id, row) for row in found]

    def split(self, count: int, last: int) -> tuple[GalleryRows, GalleryRows]:
        """Return the rows of the first tables and those of the others.

        Args:
            count: Number of first tables.
            last: The greatest id of the first tables.
        """
        sides = []
        for tables, inside in ((self.tables[:count], last.__ge__), (self.tables[count:], last.__lt__)):
            changed = MemoryRows(row for row in self.changed if inside(row.id))
            sides.append(GalleryRows(tables, filter(inside, self.removed), changed))
        return sides[0], sides[1]

    def change(self, rows: Mapping[int, Row]) -> None:
        """Replace rows that are there."""
        left = dict(rows)
        for table in self.tables:
            if isinstance(table, MemoryRows):
                own = table.find(left)
                table.put({number: left.pop(number) for number in own})
        self.changed.put(left)

    def relabel(self, labels: Mapping[int, tuple[str, str] | Labels]) -> None:
        """Give rows that are there other labels.

        Args:
            labels: Identity and camera by id, and the scene if it is another one too.
        """
        found = self.find(labels)
        self.change({number: labelled(row, labels[number]) for number, row in found.items()})

    def _hidden(self) -> set[int]:
        return self.removed | set(self.changed.ids().tolist())

    def _hidden_rows(self) -> list[Row]:
        """Return the rows of the tables that are removed, or have other labels by now, as they stand there."""
        hidden = self._hidden()
        return [row for table in self.tables for row in table.find(hidden).values()] if hidden else []
