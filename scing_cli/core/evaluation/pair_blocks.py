"""All pairs of a query and a gallery row that show one identity or two, block by block.

Same-identity pairs are a query's true hits under the protocol (`truth.py`). Different-identity pairs are all others but
these: rows of the query's identity that the protocol leaves out, the query's own image, and pairs of which one side's
identity is unknown, since they may show one person. A distractor has an identity that no query has: it is known to be
someone else. Queries without a true match give different-identity pairs too.

Q queries, N gallery rows, D width; q queries and n rows of a block, h same-identity pairs in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import BoolArray, IntArray
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.side import Side
from scing_cli.core.evaluation.truth import Truth
from scing_cli.core.runtime import Reporter

Cosines = npt.NDArray[np.float32]
NO_PAIR = np.float32(-2)  # below every cosine
PASSES = 8  # blocks of queries that meet a gallery block before the next is read


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PairBlock:
    """Some queries and some gallery rows; all scores are cosines, float32.

    Args:
        queries: Shape (q,): the queries' numbers, ascending.
        low: The gallery row of the first column.
        wrong: Shape (q, n): the scores of rows that the ranking counts as wrong, of unknown identity or of another
            than the query's; `NO_PAIR` elsewhere.
        unknown: Shape (n,): True where the identity of a gallery row is unknown.
        owners: Shape (h,): the query of each same-identity pair, as a row of the block.
        columns: Shape (h,): its gallery row, as a column of the block.
        same: Shape (h,): its score.
    """

    queries: IntArray
    low: int
    wrong: Cosines
    unknown: BoolArray
    owners: IntArray
    columns: IntArray
    same: Cosines

    def different(self) -> Cosines:
        """Return the scores of different-identity pairs, shape (q, n); `NO_PAIR` elsewhere."""
        if not self.unknown.any():
            return self.wrong
        scores = self.wrong.copy()
        scores[:, self.unknown] = NO_PAIR
        return scores


class Pairs:
    """Goes over all pairs, as often as it is asked to; memory does not grow with Q * N.

    A score is a matrix product's, in [-1, 1]: within float32 rounding of the pair's exact cosine (some 1e-7 at D =
    512), and its last bits may change with the block sizes and the machine.

    Args:
        query: Q queries; those of an empty identity are in no pair.
        gallery: N gallery rows.
        truth: Which rows are each query's hits.
        blocks: Queries and gallery rows in one matrix product.
        products: What multiplies.
        reporter: Where progress goes.
    """

    def __init__(
        self,
        query: Side,
        gallery: Side,
        truth: Truth,
        *,
        blocks: tuple[int, int],
        products: Products,
        reporter: Reporter,
    ) -> None:
        self._query = query.vectors
        self._gallery = gallery.vectors
        self._truth = truth
        self.queries: IntArray = np.flatnonzero(np.array([text != "" for text in query.identities], dtype=np.bool_))
        self.unknown_rows: BoolArray = np.array([text == "" for text in gallery.identities], dtype=np.bool_)
        self._size, self._gallery_size = blocks
        self._products = products
        self._reporter = reporter

    @property
    def shape(self) -> tuple[int, int]:
        """Q and N."""
        return len(self._query), len(self._gallery)

    def blocks(self) -> Iterator[PairBlock]:
        """Yield every block once."""
        steps = len(self.queries) * -(-len(self._gallery) // self._gallery_size)
        with self._reporter.progress("Comparing pairs", steps) as advance:
            for start in range(0, len(self.queries), self._size * PASSES):
                for block in self._group(self.queries[start : start + self._size * PASSES]):
                    yield block
                    advance(len(block.queries))

    def _group(self, queries: IntArray) -> Iterator[PairBlock]:
        vectors = np.array(self._query[queries], dtype=np.float32, order="C")
        hits = _Listed.of(self._truth.hits(number) for number in queries)
        left_out = _Listed.of(self._truth.never_false(number) for number in queries)
        for low in range(0, len(self._gallery), self._gallery_size):
            rows = np.array(self._gallery[low : low + self._gallery_size], dtype=np.float32, order="C")
            loaded = self._products.load(rows, self._products.kinds[0])
            columns = range(low, low + len(rows))
            for first in range(0, len(queries), self._size):
                part = range(first, min(first + self._size, len(queries)))
                scores = _cosines(self._products.multiply(vectors[part.start : part.stop], loaded))
                owners, places = hits.within(part, columns)
                same = scores[owners, places]
                scores[left_out.within(part, columns)] = NO_PAIR
                unknown = self.unknown_rows[columns.start : columns.stop]
                yield PairBlock(queries[part.start : part.stop], low, scores, unknown, owners, places, same)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """Gallery rows of some queries, one query after the other."""

    owners: IntArray
    rows: IntArray

    @classmethod
    def of(cls, groups: Iterable[IntArray]) -> _Listed:
        listed = list(groups)
        owners = np.repeat(np.arange(len(listed)), [len(group) for group in listed])
        return cls(owners, np.concatenate([*listed, np.empty(0, dtype=np.int64)]))

    def within(self, queries: range, rows: range) -> tuple[IntArray, IntArray]:
        """Return which of them lie in a block, as its rows and columns."""
        begin, end = np.searchsorted(self.owners, [queries.start, queries.stop])
        owners, places = self.owners[begin:end] - queries.start, self.rows[begin:end] - rows.start
        here = (places >= 0) & (places < len(rows))
        return owners[here], places[here]


def _cosines(products: npt.NDArray[Any]) -> Cosines:
    scores: Cosines = products.astype(np.float32, copy=False)
    return np.clip(scores, -1, 1, out=scores)
