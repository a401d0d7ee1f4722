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
from scing_cli.core.index.milvus.collection_schema import size_of
from scing_cli.core.index.milvus.expressions import FIELDS, VECTOR, both, passing, row_of
from scing_cli.core.index.milvus.milvus_rows import MilvusRows
from scing_cli.core.index.milvus.milvus_writer import Change, Writer
from scing_cli.core.index.milvus.server import STRONG, Server
from scing_cli.core.index.milvus.stamp_record import StampRecord
from scing_cli.core.index.nearest import HALF_STEP, SPARE
from scing_cli.core.index.rows import Hit, Labels, Row, RowFilter, labelled
from scing_cli.core.index.store import Vectors
from scing_cli.core.pairs import pair_scores

MOST_FOUND = 16_384  # Milvus takes at most so many queries, and finds at most so many rows of each
MOST_BYTES = 32 << 20  # of one answer; a server may send 64 MB
ROW_BYTES = 1000  # about the text of a row
MOST_PAIRS = 200_000_000  # of queries and rows, compared in one call: some seconds
UPLOADED = 4096  # rows that are read from their lender together
MOST_LABEL = 3000  # bytes; three of them, escaped, fit into a record of the journal
PROBED = {"HNSW": "ef", "IVF_FLAT": "nprobe"}  # what a search may look at, where the owner chose an approximate index


