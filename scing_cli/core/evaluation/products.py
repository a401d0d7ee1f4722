"""Where blocks of queries meet blocks of the gallery: on the CPU with numpy, or on another device with torch.

q queries, n gallery rows, D width.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Products(Protocol):
    """What multiplies."""

    kinds: tuple[npt.DTypeLike, ...]
    """What products are computed in: first the fast way, then ways to fall back on."""

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> Any:
        """Bring a block of the gallery, shape (n, D), to where it is multiplied."""

    def multiply(self, query: npt.NDArray[np.float32], block: Any) -> npt.NDArray[Any]:
        """Return the products of some queries, shape (q, D), with a block that `load` returned: shape (q, n)."""


class ArrayProducts:
    """On the CPU: in float32, and in float64 where that is too coarse."""

    kinds: tuple[npt.DTypeLike, ...] = (np.float32, np.float64)

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the rows as numbers of that kind."""
        return rows.astype(kind, copy=False)

    def multiply(self, query: npt.NDArray[np.float32], block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Multiply with the array library's own product."""
        products: npt.NDArray[Any] = query.astype(block.dtype, copy=False) @ block.T
        return products
