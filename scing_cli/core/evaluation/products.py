"""Where blocks of queries meet blocks of the gallery: on the CPU with numpy, or on another device with torch.

q queries, n gallery rows, D width, M candidates.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.metrics import FloatArray, IntArray


class Products(Protocol):
    """Multiplies, and returns only what may stand above a true hit."""

    kinds: tuple[npt.DTypeLike, ...]
    """What products are computed in: first the fast way, then ways to fall back on."""

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> Any:
        """Bring a block of the gallery, shape (n, D), to where it is multiplied."""

    def candidates(
        self, query: npt.NDArray[np.float32], block: Any, masked: tuple[IntArray, IntArray], lowest: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Multiply and choose.

        Args:
            query: Shape (q, D).
            block: What `load` returned.
            masked: Queries and rows, pair by pair, that are no candidates.
            lowest: Shape (q,): each query's candidates have at least this product; rounded, it must not grow.

        Returns:
            The places in the product, query after query, shape (M,), and the products, float64.
        """


class ArrayProducts:
    """On the CPU: in float32, and in float64 where that is too coarse."""

    kinds: tuple[npt.DTypeLike, ...] = (np.float32, np.float64)

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the rows as numbers of that kind."""
        return rows.astype(kind, copy=False)

    def candidates(
        self,
        query: npt.NDArray[np.float32],
        block: npt.NDArray[Any],
        masked: tuple[IntArray, IntArray],
        lowest: FloatArray,
    ) -> tuple[IntArray, FloatArray]:
        """Multiply with the array library's own product."""
        products = query.astype(block.dtype, copy=False) @ block.T
        products[masked] = -np.inf
        floors = np.nextafter(lowest.astype(block.dtype), -np.inf)
        wanted = np.flatnonzero(products >= floors[:, None])
        return wanted, products.ravel()[wanted].astype(np.float64)
