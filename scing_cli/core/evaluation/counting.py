"""The rank of every true hit, without ordering the gallery and without ever holding the whole score matrix.

q queries of a block, n gallery rows of a block, D width, H true hits of one query.

A query's scores need only the ranks of its true hits, and a true hit's rank is its place among the hits plus the number
of false rows above it. So blocks of queries meet blocks of the gallery in one product, and false rows are counted.

The ranking is that of `pairs.pair_scores` (float64, one pair at a time), ties by gallery order. A matrix product's last
bits depend on the block's shape and the machine: so wherever it comes as near to a true hit's score as its rounding
error could reach, the pair score takes its place. The product is in float32, whose error is at most D times half a step
(3e-5 at D = 512, in whatever order it is summed); where so many rows are that near that their pair scores would take
longer, as with a model whose descriptors all look alike, the block is multiplied again in float64 (error 1e-12). A GPU
multiplies in float64 from the start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.products import Bounds, Products, Scores
from scing_cli.core.evaluation.truth import Truth
from scing_cli.core.pairs import Rows, pair_scores, paired_scores
from scing_cli.core.runtime import Advance

Vectors = npt.NDArray[np.float32]
MANY_NEAR = 8  # of a query: pairs of a hit and a row that a product cannot decide
PASSES = 8  # blocks of queries that meet a gallery block before the next is read


@dataclasses.dataclass(slots=True, eq=False)
class _Queries:
    """A group of queries; their hits and the rows that they ignore are concatenated, query by query.

    Args:
        vectors: Shape (q, D).
        starts: Shape (q + 1,): where each query's hits begin.
        rows: Shape (H,): gallery rows of the hits, best first.
        scores: Shape (H,): their pair scores.
        ignored_starts: Shape (q + 1,): where what each query ignores begins.
        ignored: Gallery rows that are no false ones of it, ascending.
        false_above: Shape (H,): the false rows above each hit, counted so far.
        marks: What `Products.mark` made of the hits' bounds, by the kind of product and the first query.
    """

    vectors: Vectors
    starts: IntArray
    rows: IntArray
    scores: FloatArray
    ignored_starts: IntArray
    ignored: IntArray
    false_above: IntArray
    marks: dict[Any, tuple[Bounds, Any]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, vectors: Vectors, gallery: Rows, hits: list[IntArray], ignored: list[IntArray]) -> _Queries:
        """Return queries with their hits in order."""
        starts, rows = _joined(hits)
        owners = np.repeat(np.arange(len(hits)), np.diff(starts))
        scores = paired_scores(vectors, owners, gallery, rows)
        order = np.lexsort((rows, -scores, owners))
        zeros = np.zeros(len(rows), dtype=np.int64)
        return cls(vectors, starts, rows[order], scores[order], *_joined(ignored), zeros)

    def ranks(self) -> list[IntArray]:
        """Return the ranks of each query's hits, ascending."""
        places = np.arange(len(self.rows)) - np.repeat(self.starts[:-1], np.diff(self.starts))
        return np.split(1 + places + self.false_above, self.starts[1:-1])

    def hits(self, first: int, last: int) -> slice:
        """Return where the hits of some queries lie."""
        return slice(int(self.starts[first]), int(self.starts[last]))

    def between(self, first: int, last: int, products: Products, kind: npt.DTypeLike) -> tuple[Bounds, Any]:
        """Return the bounds of some queries' hits, and what the products have made of them."""
        if (kind, first) not in self.marks:
            starts = self.starts[first : last + 1] - self.starts[first]
            bounds = Bounds.of(starts, self.scores[self.hits(first, last)], self.vectors.shape[1], kind)
            self.marks[kind, first] = bounds, products.mark(bounds)
        return self.marks[kind, first]

    def never_false(self, first: int, last: int, rows: range) -> tuple[IntArray, IntArray]:
        """Return the pairs of some queries and gallery rows that are no false ones, as places in their table."""
        part = self.ignored_starts[first : last + 1]
        columns = self.ignored[part[0] : part[-1]] - rows.start
        owners = np.repeat(np.arange(last - first), np.diff(part))
        here = (columns >= 0) & (columns < len(rows))
        return owners[here], columns[here]