class MilvusGallery(Gallery):
    """A collection.

    Args:
        server: The connection.
        writer: Writes to the collection.
        record: The stamp that was read; of a new gallery the one that is to be written.
        former: The stamp that is there; None without one.
    """

    def __init__(self, server: Server, writer: Writer, record: StampRecord, former: StampRecord | None) -> None:
        self._server, self._writer = server, writer
        self._settle(record, former)

    def _settle(self, record: StampRecord, former: StampRecord | None) -> None:
        self._record, self._former = record, former
        self._loans: list[tuple[Callable[[], Lender], IntArray, Sequence[Labels] | None]] = []
        self._changes: dict[int, Change] = {}
        self._table = MilvusRows(self._server, record.first, record.stamp.next_id)

    @property
    def name(self) -> str:
        """The address."""
        return self._server.address.text

    @property
    def stamp(self) -> Stamp:
        """The stamp as it was last written; the model is the one that the next write gives it."""
        return self._record.stamp

    @property
    def is_approximate(self) -> bool:
        """Whether the collection's owner has given it an approximate index."""
        return self._index_type() != "FLAT"

    @property
    def table(self) -> MilvusRows:
        """The rows as they were last written."""
        return self._table

    def rows(self) -> list[Row]:
        """Return all rows in order of ids."""
        found = list(self._table)
        self._check_unchanged()
        return found

    def vectors(self, ids: Sequence[int] | IntArray | None = None) -> Vectors:
        """Return the vectors of M ids, shape (M, D), or of all vectors in order of ids, shape (N, D).

        Raises:
            IndexFileError: If another process has changed the gallery meanwhile.
        """
        if ids is None:
            parts = [np.empty((0, self.width), np.float32)]
            parts += [_vectors_of(page) for page in self._pages() if page]
            self._check_unchanged()
            return np.concatenate(parts)
        numbers = np.asarray(ids, np.int64)
        wanted, where = np.unique(numbers, return_inverse=True)
        found, count = np.empty((len(wanted), self.width), np.float32), 0
        for one in self._table.of(wanted.tolist(), [VECTOR]):
            found[count] = one[VECTOR]
            count += 1
        if count < len(wanted):
            raise self._changed()
        return found[where]

    def recall(self) -> None:
        """Return None: the owner of the collection chose its index."""

    def borrow(self, lender: Callable[[], Lender], ids: IntArray, labels: Sequence[Labels] | None = None) -> None:
        """Add rows of another index under new ids; `write` reads them there, piece by piece."""
        if len(ids):
            self._loans.append((lender, ids, labels))

    def remove(self, ids: Collection[int]) -> None:
        """Remove rows at the next write."""
        self._check_known(ids)
        self._changes |= dict.fromkeys(ids)

    def relabel(self, labels: Mapping[int, tuple[str, str] | Labels]) -> None:
        """Give rows other labels at the next write."""
        self._check_known(labels.keys())
        for number, own in labels.items():
            for text in own:
                size_of(text, f"A label of row {number}", MOST_LABEL)
            if (former := self._changes.get(number, own)) is not None:  # it is not to be removed
                self._changes[number] = (*own, *former[len(own) :])

    def name_model(self, model: Mapping[str, Any]) -> None:
        """Say where the encoder is now, as in `Stamp.model`."""
        self._record = dataclasses.replace(self._record, stamp=dataclasses.replace(self._record.stamp, model=model))

    def write(self) -> None:
        """Write all changes. The stamp commits them: before it, readers see the former gallery.

        While rows that are there get other labels or are removed, which comes after it, readers wait.

        Raises:
            IndexFileError: If another process is writing the collection or has changed it, or Milvus fails.
        """
        writer, stamp, first = self._writer, self._record.stamp, self._record.first
        writer.prepare(stamp.width)
        with writer.leased(stamp.width):
            if writer.read() != self._former:
                raise self._changed()
            writer.delete_unfinished(stamp.next_id, stamp.width)
            before = MilvusRows(self._server, first, stamp.next_id).count()
            end = self._upload(writer, stamp.next_id)
            removed = sum(change is None for change in self._changes.values())
            if MilvusRows(self._server, first, end).count() != before + end - stamp.next_id:
                raise self._changed()
            journal = writer.write_journal(self._changes, stamp.generation + 1, stamp.width)
            count = before - removed + end - stamp.next_id
            made = dataclasses.replace(stamp, count=count, next_id=end, generation=stamp.generation + 1)
            record = writer.carry_out(writer.write_stamp(StampRecord(made, first, journal)))
            writer.delete_former(record)
        self._settle(record, record)

    def _upload(self, writer: Writer, next_id: int) -> int:
        for lender, ids, labels in self._loans:
            lent = lender()
            for start in range(0, len(ids), UPLOADED):
                some = ids[start : start + UPLOADED]
                found = lent.table.find(some)
                rows = [found[int(number)]._replace(id=next_id + n) for n, number in enumerate(some)]
                if labels is not None:
                    named = zip(rows, labels[start : start + UPLOADED], strict=True)
                    rows = [labelled(row, own) for row, own in named]
                writer.upsert(rows, lent.vectors(some))
                next_id += len(rows)
        return next_id

    def _check_known(self, ids: Collection[int]) -> None:
        found = {one["id"] for one in self._table.of(sorted(set(ids)), ["id"])}
        if unknown := set(ids) - found:
            raise ValueError(f"no rows {sorted(unknown)}")

    def _check_unchanged(self) -> None:
        """Raise if another process has changed the gallery since it was opened: what was read may be of two states."""
        if self._writer.read() != self._former:
            raise self._changed()

    def _changed(self) -> IndexFileError:
        return IndexFileError(
            f"{self.name} was changed by another process after it was read.", "Run the command again, or open it again."
        )

    def _find(
        self, queries: Vectors, k: int, *, allowed: RowFilter | None, each_identity_once: bool
    ) -> list[list[Hit]]:
        count, expression = self._table.count(allowed), both(self._table.inside, passing(allowed))
        people = self._table.people(allowed) if each_identity_once else None
        kind = self._index_type()

        def nearest(some: Vectors, reach: int) -> list[list[Hit]]:
            return self._nearest(some, reach, expression, count, kind)

        found = best_hits(nearest, queries, k, there=count, people=people)
        self._check_unchanged()
        return found

    def _nearest(self, queries: Vectors, k: int, expression: str, count: int, kind: str) -> list[list[Hit]]:
        """Return each query's k best rows; of an exact index, those of a search through all rows."""
        answers: dict[int, list[Hit]] = {}
        most = max(1, min(MOST_FOUND, MOST_BYTES // (4 * self.width + ROW_BYTES)))
        left, reach = list(range(len(queries))), min(k + SPARE, count)
        while left and k <= most:
            reach = min(reach, most)
            for query, found in zip(left, self._ask(queries[left], reach, count, expression, kind), strict=True):
                hits, sure = _ranked(queries[query], found, k)
                if len(hits) == k and (sure or kind != "FLAT" or len(found) == count):
                    answers[query] = hits
            left = [query for query in left if query not in answers]
            if reach == min(count, most):
                break
            reach *= 4
        if left:
            answers |= dict(zip(left, self._scan(queries[left], k, expression), strict=True))
        return [answers[query] for query in range(len(queries))]

    def _ask(self, queries: Vectors, reach: int, count: int, expression: str, kind: str) -> Iterator[Sequence[Any]]:
        """Yield the rows that Milvus finds for each query, best first."""
        params = {PROBED[kind]: max(64, 2 * reach)} if kind in PROBED else {}
        size = min(MOST_FOUND, MOST_BYTES // (reach * (4 * self.width + ROW_BYTES)), MOST_PAIRS // count)
        for start in range(0, len(queries), max(1, size)):
            yield from self._server(
                "search",
                data=list(queries[start : start + max(1, size)]),
                anns_field=VECTOR,
                limit=reach,
                filter=expression,
                output_fields=[*FIELDS, VECTOR],
                search_params={"metric_type": "IP", "params": params},
                consistency_level=STRONG,
            )

    def _scan(self, queries: Vectors, k: int, expression: str) -> list[list[Hit]]:
        """Compare each query with every row, for more hits, or nearer ties, than a search of Milvus returns."""
        best = [(np.empty(0), np.empty(0, np.int64)) for _ in queries]
        for page in filter(None, self._pages(expression)):
            vectors, numbers = _vectors_of(page), np.array([found["id"] for found in page], np.int64)
            for query, former in enumerate(best):
                scores = np.concatenate([former[0], pair_scores(queries[query], vectors)])
                ids = np.concatenate([former[1], numbers])
                order = np.lexsort((ids, -scores))[:k]
                best[query] = scores[order], ids[order]
        rows = self._table.find({int(number) for _, ids in best for number in ids})
        if len(rows) < len({int(number) for _, ids in best for number in ids}):
            raise self._changed()
        return [
            [Hit(float(np.clip(score, -1.0, 1.0)), rows[int(number)]) for score, number in zip(*own, strict=True)]
            for own in best
        ]

    def _pages(self, expression: str = "") -> Iterator[list[Any]]:
        """Yield the vectors of all rows for which an expression holds, in order of ids, page by page."""
        return self._table.pages([VECTOR], expression, most=max(1, MOST_BYTES // (4 * self.width)))

    def _index_type(self) -> str:
        """Return the type of the index of the vectors.

        Raises:
            IndexFileError: If it has none.
        """
        names = self._server("list_indexes", field_name=VECTOR)
        kinds = [str((self._server("describe_index", index_name=name) or {}).get("index_type", "")) for name in names]
        if not kinds:
            raise IndexFileError(
                f"The vectors of {self.name} have no index, so Milvus cannot search them.",
                "Whoever runs the server gives them one: FLAT, inner product.",
            )
        return next((kind for kind in kinds if kind != "FLAT"), "FLAT")


def _vectors_of(page: Sequence[Any]) -> Vectors:
    return np.array([found[VECTOR] for found in page], np.float32)


def _ranked(query: Vectors, found: Sequence[Any], k: int) -> tuple[list[Hit], bool]:
    """Return the k best of the rows that were found, and whether no other row can be among them.

    They are scored in float64, equal scores by id. A row that was not found scores at most as much as the last one that
    was, in the server's arithmetic, whose errors must be those of float32.
    """
    if not len(found):
        return [], False
    entities = [one["entity"] for one in found]
    scores = pair_scores(query, _vectors_of(entities))
    ids = np.array([own["id"] for own in entities], np.int64)
    order = np.lexsort((ids, -scores))[:k]
    hits = [Hit(float(np.clip(scores[row], -1.0, 1.0)), row_of(entities[row])) for row in order]
    rough = np.array([one["distance"] for one in found], np.float64)
    error = 1.01 * len(query) * HALF_STEP
    return hits, bool(np.abs(rough - scores).max() <= error and rough.min() + error < scores[order[-1]])
