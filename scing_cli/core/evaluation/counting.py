"""The rank of every true hit, without ordering the gallery and without ever holding the whole score matrix.

q queries of a block, n gallery rows of a block, D width, H true hits of one query.

A query's scores need only the ranks of its true hits, and a true hit's rank is its place among the hits plus the number
of false rows above it. So blocks of queries meet blocks of the gallery in one product, and false rows are counted.

The ranking is that of `pairs.pair_scores` (float64, one pair at a time), ties by gallery order. A matrix product's last
bits depend on the block's shape and the machine: so wherever it comes as near to a true hit's score as its rounding
error could reach, the pair score takes its place. The product is in float32, whose error is at most D times half a step
(3e-5 at D = 512, in whatever order it is summed); where so many rows are that near that their pair scores would take
longer, as with a model whose descriptors all look alike, the block is multiplied again in float64 (error 1e-12).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.truth import Truth
from scing_cli.core.pairs import Rows, pair_scores
from scing_cli.core.runtime import Advance

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[Any]
MANY_NEAR = 8  # of a query: pairs of a hit and a row that a product cannot decide


@dataclasses.dataclass(slots=True, eq=False)
class _Query:
    """One query in the making.

    Args:
        vector: Shape (D,).
        rows: Shape (H,): gallery rows of the hits, best first.
        scores: Shape (H,): their pair scores.
        ignored: Gallery rows that are no false ones, ascending.
        false_above: Shape (H,): the false rows above each hit, counted so far.
    """

    vector: Vectors
    rows: IntArray
    scores: FloatArray
    ignored: IntArray
    false_above: IntArray

    @classmethod
    def of(cls, vector: Vectors, gallery: Rows, hits: IntArray, ignored: IntArray) -> _Query:
        """Return a query with its hits in order."""
        scores = pair_scores(vector, gallery[hits])
        order = np.lexsort((hits, -scores))
        return cls(vector, hits[order], scores[order], ignored, np.zeros(len(hits), dtype=np.int64))

    def ranks(self) -> IntArray:
        """Return the ranks of the hits, ascending, shape (H,)."""
        ranks: IntArray = np.arange(1, len(self.rows) + 1) + self.false_above
        return ranks

    def mask(self, products: Scores, low: int) -> None:
        """Take the rows that are no false ones out of the running."""
        first, last = np.searchsorted(self.ignored, (low, low + len(products)))
        products[self.ignored[first:last] - low] = -np.inf


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """Between which products a hit's score may lie, rounded outwards; shape (H,) each, descending."""

    down: Scores
    up: Scores

    @classmethod
    def of(cls, scores: FloatArray, width: int, kind: npt.DTypeLike) -> _Bounds:
        """Return the bounds of hits whose products are computed in some kind of number."""
        error = 1.01 * (width + 2) * float(np.finfo(kind).eps) / 2 + 1e-12
        down, up = (bound.astype(kind) for bound in (scores - error, scores + error))
        return cls(np.nextafter(down, -np.inf), np.nextafter(up, np.inf))

    def near(self, products: Scores) -> npt.NDArray[np.bool_]:
        """Tell which products lie between the bounds of any hit."""
        begun = np.searchsorted(self.down[::-1], products, side="right")
        ended = np.searchsorted(self.up[::-1], products, side="left")
        between: npt.NDArray[np.bool_] = begun > ended
        return between


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
        advance: Is called with the number of queries that have met a gallery block.
    """
    size, gallery_size = blocks
    first_kind = 0  # where one way was too coarse for a block, it is not tried on the next
    for start in range(0, len(query), size * PASSES):
        some = np.array(query[start : start + size * PASSES], dtype=np.float32, order="C")
        states = [
            _Query.of(vector, gallery, truth.hits(number), truth.never_false(number))
            for number, vector in enumerate(some, start)
        ]
        for low in range(0, len(gallery), gallery_size):
            rows = np.array(gallery[low : low + gallery_size], dtype=np.float32, order="C")
            block = _Block(rows, low, products)
            for first in range(0, len(some), size):
                part = slice(first, first + size)
                first_kind = block.count(some[part], states[part], first_kind)
                advance(len(states[part]))
        yield from (state.ranks() for state in states)


PASSES = 8  # blocks of queries that meet a gallery block before the next is read


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

    def count(self, vectors: Vectors, queries: list[_Query], first_kind: int) -> int:
        """Count the false rows above the hits of some queries; return which kind of products was fine enough."""
        last = len(self.products.kinds) - 1
        for place, kind in enumerate(self.products.kinds[first_kind:], first_kind):
            if place not in self.loaded:
                self.loaded[place] = self.products.load(self.rows, kind)
            limit = None if place == last else MANY_NEAR * len(queries)
            if self._count(self.products.multiply(vectors, self.loaded[place]), queries, kind, limit=limit):
                return place
        return last

    def _count(self, products: Scores, queries: list[_Query], kind: npt.DTypeLike, *, limit: int | None) -> bool:
        """Count by products, by pair scores where they are near; with too many of those count nothing and say so."""
        counted: list[tuple[_Query, IntArray, Scores | None, _Bounds]] = []
        undecided = 0
        for query, row in zip(queries, products, strict=True):
            if not len(query.rows):
                continue
            query.mask(row, self.low)
            bounds = _Bounds.of(query.scores, self.rows.shape[1], kind)
            candidates = row[row >= bounds.down[-1]]  # the others are below every hit
            if not len(candidates):
                continue
            candidates.sort()
            above = len(candidates) - np.searchsorted(candidates, bounds.up, side="right")
            near = len(candidates) - np.searchsorted(candidates, bounds.down, side="left") - above
            pairs = int(near.sum())
            undecided += pairs
            if limit is not None and undecided > limit:
                return False
            counted.append((query, above, row if pairs else None, bounds))
        for query, above, unsure, bounds in counted:
            query.false_above += above if unsure is None else self._exactly(query, unsure, bounds)
        return True

    def _exactly(self, query: _Query, products: Scores, bounds: _Bounds) -> IntArray:
        """Count with the pair scores of the rows that are near to any hit."""
        places = np.flatnonzero(products >= bounds.down[-1])
        near = bounds.near(products[places])
        exact = pair_scores(query.vector, self.rows[places[near]])
        far = np.sort(products[places[~near]])
        above = len(far) - np.searchsorted(far, bounds.up, side="right")
        return above + _rows_above(exact, places[near] + self.low, query)


def _rows_above(scores: FloatArray, rows: IntArray, query: _Query) -> IntArray:
    """Return how many rows stand above each hit: a higher score, or the same and an earlier place in the gallery.

    Hits stand in that order already, so each row is put among them, and all hits behind it are below it.
    """
    ranked = np.lexsort((np.concatenate([query.rows, rows]), np.concatenate([-query.scores, -scores])))
    is_row = ranked >= len(query.rows)
    above: IntArray = np.cumsum(is_row, dtype=np.int64)[~is_row]
    return above