def rank_hits(
    query: Rows, gallery: Rows, truth: Truth, *, blocks: tuple[int, int], products: Products, advance: Advance
) -> Iterator[IntArray]:
    """Yield the ranks of each query's true hits, ascending; an empty array where it has none.

    Args:
        query: Shape (Q, D), float32, unit length.
        gallery: Shape (N, D), float32, unit length; may be memory-mapped.
        truth: The rows that are each query's hits, and those that are not false.
        blocks: Queries and gallery rows in one matrix product.
        products: What multiplies.
        advance: Called with the number of queries that were compared with a gallery block.
    """
    size, gallery_size = blocks
    first_kind = 0  # where one way was too coarse for a block, it is not tried on the next
    for start in range(0, len(query), size * PASSES):
        vectors = np.array(query[start : start + size * PASSES], dtype=np.float32, order="C")
        numbers = range(start, start + len(vectors))
        hits, ignored = (list(map(find, numbers)) for find in (truth.hits, truth.never_false))
        queries = _Queries.of(vectors, gallery, hits, ignored)
        for low in range(0, len(gallery), gallery_size):
            rows = np.require(gallery[low : low + gallery_size], np.float32, ["C", "W"])  # torch wants it writable
            block = _Block(rows, low, products)
            for first in range(0, len(vectors), size):
                last = min(first + size, len(vectors))
                first_kind = block.count(queries, first, last, first_kind)
                advance(last - first)
        yield from queries.ranks()


class _Block:
    """One block of the gallery.

    Args:
        rows: Shape (n, D).
        low: The gallery row of the first.
        products: What multiplies.
    """

    def __init__(self, rows: Vectors, low: int, products: Products) -> None:
        self.rows = rows
        self.low = low
        self.products = products
        self.loaded: dict[int, Any] = {}

    def count(self, queries: _Queries, first: int, last: int, first_kind: int) -> int:
        """Count the false rows above the hits of some queries; return which kind of products was fine enough."""
        finest = len(self.products.kinds) - 1
        for place, kind in enumerate(self.products.kinds[first_kind:], first_kind):
            if place not in self.loaded:
                self.loaded[place] = self.products.load(self.rows, kind)
            met = self.products.meet(queries.vectors[first:last], self.loaded[place])
            met.leave_out(*queries.never_false(first, last, range(self.low, self.low + len(self.rows))))
            bounds, mark = queries.between(first, last, self.products, kind)
            above, upto = met.count(mark)
            if place < finest and int((upto - above).sum()) > MANY_NEAR * (last - first):
                continue
            owners = np.repeat(np.arange(last - first), np.diff(bounds.starts))
            for number in np.unique(owners[upto > above]).tolist():
                own = slice(bounds.starts[number], bounds.starts[number + 1])
                above[own] = self._exactly(met.row(number), queries, first + number, bounds.of_query(number))
            queries.false_above[queries.hits(first, last)] += above
            return place
        return finest

    def _exactly(self, products: Scores, queries: _Queries, number: int, bounds: Bounds) -> IntArray:
        """Count with the pair scores of the rows that are near to any hit of one query."""
        places = np.flatnonzero(products >= bounds.down[-1])
        near = bounds.near(products[places])
        exact = pair_scores(queries.vectors[number], self.rows[places[near]])
        far = np.sort(products[places[~near]])
        above = len(far) - np.searchsorted(far, bounds.up, side="right")
        hits = queries.hits(number, number + 1)
        return above + _rows_above(exact, places[near] + self.low, queries.scores[hits], queries.rows[hits])


def rank_by_distance(distances: Iterable[FloatArray], truth: Truth) -> Iterator[IntArray]:
    """Yield the ranks of each query's true hits, ascending, as `rank_hits` does, where the distances are known.

    Args:
        distances: Q arrays of shape (N,), one after the other: from each query to the gallery. The nearest row ranks
            first, those of one distance by gallery order.
        truth: The rows that are each query's hits, and those that are not false.
    """
    for number, row in enumerate(distances):
        hits = truth.hits(number)
        if not len(hits):
            yield hits
            continue
        hits = hits[np.lexsort((hits, row[hits]))]
        near = row <= row[hits[-1]]
        near[truth.never_false(number)] = False
        rows = np.flatnonzero(near)
        yield 1 + np.arange(len(hits)) + _rows_above(-row[rows], rows, -row[hits], hits)


def _joined(groups: list[IntArray]) -> tuple[IntArray, IntArray]:
    """Return where each group begins, shape (q + 1,), and all groups one after the other."""
    starts = np.concatenate(([0], np.cumsum([len(group) for group in groups]))).astype(np.int64)
    return starts, np.concatenate([*groups, np.empty(0, dtype=np.int64)])


def _rows_above(scores: FloatArray, rows: IntArray, hit_scores: FloatArray, hit_rows: IntArray) -> IntArray:
    """Return how many rows rank above each hit: with a higher score, or with an equal one and earlier in the gallery.

    The hits are in that order already. Each row is sorted among them; all hits after it rank below it.
    """
    ranked = np.lexsort((np.concatenate([hit_rows, rows]), np.concatenate([-hit_scores, -scores])))
    is_row = ranked >= len(hit_rows)
    above: IntArray = np.cumsum(is_row, dtype=np.int64)[~is_row]
    return above
