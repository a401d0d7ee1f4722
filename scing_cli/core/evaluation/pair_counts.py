"""What two passes over all pairs count: scores by bins and each query's best hits, then matches at thresholds.

Q queries, N gallery rows, T thresholds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.evaluation.pair_blocks import NO_PAIR, Cosines, PairBlock, Pairs
from scing_cli.core.evaluation.thresholds import BINS, count_scores

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
        """Return the start: nothing is found yet."""
        return cls(np.full(queries, -1, dtype=np.int64), np.full(queries, math.nan, dtype=np.float32))

    def offer(self, queries: Numbers, rows: Numbers, scores: Cosines) -> None:
        """Take what is better than before: at most one row of a query, and a query's earlier rows first."""
        better = ~(scores <= self.scores[queries]) & (scores != NO_PAIR)  # NaN: nothing yet
        self.rows[queries[better]] = rows[better]
        self.scores[queries[better]] = scores[better]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """The first pass.

    Args:
        counts: Shape (2, BINS), int64: different- and same-identity pairs by score, see `thresholds.count_scores`.
        true: Each query's best true hit.
        wrong: Each query's best wrong hit; rows of unknown identity are wrong ones, as in the ranking.
    """

    counts: IntArray
    true: BestHits
    wrong: BestHits


def tally(pairs: Pairs) -> Tally:
    """Make the first pass over all pairs."""
    queries, _ = pairs.shape
    found = Tally(np.zeros((2, BINS), dtype=np.int64), BestHits.none_of(queries), BestHits.none_of(queries))
    for block in pairs.blocks():
        count_scores(found.counts[0], block.different())
        count_scores(found.counts[1], block.same)
        _offer_best(block, found.true, found.wrong)
    return found


def _offer_best(block: PairBlock, true: BestHits, wrong: BestHits) -> None:
    columns = block.wrong.argmax(axis=1)
    wrong.offer(block.queries, columns + block.low, block.wrong[np.arange(len(columns)), columns])
    order = np.lexsort((block.columns, -block.same, block.owners))
    owners, first = np.unique(block.owners[order], return_index=True)
    best = order[first]
    true.offer(block.queries[owners], block.columns[best] + block.low, block.same[best])


def count_matches(pairs: Pairs, thresholds: Sequence[float]) -> tuple[IntArray, IntArray]:
    """Make the last pass over all pairs, and count those that score at least each threshold, a float32 number.

    Returns:
        Shape (T, 2, Q), int64: each query's different- and same-identity pairs. Shape (T, N), int64: each gallery
        row's different-identity pairs.
    """
    queries, rows = pairs.shape
    of_query = np.zeros((len(thresholds), 2, queries), dtype=np.int64)
    of_row = np.zeros((len(thresholds), rows), dtype=np.int64)
    for block in pairs.blocks():
        different = block.different()
        size, width = different.shape
        for number, threshold in enumerate(thresholds):
            matches, own = different >= np.float32(threshold), block.owners[block.same >= threshold]
            of_query[number, 0, block.queries] += np.count_nonzero(matches, axis=1)
            of_query[number, 1, block.queries] += np.bincount(own, minlength=size)
            of_row[number, block.low : block.low + width] += np.count_nonzero(matches, axis=0)
    return of_query, of_row
