"""What can be asked of the rows of an index, and a table of rows in memory.

`row_table.py` has the table on the disk; `gallery_rows.py` puts several tables together.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.rows import Row, RowFilter

IntArray = npt.NDArray[np.int64]


class Rows(abc.ABC):
    """Rows with unique ids."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""

    @abc.abstractmethod
    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""

    @abc.abstractmethod
    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""

    def values(self, field: str, ids: IntArray) -> Iterator[str]:
        """Yield a field of text of the rows of those ids that are there, in any order."""
        return (getattr(row, field) for row in self.find(ids.tolist()).values())

    def counts(self, field: str, allowed: RowFilter | None = None) -> Counter[str]:
        """Return how many rows that pass a filter have each value of a field.

        Args:
            field: A field of text, such as `identity`.
            allowed: The filter; None for all rows.
        """
        return Counter(getattr(row, field) for row in self if not allowed or allowed(row))

    def sample(self, count: int) -> list[Row]:
        """Return about `count` rows that are spread over the gallery, or all if there are fewer."""
        ids = self.ids()
        return list(self.find(ids[:: max(1, len(ids) // max(1, count))]).values())

    def count(self, allowed: RowFilter | None = None) -> int:
        """Return the number of rows that pass a filter."""
        return len(self.ids(allowed)) if allowed else len(self)

    def known(self, field: str, names: Collection[str]) -> set[str]:
        """Return those of some names that a row has in a field of text."""
        counts = self.counts(field)
        return {name for name in names if counts[name]}

    def folders(self) -> set[str]:
        """Return the folders of all paths, each with a slash at its end."""
        return {folder_of(row.path) for row in self}

    def at(self, paths: Iterable[str]) -> list[Row]:
        """Return the rows of some paths, in order of ids."""
        wanted = set(paths)
        return [row for row in self if row.path in wanted]

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        return any(True for _ in self.having(field))

    def having(self, field: str) -> Iterator[Row]:
        """Yield the rows that have a value of a field, in order of ids."""
        return (row for row in self if getattr(row, field))

    def observations(self) -> Iterator[Row]:
        """Yield the rows that have images of their own for the spectra, in order of ids."""
        return self.having("views")

    def people(self, allowed: RowFilter | None = None) -> int:
        """Return the number of identities of the rows that pass a filter; a row without one counts as an identity."""
        named = self.counts("identity", allowed)
        return len(named) + (named[""] - 1 if "" in named else 0)


def folder_of(path: str) -> str:
    """Return the folder of a path, with a slash at its end.

    >>> folder_of("/crops/1.jpg"), folder_of("1.jpg")
    ('/crops/', '')
    """
    return path[: path.rfind("/") + 1]


class MemoryRows(Rows):
    """Rows in memory.

    Args:
        rows: The rows, in order of ids.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = {row.id: row for row in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""
        return iter(self._rows.values())

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""
        return np.array([row.id for row in self if not allowed or allowed(row)], np.int64)

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""
        return {number: self._rows[number] for number in map(int, ids) if number in self._rows}

    def put(self, rows: Mapping[int, Row]) -> None:
        """Add rows, or replace rows."""
        last = next(reversed(self._rows), -1)
        added = [number for number in rows if number not in self._rows]
        self._rows |= rows
        if added and (added[0] < last or added != sorted(added)):
            self._rows = dict(sorted(self._rows.items()))

    def drop(self, ids: Iterable[int]) -> None:
        """Remove rows, where they are there."""
        for number in ids:
            self._rows.pop(number, None)
