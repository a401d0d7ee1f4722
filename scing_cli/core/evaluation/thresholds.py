"""The smallest score that keeps a promise, exact to the pair in bounded memory.

A promise is about the numbers of pairs that score at least t, and every t from some t on keeps it. Each score is a
float32 number and has a key: a whole number in the order of the scores, without gaps. A first pass over all pairs
counts scores in bins of 4,096 neighbouring keys. It shows in which bin a promise begins to hold. A second pass counts
each key of that bin separately.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.evaluation.pair_blocks import NO_PAIR, Cosines, PairBlock

Promise = Callable[[int, int], bool]
"""Whether some t keeps it, by how many different- and how many same-identity pairs score at least t."""

Keys = npt.NDArray[np.int32]
SHIFT = 12  # 11 bits of a score's mantissa remain: a multiple of 1 / 2048 is the lower edge of a bin
SIZE = 2**SHIFT
EDGES = 4096  # intervals of the report's histogram between -1 and 1


def edge_scores() -> Cosines:
    """Return the histogram's edges -1, -1 + 1/2048, ..., 1 and the first number above 1, shape (EDGES + 2,)."""
    edges = (np.arange(EDGES + 1) * 2 / EDGES - 1).astype(np.float32)
    return np.append(edges, np.nextafter(np.float32(1), np.float32(2)))


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


FIRST, LAST = (int(key) >> SHIFT for key in keys_of(np.array([NO_PAIR, 1], dtype=np.float32)))
BINS = LAST - FIRST + 2  # the last bin, above all scores, is empty


def count_scores(counts: IntArray, scores: Cosines) -> None:
    """Add scores, `NO_PAIR` among them, to the counts of their bins, shape (BINS,)."""
    bins = keys_of(scores.ravel())
    bins >>= SHIFT
    bins -= FIRST
    np.add.at(counts, bins, 1)


def at_or_above(counts: IntArray) -> IntArray:
    """Turn the counts of bins, along the last axis, into counts of each bin and all above it; in place."""
    backwards = counts[..., ::-1]
    np.cumsum(backwards, axis=-1, out=backwards)
    return counts


def at_edges(above: IntArray) -> IntArray:
    """Return how many scores lie at or above each of `edge_scores`, shape (EDGES + 2,), from `at_or_above`."""
    places = (keys_of(edge_scores()[:-1]) >> SHIFT) - FIRST
    return np.append(above[places], 0)


def find_thresholds(
    promises: Sequence[Promise], above: IntArray, blocks: Callable[[], Iterable[PairBlock]]
) -> list[float]:
    """Return the smallest score that keeps each promise, after one pass over the blocks.

    Args:
        promises: The promises; a score of -1 keeps none of them, a score above 1 keeps all.
        above: Shape (2, BINS): different- and same-identity pairs, from `at_or_above`.
        blocks: Makes an iterator over all pairs.
    """
    if not promises:
        return []
    bins = [_first_kept(promise, above) - 1 for promise in promises]  # the last whose lowest score fails
    starts = [(place + FIRST) * SIZE for place in bins]
    counts = np.zeros((len(starts), 2, SIZE), dtype=np.int64)
    lowest = np.float32(score_of(min(starts)))
    for block in blocks():
        for kind, scores in enumerate((block.different(), block.same)):
            high = scores[scores >= lowest]
            for number, start in enumerate(starts):
                counts[number, kind] += _count_keys(high, start)
    found = []
    for promise, place, start, own in zip(promises, bins, starts, counts, strict=True):
        inside = at_or_above(own) + above[:, place + 1, None]
        found.append(score_of(start + _first_kept(promise, inside)))
    return found


def _first_kept(promise: Promise, above: IntArray) -> int:
    """Return the first place along the last axis that keeps a promise; the length of the axis if none does."""
    return bisect.bisect_left(range(above.shape[1]), True, key=lambda place: promise(*above[:, place].tolist()))


def _count_keys(scores: Cosines, start: int) -> IntArray:
    """Count the scores of each key of one bin, shape (SIZE,)."""
    low, end = (np.float32(score_of(key)) for key in (start, start + SIZE))
    inside = scores[(scores >= low) & (scores < end)]
    return np.bincount(keys_of(inside) - start, minlength=SIZE)
