"""A gallery in Milvus: exact search over candidates that the server finds, changes that are written as a whole.

Q queries, N vectors, M ids, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index.borrowed import Lender
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.hits import best_hits
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.memory_rows import IntArray
from scing_cli.core.index.milvus.expressions import FIELDS, VECTOR, both, passing, row_of
from scing_cli.core.index.milvus.milvus_rows import MilvusRows
from scing_cli.core.index.milvus.milvus_writer import Kept, Writer
from scing_cli.core.index.milvus.server import STRONG, Server
from scing_cli.core.index.nearest import HALF_STEP, SPARE
from scing_cli.core.index.rows import Hit, Labels, RowFilter, labelled
from scing_cli.core.index.store import Vectors
from scing_cli.core.pairs import pair_scores

MOST_FOUND = 16_384  # Milvus finds at most so many rows of a query
MOST_BYTES = 32 << 20  # of vectors in one answer; a server may send 64 MB
UPLOADED = 4096  # rows that are read from their lender together
PROBED = {"HNSW": "ef", "IVF_FLAT": "nprobe"}  # what a search may look at, where the owner chose an approximate index


class MilvusGallery(Gallery):
    """A collection.

    Args:
        server: The connection.
        kept: The stamp that was read; of a new gallery the one that is to be written.
        former: The stamp that is there; None without one.
    """

    def __init__(self, server: Server, kept: Kept, former: Kept | None) -> None:
        self._server, self._kept, self._former = server, kept, former
        self._forget()

    def _forget(self) -> None:
        self._loans: list[tuple[Callable[[], Lender], IntArray, Sequence[Labels] | None]] = []
        self._removed: set[int] = set()
        self._labels: dict[int, tuple[str, str] | Labels] = {}
        self._table = MilvusRows(self._server, self._kept.first, self._kept.stamp.next_id)

    @property
    def name(self) -> str:
        """The address."""
        return self._server.address.text

    @property
    def stamp(self) -> Stamp:
        """The stamp; model and counts are those that the next write gives it."""
        return self._kept.stamp

    @property
    def is_approximate(self) -> bool:
        """Whether the collection's owner has given it an approximate index."""
        return self._index_type() != "FLAT"

    @property
    def table(self) -> MilvusRows:
        """The rows as they were last written."""
        return self._table

    def vectors(self, ids: Sequence[int] | IntArray | None = None) -> Vectors:
        """Return the vectors of M ids, shape (M, D), or of all vectors in order of ids, shape (N, D)."""
        if ids is None:
            every = [found[VECTOR] for page in self._pages() for found in page]
            return np.array(every, np.float32).reshape(len(every), self.width)
        numbers = [int(number) for number in ids]
        found = {one["id"]: one[VECTOR] for one in self._table.of(sorted(set(numbers)), [VECTOR])}
        return np.array([found[number] for number in numbers], np.float32).reshape(len(numbers), self.width)

    def recall(self) -> None:
        """Return None: the owner of the collection chose its index."""

    def borrow(self, lender: Callable[[], Lender], places: IntArray, labels: Sequence[Labels] | None = None) -> None:
        """Add rows of another index under new ids; `write` reads them there, piece by piece."""
        if len(places):
            self._loans.append((lender, places, labels))

    def remove(self, ids: Collection[int]) -> None:
        """Remove rows at the next write."""
        self._check_known(ids)
        self._removed |= set(ids)

    def relabel(self, labels: Mapping[int, tuple[str, str] | Labels]) -> None:
        """Give rows other labels at the next write."""
        self._check_known(labels.keys())
        self._labels |= labels

    def name_model(self, model: Mapping[str, Any]) -> None:
        """Say where the encoder is now, as in `Stamp.model`."""
        self._kept = dataclasses.replace(self._kept, stamp=dataclasses.replace(self._kept.stamp, model=model))

    def write(self) -> None:
        """Write all changes: new rows, other labels, removed rows, and then the stamp.

        Until then, readers see the former gallery, at the end for a moment without rows that are replaced. The same
        write settles one that was interrupted.

        Raises:
            IndexFileError: If another process is writing the collection or has changed it, or Milvus fails.
        """
        writer = Writer(self._server)
        stamp = self._kept.stamp
        if not self._server.exists():
            writer.create(stamp.width)
        with writer.leased(stamp.width):
            former = writer.read()
            if (former and former.stamp.generation) != (self._former and self._former.stamp.generation):
                raise IndexFileError(
                    f"{self.name} was changed by another process after it was read.", "Run the command again."
                )
            # Rows behind the last stamp are of a write that was never finished: nobody has seen them.
            writer.delete_outside(0, self._kept.stamp.next_id)
            first = self._kept.first
            end = self._upload(writer, self._kept.stamp.next_id)
            self._relabel(writer)
            writer.delete(sorted(self._removed))
            count = MilvusRows(self._server, first, end).count()
            made = dataclasses.replace(stamp, count=count, next_id=end, generation=stamp.generation + 1)
            writer.renew(stamp.width)
            writer.stamp(Kept(made, first))
            writer.delete_outside(first, end)
        self._kept = self._former = Kept(made, first)
        self._forget()

    def _upload(self, writer: Writer, next_id: int) -> int:
        for lender, places, labels in self._loans:
            lent = lender()
            for start in range(0, len(places), UPLOADED):
                some = places[start : start + UPLOADED]
                found = lent.table.find(some)
                rows = [found[int(place)]._replace(id=next_id + n) for n, place in enumerate(some)]
                if labels is not None:
                    named = zip(rows, labels[start : start + UPLOADED], strict=True)
                    rows = [labelled(row, own) for row, own in named]
                writer.upsert(rows, lent.vectors(some))
                next_id += len(rows)
        return next_id

    def _relabel(self, writer: Writer) -> None:
        numbers = sorted(self._labels.keys() - self._removed)
        for start in range(0, len(numbers), UPLOADED):
            some = numbers[start : start + UPLOADED]
            found = self._table.find(some)
            rows = [labelled(found[number], self._labels[number]) for number in some]
            writer.upsert(rows, self.vectors(some))

    def _find(
        self, queries: Vectors, k: int, *, allowed: RowFilter | None, each_identity_once: bool
    ) -> list[list[Hit]]:
        there, expression = self._table.count(allowed), both(self._table.inside, passing(allowed))
        people = self._table.people(allowed) if each_identity_once else None
        kind = self._index_type()

        def nearest(some: Vectors, reach: int) -> list[list[Hit]]:
            return self._nearest(some, reach, expression, there, kind)

        return best_hits(nearest, queries, k, there=there, people=people)

    def _nearest(self, queries: Vectors, k: int, expression: str, there: int, kind: str) -> list[list[Hit]]:
        """Return each query's k best rows; of an exact index, those of a search through all rows."""
        answers: dict[int, list[Hit]] = {}
        left, reach = list(range(len(queries))), min(k + SPARE, there)
        while left and reach <= MOST_FOUND:
            for place, found in zip(left, self._ask(queries[left], reach, expression, kind), strict=True):
                hits = _ranked(queries[place], found, k)
                whole = reach == there or kind != "FLAT"
                if len(hits) == k and (whole or _is_sure(hits, found[-1]["distance"], self.width)):
                    answers[place] = hits
            left = [place for place in left if place not in answers]
            if reach == there:
                break
            reach = min(4 * reach, there)
        if left:
            answers |= dict(zip(left, self._scan(queries[left], k, expression), strict=True))
        return [answers[place] for place in range(len(queries))]

    def _ask(self, queries: Vectors, reach: int, expression: str, kind: str) -> Iterator[Sequence[Any]]:
        """Yield the rows that Milvus finds for each query, best first."""
        looked = {PROBED[kind]: max(64, 2 * reach)} if kind in PROBED else {}
        size = max(1, MOST_BYTES // (reach * self.width * 4))
        for start in range(0, len(queries), size):
            yield from self._server(
                "search",
                data=list(queries[start : start + size]),
                anns_field=VECTOR,
                limit=reach,
                filter=expression,
                output_fields=[*FIELDS, VECTOR],
                search_params={"metric_type": "IP", "params": looked},
                consistency_level=STRONG,
            )

    def _scan(self, queries: Vectors, k: int, expression: str) -> list[list[Hit]]:
        """Compare each query with every row, for more hits, or nearer ties, than a search of Milvus returns."""
        best: list[list[tuple[float, int]]] = [[] for _ in queries]
        for page in self._pages(expression):
            if not page:
                continue
            vectors = np.array([found[VECTOR] for found in page], np.float32)
            for number, query in enumerate(queries):
                own = [
                    (-float(score), found["id"]) for score, found in zip(pair_scores(query, vectors), page, strict=True)
                ]
                best[number] = sorted([*best[number], *own])[:k]
        rows = self._table.find({number for own in best for _, number in own})
        return [[Hit(float(np.clip(-score, -1.0, 1.0)), rows[number]) for score, number in own] for own in best]

    def _pages(self, expression: str = "") -> Iterator[list[Any]]:
        """Yield the vectors of all rows for which an expression holds, in order of ids, page by page."""
        return self._table.pages([VECTOR], expression, most=max(1, MOST_BYTES // (4 * self.width)))

    def _index_type(self) -> str:
        found = self._server("describe_index", index_name=VECTOR) or {}
        return str(found.get("index_type", "FLAT"))


def _ranked(query: Vectors, found: Sequence[Any], k: int) -> list[Hit]:
    """Return the k best of the rows that were found, scored in float64, equal scores by id."""
    if not len(found):
        return []
    entities = [one["entity"] for one in found]
    scores = pair_scores(query, np.array([own[VECTOR] for own in entities], np.float32))
    ids = np.array([own["id"] for own in entities], np.int64)
    order = np.lexsort((ids, -scores))[:k]
    return [Hit(float(np.clip(scores[place], -1.0, 1.0)), row_of(entities[place])) for place in order]


def _is_sure(hits: Sequence[Hit], rough: float, width: int) -> bool:
    """Return whether no row that was not found can be among the hits: all of them score at most `rough` in float32."""
    return rough + 1.01 * width * HALF_STEP < hits[-1].score
