"""Inner products of single pairs in float64, to decide between near ties; every machine gives the same bits.

D width, M rows.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

CHUNK = 256  # rows; at 512 float64 numbers each, 1 MiB, which fits in a core's cache


class Rows(Protocol):
    """Vectors that can be read in parts, shape (N, D): an array, a memory-mapped array, or a similar object."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return the rows of a slice or of an array of row numbers, shape (M, D)."""


def pair_scores(vector: npt.NDArray[np.floating], rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the inner product of one vector with each row, each pair computed independently.

    Equal pairs give equal bits, whatever their row numbers and the other rows.

    Args:
        vector: Shape (D,).
        rows: Shape (M, D).

    Returns:
        Shape (M,), float64.

    >>> pair_scores(np.array([0.6, 0.8]), np.array([[1.0, 0.0], [0.6, 0.8]])).tolist()
    [0.6, 1.0]
    """
    wide = np.ascontiguousarray(vector, dtype=np.float64)
    scores = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), CHUNK):
        chunk = np.array(rows[start : start + CHUNK], dtype=np.float64, order="C")
        chunk *= wide
        # Not a matrix product, whose order of summation depends on all rows: numpy sums a contiguous row in an order
        # that depends only on D.
        scores[start : start + CHUNK] = chunk.sum(axis=1)
    return scores


def paired_scores(
    left: Rows, left_rows: npt.NDArray[np.int64], right: Rows, right_rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the inner products of pairs of rows, with the same bits as `pair_scores`.

    Args:
        left: Shape (A, D).
        left_rows: Shape (M,), row numbers in `left`.
        right: Shape (B, D); may be memory-mapped.
        right_rows: Shape (M,), row numbers in `right`.

    Returns:
        Shape (M,), float64.
    """
    scores = np.empty(len(left_rows), dtype=np.float64)
    for start in range(0, len(left_rows), CHUNK):
        part = slice(start, start + CHUNK)
        chunk = np.array(right[right_rows[part]], dtype=np.float64, order="C")
        chunk *= left[left_rows[part]]
        scores[part] = chunk.sum(axis=1)
    return scores
