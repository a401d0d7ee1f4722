"""k-reciprocal neighbours of every point, and their weights as sparse rows.

N points, K neighbours of each, E entries that are not zero, b points of a block. Nothing here is N x N: arrays have
K or E entries, and only one block of points at a time has scratch space of N each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from scing_cli.core.evaluation.metrics import BoolArray, FloatArray, IntArray
from scing_cli.core.evaluation.neighbours import Neighbours, Points

SCRATCH = 2**25  # bytes, roughly, of a block of points


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """Sparse rows: the entries that are not zero, one row after the other.

    Args:
        starts: Shape (N + 1,): where each row begins.
        columns: Shape (E,), ascending in a row.
        values: Shape (E,).
    """

    starts: IntArray
    columns: IntArray
    values: FloatArray

    @classmethod
    def of(cls, count: int, blocks: Iterable[tuple[IntArray, IntArray, FloatArray]]) -> SparseRows:
        """Put together rows from blocks of entries: the row of each, ascending, its column and its value."""
        counts = np.zeros(count, dtype=np.int64)
        columns, values = [], []
        for owners, places, weights in blocks:
            counts += np.bincount(owners, minlength=count)
            columns.append(places)
            values.append(weights)
        return cls(np.concatenate(([0], np.cumsum(counts))), np.concatenate(columns), np.concatenate(values))

    def entries(self, rows: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the entries of some rows, one row after the other: which of `rows` each is of, column and value."""
        counts = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1]) + np.repeat(self.starts[rows] - ends + counts, counts)
        return np.repeat(np.arange(len(rows)), counts), self.columns[places], self.values[places]

    def inverted(self, first: int) -> SparseRows:
        """Return which rows from number `first` on, counted from there, have an entry in each column, and its value."""
        count = len(self.starts) - 1
        owners = np.repeat(np.arange(count - first), np.diff(self.starts[first:]))
        columns, values = self.columns[self.starts[first] :], self.values[self.starts[first] :]
        order = np.argsort(columns, kind="stable")
        return SparseRows.of(count, [(columns[order], owners[order], values[order])])


def reciprocal_rows(points: Points, neighbours: Neighbours, k1: int, k2: int) -> SparseRows:
    """Return V*: the weights of each point's k-reciprocal neighbours, averaged, in rows that sum to 1.

    The formulas are in `reranking`.

    Args:
        points: N of them.
        neighbours: At least max(k1 + 1, k2) of each, or all N.
        k1: How many count as near, without the point itself.
        k2: Over how many, with the point itself, the weights are averaged.
    """
    wide, narrow = (min(k + 1, neighbours.places.shape[1]) for k in (k1, round(k1 / 2)))
    sets = _Sets(neighbours.places, _mutual(neighbours.places, wide), _mutual(neighbours.places, narrow))
    rows = SparseRows.of(len(points), _weighted(points, neighbours.farthest, sets))
    near = neighbours.places[:, :k2]
    return rows if near.shape[1] == 1 else SparseRows.of(len(points), _averaged(rows, near))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """Reciprocal neighbours: which of the first neighbours of each point have it among their own.

    Args:
        places: Shape (N, K), neighbours.
        mutual: Shape (N, k1 + 1), of the first k1 + 1 of them.
        narrow: Shape (N, k1 / 2 + 1), of the first k1 / 2 + 1 of them.
    """

    places: IntArray
    mutual: BoolArray
    narrow: BoolArray

    def expanded(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return R* of some points, as pairs: which point of `rows`, ascending, and a member of its set, ascending."""
        wide, width = self.mutual.shape[1], self.narrow.shape[1]
        near, mutual = self.places[rows, :wide], self.mutual[rows]  # (b, k1 + 1)
        member = np.zeros((len(rows), len(self.places)), dtype=bool)
        numbers = np.arange(len(rows))[:, None, None]
        member[np.nonzero(mutual)[0], near[mutual]] = True
        theirs, known = self.places[near, :width], self.narrow[near]  # (b, k1 + 1, k1 / 2 + 1)
        shared = (member[numbers, theirs] & known).sum(axis=2)
        taken = known & (mutual & (3 * shared > 2 * known.sum(axis=2)))[..., None]
        member[np.nonzero(taken)[0], theirs[taken]] = True
        owners, members = np.divmod(np.flatnonzero(member), len(self.places))
        return owners, members


def _mutual(places: IntArray, count: int) -> BoolArray:
    """Return which of the first `count` neighbours of each point have it among their own first `count`."""
    near = places[:, :count]
    mutual = np.empty(near.shape, dtype=bool)
    for rows in _blocks(len(near), 9 * count * count):
        mutual[rows] = (near[near[rows]] == rows[:, None, None]).any(axis=2)
    return mutual


def _weighted(points: Points, farthest: FloatArray, sets: _Sets) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield the weights exp(-d) of R*, divided by their sum in each row."""
    taken = sets.mutual.shape[1] * sets.narrow.shape[1]
    for rows in _blocks(len(points), len(points) + 20 * taken):
        owners, members = sets.expanded(rows)
        distances = points.of_pairs(rows[owners], members)
        weights = np.exp(-relative(distances, farthest[rows[owners]]))
        sums = np.bincount(owners, weights)
        yield rows[owners], members, weights / sums[owners]


def _averaged(rows: SparseRows, near: IntArray) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield the mean of the rows of each point's nearest neighbours, shape (N, k2)."""
    width = near.shape[1]
    mean = len(rows.values) / len(near)
    for block in _blocks(len(near), int(50 * width * mean)):
        owners, columns, values = rows.entries(near[block].ravel())
        keys, where = np.unique(owners // width * len(near) + columns, return_inverse=True)
        sums = np.bincount(where, values)
        yield block[keys // len(near)], keys % len(near), sums / width


def relative(distances: FloatArray, farthest: FloatArray) -> FloatArray:
    """Divide distances by the greatest of their point; where all points are the same one, all are 0."""
    result: FloatArray = np.divide(distances, farthest, out=np.zeros_like(distances), where=farthest > 0)
    return result


def _blocks(count: int, each: int) -> Iterator[IntArray]:
    """Yield the numbers up to `count` in blocks that fit the scratch space; `each` is how many bytes one takes."""
    step = max(1, SCRATCH // max(each, 1))
    return (np.arange(low, min(low + step, count)) for low in range(0, count, step))
