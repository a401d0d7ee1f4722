"""Where blocks of queries meet blocks of the gallery: on the CPU with numpy, or on another device with torch.

q queries, n gallery rows, D width, H true hits of these queries.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray

Scores = npt.NDArray[Any]
QUERY_BLOCK = 256  # queries in one matrix product
GALLERY_BLOCK = 16384  # rows; with 256 queries the block of products takes 16 MiB


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Between which products the score of each hit may lie, rounded outwards.

    Args:
        starts: Shape (q + 1,): where each query's hits begin.
        down: Shape (H,), descending in a query.
        up: Shape (H,), likewise.
    """

    starts: IntArray
    down: Scores
    up: Scores

    @classmethod
    def of(cls, starts: IntArray, scores: FloatArray, width: int, kind: npt.DTypeLike) -> Bounds:
        """Return the bounds of hits whose products are computed in some kind of number."""
        error = 1.01 * (width + 2) * float(np.finfo(kind).eps) / 2 + 1e-12
        down, up = (bound.astype(kind) for bound in (scores - error, scores + error))
        return cls(starts, np.nextafter(down, -np.inf), np.nextafter(up, np.inf))

    def of_query(self, number: int) -> Bounds:
        """Return one query's."""
        hits = slice(self.starts[number], self.starts[number + 1])
        return Bounds(np.array([0, hits.stop - hits.start]), self.down[hits], self.up[hits])

    def near(self, products: Scores) -> npt.NDArray[np.bool_]:
        """Return which products lie between the bounds of any hit; of one query."""
        begun = np.searchsorted(self.down[::-1], products, side="right")
        ended = np.searchsorted(self.up[::-1], products, side="left")
        between: npt.NDArray[np.bool_] = begun > ended
        return between


class Met(Protocol):
    """The products of q queries with n rows, in the memory of the device that computed them."""

    def leave_out(self, queries: IntArray, rows: IntArray) -> None:
        """Put the products of some pairs below all others."""

    def count(self, mark: Any) -> tuple[IntArray, IntArray]:
        """Count each hit's rows by bounds that `Products.mark` returned.

        Returns:
            Shape (H,) each: the rows whose product is above the upper bound; those that reach the lower one.
        """

    def row(self, number: int) -> Scores:
        """Return the products of one query, shape (n,)."""


class Products(Protocol):
    """What multiplies."""

    kinds: tuple[npt.DTypeLike, ...]
    """What products are computed in: first the fast way, then ways to fall back on."""

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> Any:
        """Bring a block of the gallery, shape (n, D), to where it is multiplied."""

    def mark(self, bounds: Bounds) -> Any:
        """Bring the bounds of q queries' hits to where they are compared with products."""

    def meet(self, query: npt.NDArray[np.float32], block: Any) -> Met:
        """Multiply some queries, shape (q, D), with a block that `load` returned."""

    def multiply(self, query: npt.NDArray[np.float32], block: Any) -> Scores:
        """Return the products themselves, shape (q, n)."""


class ArrayMet:
    """Products that lie in an array.

    Args:
        products: Shape (q, n).
    """

    def __init__(self, products: Scores) -> None:
        self.products = products

    def leave_out(self, queries: IntArray, rows: IntArray) -> None:
        """Put the products of some pairs below all others."""
        self.products[queries, rows] = -np.inf

    def count(self, mark: Bounds) -> tuple[IntArray, IntArray]:
        """Sort the products of each query that reach its last hit, and look the bounds up in them."""
        above, upto = np.zeros((2, len(mark.down)), dtype=np.int64)
        starts = mark.starts.tolist()
        for row, begin, end in zip(self.products, starts[:-1], starts[1:], strict=True):
            if begin == end:
                continue
            candidates = row[row >= mark.down[end - 1]]  # the others are below every hit
            if not len(candidates):
                continue
            candidates.sort()
            above[begin:end] = len(candidates) - candidates.searchsorted(mark.up[begin:end], side="right")
            upto[begin:end] = len(candidates) - candidates.searchsorted(mark.down[begin:end], side="left")
        return above, upto

    def row(self, number: int) -> Scores:
        """Return the products of one query, shape (n,)."""
        row: Scores = self.products[number]
        return row


class ArrayProducts:
    """On the CPU: in float32, and in float64 where that is too coarse."""

    kinds: tuple[npt.DTypeLike, ...] = (np.float32, np.float64)

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the rows as numbers of that kind."""
        return rows.astype(kind, copy=False)

    def mark(self, bounds: Bounds) -> Bounds:
        """Return the bounds."""
        return bounds

    def meet(self, query: npt.NDArray[np.float32], block: npt.NDArray[Any]) -> ArrayMet:
        """Multiply, and keep the products."""
        return ArrayMet(self.multiply(query, block))

    def multiply(self, query: npt.NDArray[np.float32], block: npt.NDArray[Any]) -> Scores:
        """Multiply with the array library's own product."""
        products: Scores = query.astype(block.dtype, copy=False) @ block.T
        return products
