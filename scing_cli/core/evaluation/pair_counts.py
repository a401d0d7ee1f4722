"""What two passes over all pairs count: scores by bins and the best hits at first, false and true matches in the end.

Q queries, N gallery rows, T thresholds; q queries and n rows of a block, h same-identity pairs in it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.evaluation.pair_blocks import NO_PAIR, Cosines, PairBlock, Pairs
from scing_cli.core.evaluation.thresholds import BINS, bin_counts

Numbers = npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BestHits:
    """The best rows of one kind for each query; of equal scores the first in the gallery.

    Args:
        rows: Shape (Q,): places in the gallery, from 0; -1 where there is none.
        scores: Shape (Q,): cosines, float32; NaN where there is none.
    """

    rows: IntArray
    scores: Cosines

    @classmethod
    def none_of(cls, queries: int) -> BestHits:
        """Return that nothing was found yet."""
        return cls(np.full(queries, -1, dtype=np.int64), np.full(queries, math.nan, dtype=np.float32))

    def offer(self, queries: Numbers, rows: Numbers, scores: Cosines) -> None:
        """Take what is better than before; a query's earlier rows come first, and a query stands here once."""
        better = ~(scores <= self.scores[queries]) & (scores != NO_PAIR)  # NaN: nothing yet
        self.rows[queries[better]] = rows[better]
        self.scores[queries[better]] = scores[better]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """The first pass.

    Args:
        different: Shape (BINS + 1,), int64: different-identity pairs by score, as `thresholds.bin_counts` has it.
        same: The same of same-identity pairs.
        of_query: Shape (2, Q), int64: each query's different- and same-identity pairs.
        of_row: Shape (N,), int64: each gallery row's different-identity pairs.
        true: Each query's best true hit.
        wrong: Each query's best wrong one, rows of unknown identity among them, as the ranking has it.
    """

    different: IntArray
    same: IntArray
    of_query: IntArray
    of_row: IntArray
    true: BestHits
    wrong: BestHits


def tally(pairs: Pairs) -> Tally:
    """Go over all pairs for the first time."""
    queries, rows = pairs.shape
    bins = np.zeros((2, BINS + 1), dtype=np.int64)
    true, wrong = BestHits.none_of(queries), BestHits.none_of(queries)
    of_query, of_row = np.zeros((2, queries), dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for block in pairs.blocks():
        different = block.different()
        bins[0] += bin_counts(different)
        bins[1] += bin_counts(block.same)
        paired = different != NO_PAIR
        of_query[0, block.queries] += np.count_nonzero(paired, axis=1)
        of_query[1, block.queries] += np.bincount(block.owners, minlength=len(block.queries))
        of_row[block.low : block.low + paired.shape[1]] += np.count_nonzero(paired, axis=0)
        _offer_best(block, true, wrong)
    return Tally(bins[0], bins[1], of_query, of_row, true, wrong)


def _offer_best(block: PairBlock, true: BestHits, wrong: BestHits) -> None:
    columns = block.wrong.argmax(axis=1)
    wrong.offer(block.queries, columns + block.low, block.wrong[np.arange(len(columns)), columns])
    order = np.lexsort((block.columns, -block.same, block.owners))
    owners, first = np.unique(block.owners[order], return_index=True)
    best = order[first]
    true.offer(block.queries[owners], block.columns[best] + block.low, block.same[best])


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Pairs that score at least each threshold, int64.

    Args:
        of_query: Shape (T, 2, Q): each query's different- and same-identity ones.
        of_row: Shape (T, N): each gallery row's different-identity ones.
    """

    of_query: IntArray
    of_row: IntArray


def count_matches(pairs: Pairs, thresholds: Sequence[float]) -> Matches:
    """Go over all pairs for the last time; the thresholds are float32 numbers."""
    queries, rows = pairs.shape
    of_query = np.zeros((len(thresholds), 2, queries), dtype=np.int64)
    of_row = np.zeros((len(thresholds), rows), dtype=np.int64)
    if not thresholds:
        return Matches(of_query, of_row)
    lowest = np.float32(min(thresholds))
    for block in pairs.blocks():
        different = block.different()
        size, width = different.shape
        owners, columns = np.nonzero(different >= lowest)
        scores = different[owners, columns]
        for number, threshold in enumerate(thresholds):
            high, own = scores >= threshold, block.owners[block.same >= threshold]
            of_query[number, 0, block.queries] += np.bincount(owners[high], minlength=size)
            of_query[number, 1, block.queries] += np.bincount(own, minlength=size)
            of_row[number, block.low : block.low + width] += np.bincount(columns[high], minlength=width)
    return Matches(of_query, of_row)
