"""The nearest neighbours of every point of a set, found block by block and without rounding.

N points, D width, q and n points of two blocks, K neighbours.

Components are rounded to whole multiples of 2^-25 first, which moves one by 1.5e-8 at most and leaves float32 numbers
float32. Products of two of them are multiples of 2^-50, and so is every sum on the way to a squared distance, which
stays far below 8: float64 holds all of these exactly. So a distance has the same bits in whatever order a matrix
product sums, in every block and on every machine; equal images have equal distances, and ties are true ties.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.products import Products
from scing_cli.core.pairs import Rows, paired_scores
from scing_cli.core.runtime import Advance

STEPS = np.float32(2**25)  # in a length of 1
READ = 2**14  # rows read at a time


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points whose squared distances are exact.

    Args:
        vectors: Shape (N, D), float32, about unit length, whole multiples of 2^-25.
        squares: Shape (N,), their squared lengths.
        products: What multiplies.
    """

    vectors: npt.NDArray[np.float32]
    squares: FloatArray
    products: Products

    @classmethod
    def of(cls, parts: tuple[Rows, ...], products: Products) -> Points:
        """Round the rows of some parts, each of unit length, and put them one after the other."""
        blocks = (part[low : low + READ] for part in parts for low in range(0, len(part), READ))
        vectors = np.empty((sum(map(len, parts)), parts[0].shape[1]), dtype=np.float32)
        filled = 0
        for block in blocks:
            vectors[filled : filled + len(block)] = np.rint(block * STEPS) / STEPS
            filled += len(block)
        return cls(vectors, np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64), products)

    def __len__(self) -> int:
        return len(self.vectors)

    def between(self, rows: slice, columns: slice) -> FloatArray:
        """Return the squared distances of each of some points to each of others, shape (q, n), in [0, 4]."""
        kind = self.products.kinds[-1]
        block = self.products.load(self.vectors[columns], kind)
        distances: FloatArray = self.products.multiply(self.vectors[rows], block)
        distances *= -2
        distances += self.squares[rows, None]
        distances += self.squares[columns]
        return distances

    def of_pairs(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """Return the squared distances of pairs of points, shape (M,): the same bits as `between` gives."""
        products = paired_scores(self.vectors, rows, self.vectors, columns)
        return self.squares[rows] + self.squares[columns] - 2 * products


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest points of each point, and how far off the farthest of all is.

    Args:
        places: Shape (N, K): itself first, then the others by distance, those of one distance by place.
        farthest: Shape (N,): the greatest squared distance to any point.
    """

    places: IntArray
    farthest: FloatArray


def find_neighbours(points: Points, count: int, *, blocks: tuple[int, int], advance: Advance) -> Neighbours:
    """Find the nearest neighbours of every point.

    Args:
        points: N of them.
        count: K; all N if there are fewer.
        blocks: Rows and columns of one matrix product.
        advance: Is called with the number of points whose neighbours were found.
    """
    size, width = blocks
    count = min(count, len(points))
    places = np.empty((len(points), count), dtype=np.int64)
    farthest = np.zeros(len(points))
    for low in range(0, len(points), size):
        rows = slice(low, min(low + size, len(points)))
        near = np.empty((rows.stop - low, 0))
        found = near.astype(np.int64)
        for left in range(0, len(points), width):
            distances = points.between(rows, slice(left, left + width))
            np.maximum(farthest[rows], distances.max(axis=1), out=farthest[rows])
            _put_itself_first(distances, low, left)
            near, found = _merge((near, found), _smallest(distances, left, count), count)
        places[rows] = found
        advance(len(found))
    return Neighbours(places, farthest)


def _put_itself_first(distances: FloatArray, low: int, left: int) -> None:
    """Set the distance of each point to itself below all others, in the block that begins at (low, left)."""
    rows, columns = distances.shape
    itself = np.arange(max(low, left), min(low + rows, left + columns))
    distances[itself - low, itself - left] = -1


def _smallest(distances: FloatArray, left: int, count: int) -> tuple[FloatArray, IntArray]:
    """Return the smallest distances of each row in order and their places, shape (q, at most count) each."""
    rows, columns = distances.shape
    count = min(count, columns)
    limits = np.partition(distances, count - 1, axis=1)[:, count - 1 : count]
    owners, places = np.divmod(np.flatnonzero(distances <= limits), columns)  # much faster than nonzero in two axes
    found = distances[owners, places]
    order = np.lexsort((places, found, owners))
    begun = np.searchsorted(owners, np.arange(rows))  # where ties stand at the limit, a row has more than it needs
    kept = order[begun[:, None] + np.arange(count)]
    return found[kept], places[kept] + left


def _merge(
    one: tuple[FloatArray, IntArray], other: tuple[FloatArray, IntArray], count: int
) -> tuple[FloatArray, IntArray]:
    """Return the smallest of two blocks' distances and their places, as `_smallest` does."""
    distances, places = (np.concatenate(both, axis=1) for both in zip(one, other, strict=True))
    order = np.lexsort((places, distances), axis=1)[:, :count]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(places, order, axis=1)
