"""The rows of a gallery in Milvus."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from scing_cli.core.index.memory_rows import IntArray, Rows, folder_of
from scing_cli.core.index.milvus.expressions import FIELDS, among, both, passing, portions, row_of
from scing_cli.core.index.milvus.server import STRONG, Server
from scing_cli.core.index.rows import Row, RowFilter

PAGE = 5000  # ids that are read together
ASKED = 20  # names that are looked for one by one; for more, all are read


class MilvusRows(Rows):
    """The rows of a range of ids, as they were when they were first asked for their number.

    Args:
        server: The connection.
        first: The lowest id.
        end: The id after the highest.
    """

    def __init__(self, server: Server, first: int, end: int) -> None:
        self._server = server
        self._first, self._end = first, end
        self.inside = f"id >= {first} and id < {end}"

    @functools.cached_property
    def _whole(self) -> int:
        return self._counted("")

    def _counted(self, expression: str) -> int:
        return int(self._query(both(self.inside, expression), ["count(*)"])[0]["count(*)"])

    @functools.cached_property
    def _observed(self) -> bool:
        return self.have("views")

    def __len__(self) -> int:
        return self._whole

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order of ids."""
        return (row_of(found) for page in self.pages(FIELDS) for found in page)

    def ids(self, allowed: RowFilter | None = None) -> IntArray:
        """Return the ids of the rows that pass a filter, ascending; all ids without one."""
        return np.fromiter((found["id"] for page in self.pages(["id"], passing(allowed)) for found in page), np.int64)

    def find(self, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows of those ids that are there."""
        return {found["id"]: row_of(found) for found in self.of(sorted({int(number) for number in ids}), FIELDS)}

    def count(self, allowed: RowFilter | None = None) -> int:
        """Return the number of rows that pass a filter."""
        return self._counted(passing(allowed)) if allowed else self._whole

    def known(self, field: str, names: Collection[str]) -> set[str]:
        """Return those of some names that a row has in a field of text."""
        if len(names) > ASKED:
            return super().known(field, names)
        return {name for name in names if self._any(among(field, [name]))}

    def sample(self, count: int) -> list[Row]:
        """Return about `count` rows that are spread over the gallery, or all if there are fewer."""
        step = max(1, (self._end - self._first) // max(1, count))
        return list(self.find(range(self._first, self._end, step)).values())

    def counts(self, field: str, allowed: RowFilter | None = None) -> Counter[str]:
        """Return how many rows that pass a filter have each value of a field."""
        pages = self.pages([field], passing(allowed))
        return Counter(found[field] for page in pages for found in page)

    def folders(self) -> set[str]:
        """Return the folders of all paths, each with a slash at its end."""
        return {folder_of(found["path"]) for page in self.pages(["path"]) for found in page}

    def at(self, paths: Iterable[str]) -> list[Row]:
        """Return the rows of some paths, in order of ids."""
        found = [
            row_of(one)
            for some in portions(sorted(set(paths)))
            for one in self._query(both(self.inside, among("path", some)), FIELDS)
        ]
        return sorted(found, key=lambda row: row.id)

    def have(self, field: str) -> bool:
        """Return whether any row has a value of a field."""
        return self._any(f'{field} != ""')

    def observations(self) -> Iterator[Row]:
        """Yield the rows that have images of their own for the spectra, in order of ids."""
        if not self._observed:
            return iter(())
        return (row_of(found) for page in self.pages(FIELDS, 'views != ""') for found in page)

    def of(self, ids: Sequence[int], fields: Sequence[str]) -> Iterator[Any]:
        """Yield fields of the rows of those ids that are there, in order of ids.

        Args:
            ids: Ascending.
            fields: The fields.
        """
        inside = [number for number in ids if self._first <= number < self._end]
        for some in portions(inside):
            yield from self._ordered(among("id", some), fields)

    def pages(self, fields: Sequence[str], expression: str = "", *, most: int = PAGE) -> Iterator[list[Any]]:
        """Yield fields of the rows for which an expression holds, in order of ids, in pages of `most` ids or fewer."""
        size = min(most, PAGE)
        for start in range(self._first, self._end, size):
            within = f"id >= {start} and id < {min(start + size, self._end)}"
            yield self._ordered(both(within, expression), fields)

    def _any(self, expression: str) -> bool:
        return bool(self._query(both(self.inside, expression), ["id"], limit=1))

    def _ordered(self, expression: str, fields: Sequence[str]) -> list[Any]:
        return sorted(self._query(expression, list({"id", *fields})), key=lambda found: found["id"])

    def _query(self, expression: str, fields: Sequence[str], **limit: int) -> list[Any]:
        asked = {"output_fields": list(fields), "consistency_level": STRONG, **limit}
        return list(self._server("query", filter=expression, **asked))
