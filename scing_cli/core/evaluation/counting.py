"""The rank of every true hit, without sorting the gallery and without ever holding the whole score matrix.

Q queries, N gallery rows, D width, H true hits of all queries together.

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
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.truth import Truth
from scing_cli.core.pairs import Rows, pair_scores, paired_scores
from scing_cli.core.runtime import Advance

Vectors = npt.NDArray[np.float32]
MANY_NEAR = 64  # rows of a query that are too near to a hit for a product to decide


@dataclasses.dataclass(frozen=True, slots=True)
class Precision:
    """What a matrix product is computed in.

    Args:
        kind: The numbers' type.
        error: How far a product may lie from its pair score.
    """

    kind: npt.DTypeLike
    error: float

    @classmethod
    def of(cls, kind: npt.DTypeLike, width: int, lengths: float) -> Precision:
        """Return the bound that holds in whatever order D products are summed.

        Args:
            kind: float32 or float64.
            width: D.
            lengths: The greatest length of a query times that of a gallery row.
        """
        half_step = float(np.finfo(kind).eps) / 2
        return cls(kind, 1.01 * (width + 2) * half_step * lengths + 1e-11 * lengths)


@dataclasses.dataclass(slots=True, eq=False)
class _Hits:
    """All queries' true hits, one query after the other, best first, and the false rows above each, counted so far.

    Args:
        starts: Shape (Q + 1,): where each query's hits begin.
        rows: Shape (H,): gallery rows.
        scores: Shape (H,): pair scores.
        false_above: Shape (H,).
    """

    starts: IntArray
    rows: IntArray
    scores: FloatArray
    false_above: IntArray

    @classmethod
    def of(cls, query: Rows, gallery: Rows, hits: Sequence[IntArray]) -> _Hits:
        starts = _starts(hits)
        owners = np.repeat(np.arange(len(hits)), np.diff(starts))
        rows = np.concatenate([*hits, np.empty(0, dtype=np.int64)])
        scores = paired_scores(query, owners, gallery, rows)
        order = np.lexsort((rows, -scores, owners))
        return cls(starts, rows[order], scores[order], np.zeros(len(rows), dtype=np.int64))

    def floors(self, first: int, last: int) -> FloatArray:
        """Return the score of the lowest hit of some queries, shape (last - first,); infinity where there is none."""
        ends, found = self.starts[first + 1 : last + 1], np.diff(self.starts[first : last + 1]) > 0
        floors = np.full(last - first, np.inf)
        floors[found] = self.scores[ends[found] - 1]
        return floors


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The false rows of one block that may stand above a hit, query after query. M rows.

    Args:
        starts: Shape (q + 1,): where each query's rows begin.
        queries: Shape (M,): the query's place in the block.
        places: Shape (M,): the row's place in the block.
        scores: Shape (M,), float64: products.
    """

    starts: IntArray
    queries: IntArray
    places: IntArray
    scores: FloatArray


def rank_hits(
    query: Rows,
    gallery: Rows,
    truth: Truth,
    *,
    lengths: float,
    blocks: tuple[int, int],
    products: Products,
    advance: Advance,
) -> list[IntArray]:
    """Return the ranks of every query's true hits, ascending; an empty array where it has none.

    Args:
        query: Shape (Q, D).
        gallery: Shape (N, D); may be memory-mapped.
        truth: The rows that are each query's hits, and those that are not false.
        lengths: The greatest length of a query times that of a gallery row; 1 for unit vectors.
        blocks: Queries and gallery rows in one matrix product.
        products: What multiplies.
        advance: Is called with the number of queries that have met a gallery block.
    """
    size, gallery_size = blocks
    hits = _Hits.of(query, gallery, truth.hits)
    owners = np.repeat(np.arange(len(truth.never_false)), [len(own) for own in truth.never_false])
    ignored = np.concatenate([*truth.never_false, np.empty(0, dtype=np.int64)])
    precisions = [Precision.of(kind, query.shape[1], lengths) for kind in products.kinds]
    for low in range(0, len(gallery), gallery_size):
        rows = np.array(gallery[low : low + gallery_size], dtype=np.float32, order="C")
        here = (ignored >= low) & (ignored < low + len(rows))
        block = _Block(rows, low, owners[here], ignored[here] - low, 4 * max(lengths, 1.0), products)
        for first in range(0, len(query), size):
            some = np.array(query[first : first + size], dtype=np.float32, order="C")
            for precision in precisions:
                last = precision is precisions[-1]
                if block.count(some, first, hits, precision, limit=None if last else MANY_NEAR):
                    break
            advance(len(some))
    places = np.arange(len(hits.rows)) - np.repeat(hits.starts[:-1], np.diff(hits.starts))
    return np.split(1 + places + hits.false_above, hits.starts[1:-1])


