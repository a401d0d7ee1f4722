"""The smallest score that keeps a promise, exact to the pair in bounded memory.

A promise is about the numbers of pairs that score at least t, and every t from some t on keeps it. That one is looked
for between the edges of the histogram, then between ever finer ones: each pass over all pairs counts those that lie
between the last score known to fail and the first known to keep it. Between -1 and 1 there are only so many float32
numbers, so this ends: after one pass for scores that are not near 0, else after two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import BoolArray, IntArray
from scing_cli.core.evaluation.pair_blocks import Cosines, PairBlock

Promise = Callable[[IntArray, IntArray], BoolArray]
"""Of the different- and the same-identity pairs that score at least each of some t: whether each t keeps it."""

Keys = npt.NDArray[np.int32]
BINS = 4096  # between -1 and 1: an edge is a float32 number to the bit
PARTS = 2**16


def edge_scores() -> Cosines:
    """Return the histogram's edges -1, -1 + 1/2048, ..., 1 and the first number above 1, shape (BINS + 2,)."""
    edges = (np.arange(BINS + 1) * 2 / BINS - 1).astype(np.float32)
    return np.append(edges, np.nextafter(np.float32(1), np.float32(2)))


def bin_counts(scores: Cosines) -> IntArray:
    """Count scores between the edges, each bin with its lower one; what is below -1 is not counted.

    Returns:
        Shape (BINS + 1,), int64; the last bin holds 1 alone.
    """
    half = BINS // 2
    places = np.multiply(scores.ravel(), np.float32(half))  # exact: a power of two
    bins = np.floor(places, out=places).astype(np.intp)
    bins += 2 * half  # from -2 on
    return np.bincount(bins, minlength=2 * BINS)[half : half + BINS + 1].astype(np.int64)


def at_or_above(counts: IntArray) -> IntArray:
    """Return how many scores lie at or above each of `edge_scores`, from `bin_counts`; shape (BINS + 2,)."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)


def keys_of(scores: Cosines) -> Keys:
    """Return whole numbers in the order of the scores; neighbours among float32 numbers differ by 1.

    >>> keys_of(np.array([-0.0, 0.0, 1e-45], dtype=np.float32)).tolist()
    [0, 0, 1]
    """
    bits = np.ascontiguousarray(scores, dtype=np.float32).view(np.int32)
    return np.where(bits < 0, np.int32(-(2**31)) - bits, bits)


def score_of(key: int) -> float:
    """Return the score of a key.

    >>> score_of(int(keys_of(np.array([-0.75], dtype=np.float32))[0]))
    -0.75
    """
    size = float(np.array([abs(key)], dtype=np.int32).view(np.float32)[0])
    return size if key >= 0 else -size


@dataclasses.dataclass(slots=True, eq=False)
class Search:
    """The search for the smallest score that keeps a promise.

    Args:
        promise: The promise.
        low: The key of a score that does not keep it.
        high: The key of a score that keeps it.
    """

    promise: Promise
    low: int
    high: int

    @classmethod
    def among(cls, promise: Promise, different: IntArray, same: IntArray) -> Search:
        """Begin with the counts at or above each edge; the first edge, -1, must fail and the last one keep it."""
        first = int(np.argmax(promise(different, same)))
        low, high = (int(key) for key in keys_of(edge_scores()[first - 1 : first + 1]))
        return cls(promise, low, high)

    @property
    def score(self) -> float:
        """The smallest score known to keep the promise."""
        return score_of(self.high)

    @property
    def found(self) -> bool:
        """Whether there is no score in between."""
        return self.high - self.low == 1

    @property
    def _step(self) -> int:
        return -(-(self.high - self.low) // PARTS)

    def count(self, keys: Keys) -> IntArray:
        """Count keys by the parts between low and high; the last entry, number PARTS, takes all above."""
        inside = keys[keys >= self.low].astype(np.int64) - self.low
        return np.bincount(np.minimum(inside // self._step, PARTS), minlength=PARTS + 1)

    def narrow(self, different: IntArray, same: IntArray) -> None:
        """Go on between two parts, by the sums of `count` over all pairs."""
        above = [np.cumsum(counts[::-1])[::-1][1:] for counts in (different, same)]
        kept = np.append(self.promise(*above)[:-1], True)
        step = self._step
        self.low += int(np.argmax(kept)) * step
        self.high = self.low + step


def find_thresholds(searches: Sequence[Search], blocks: Callable[[], Iterable[PairBlock]]) -> None:
    """Finish all searches, in as few passes over the blocks as the hardest of them takes."""
    while unfinished := [search for search in searches if not search.found]:
        lowest = np.float32(min(score_of(search.low) for search in unfinished))
        counts = np.zeros((len(unfinished), 2, PARTS + 1), dtype=np.int64)
        for block in blocks():
            for kind, scores in enumerate((block.different(), block.same)):
                keys = keys_of(scores[scores >= lowest])
                for number, search in enumerate(unfinished):
                    counts[number, kind] += search.count(keys)
        for search, (different, same) in zip(unfinished, counts, strict=True):
            search.narrow(different, same)