@dataclasses.dataclass(slots=True, eq=False)
class _Block:
    """One block of the gallery.

    Args:
        rows: Shape (n, D).
        low: The gallery row of the first.
        owners: Queries, ascending, and ...
        ignored: ... the places of rows that are no false ones of theirs.
        spacing: Twice as far as two scores can lie apart, or more.
        products: What multiplies.
        loaded: The rows where they are multiplied, by the kind of number.
    """

    rows: Vectors
    low: int
    owners: IntArray
    ignored: IntArray
    spacing: float
    products: Products
    loaded: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def count(self, query: Vectors, first: int, hits: _Hits, precision: Precision, *, limit: int | None) -> bool:
        """Count the false rows above the hits of some queries; tell whether it was done.

        Args:
            query: Shape (q, D).
            first: The number of the first of them.
            hits: Where the counts go.
            precision: Of the products.
            limit: How many rows per query may be too near to a hit; with more, nothing is counted. None for any number.
        """
        own = slice(hits.starts[first], hits.starts[first + len(query)])
        if own.start == own.stop:
            return True
        found = self._candidates(query, first, hits, precision)
        starts = hits.starts[first : first + len(query) + 1] - own.start
        # One ascending line of keys: query after query, best score first.
        keys = self.spacing * found.queries - found.scores
        marks = self.spacing * np.repeat(np.arange(len(query)), np.diff(starts)) - hits.scores[own]
        ordered = np.sort(keys)
        above = np.searchsorted(ordered, marks - precision.error, side="left")
        upto = np.searchsorted(ordered, marks + precision.error, side="right")
        if limit is not None and int((upto - above).sum()) > limit * len(query):
            return False
        counts = above - np.repeat(found.starts[:-1], np.diff(starts))
        unsure = np.repeat(np.arange(len(query)), np.diff(starts))[upto > above]
        for number in np.unique(unsure):
            mine, theirs = slice(*starts[number : number + 2]), slice(*found.starts[number : number + 2])
            near = _is_near(keys[theirs], marks[mine], precision.error)
            places = found.places[theirs][near]
            exact = pair_scores(query[number], self.rows[places])
            goal = slice(own.start + mine.start, own.start + mine.stop)
            far = np.searchsorted(np.sort(keys[theirs][~near]), marks[mine], side="left")
            counts[mine] = far + _exact_above(exact, places + self.low, hits.scores[goal], hits.rows[goal])
        hits.false_above[own] += counts
        return True

    def _candidates(self, query: Vectors, first: int, hits: _Hits, precision: Precision) -> _Found:
        """Multiply, and return the rows that may stand above a query's lowest hit."""
        if precision.kind not in self.loaded:
            self.loaded[precision.kind] = self.products.load(self.rows, precision.kind)
        begin, end = np.searchsorted(self.owners, (first, first + len(query)))
        masked = (self.owners[begin:end] - first, self.ignored[begin:end])
        lowest = hits.floors(first, first + len(query)) - precision.error
        wanted, scores = self.products.candidates(query, self.loaded[precision.kind], masked, lowest)
        queries = wanted // len(self.rows)
        starts = np.searchsorted(queries, np.arange(len(query) + 1))
        return _Found(starts, queries, wanted - queries * len(self.rows), scores)


def _starts(groups: Sequence[IntArray]) -> IntArray:
    return np.concatenate(([0], np.cumsum([len(group) for group in groups]))).astype(np.int64)


def _is_near(keys: FloatArray, marks: FloatArray, error: float) -> npt.NDArray[np.bool_]:
    """Tell which keys lie within the error of any mark; the same comparisons as those that counted them."""
    begun = np.searchsorted(marks - error, keys, side="right")
    ended = np.searchsorted(marks + error, keys, side="left")
    near: npt.NDArray[np.bool_] = begun > ended
    return near


def _exact_above(scores: FloatArray, rows: IntArray, hit_scores: FloatArray, hit_rows: IntArray) -> IntArray:
    """Return how many rows stand above each hit: a higher score, or the same and an earlier place in the gallery."""
    ordered = np.sort(scores)
    upto = np.searchsorted(ordered, hit_scores, side="right")
    above: IntArray = len(ordered) - upto
    for hit in np.flatnonzero(np.searchsorted(ordered, hit_scores, side="left") < upto):
        above[hit] += np.count_nonzero(rows[scores == hit_scores[hit]] < hit_rows[hit])
    return above
