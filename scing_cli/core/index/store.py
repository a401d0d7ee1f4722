"""The interface of the index types in `kinds.py`.

N vectors, D width, Q queries.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.faiss_library import faiss

Vectors = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Store(abc.ABC):
    """Vectors in a faiss index, with ids in ascending order.

    Args:
        index: The faiss index.
    """

    kind: ClassVar[str]
    approximate: ClassVar[bool] = True

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    @abc.abstractmethod
    def empty(cls, width: int) -> Any:
        """Return a faiss index of this type without vectors."""

    @classmethod
    @abc.abstractmethod
    def fits(cls, index: Any) -> bool:
        """Return whether a faiss index is of this type."""

    @abc.abstractmethod
    def ids(self) -> IntArray:
        """Return the ids, shape (N,), ascending."""

    @abc.abstractmethod
    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids, shape (N,), ascending, and the vectors, shape (N, D), which may be a view."""

    @abc.abstractmethod
    def effort(self) -> int:
        """Return the search effort, in lists or candidates; 0 for an exact search."""

    @abc.abstractmethod
    def set_effort(self, effort: int) -> None:
        """Set the search effort, in lists or candidates. It is written with the index."""

    @abc.abstractmethod
    def parameters(self, selector: Any) -> Any:
        """Return faiss's search parameters that select some ids."""

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors under ids greater than all stored ones; return whether the effort must be tuned again."""
        self.index.add_with_ids(vectors, ids)
        return False

    def remove(self, ids: IntArray) -> bool:
        """Remove vectors; return whether the effort must be tuned again."""
        self.index.remove_ids(ids)
        return False

    def vectors(self, ids: IntArray) -> Vectors:
        """Return the vectors of M ids, shape (M, D)."""
        known, vectors = self.stored()
        return vectors[np.searchsorted(known, ids)]

    def are_finite(self) -> bool:
        """Return whether all vectors are finite."""
        _, vectors = self.stored()
        # Unit vectors cannot overflow the sum: it is finite exactly if all of them are.
        return bool(np.isfinite(vectors.sum(dtype=np.float64)))

    def candidates(self, queries: Vectors, k: int, allowed: IntArray | None) -> tuple[Vectors, IntArray]:
        """Return the k best rows that faiss finds: scores and ids, shape (Q, k); id -1 where it finds fewer."""
        if allowed is None:
            scores, ids = self.index.search(queries, k)
        else:
            bits = np.zeros(int(allowed[-1]) + 1, dtype=bool)
            bits[allowed] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            scores, ids = self.index.search(queries, k, params=self.parameters(selector))
        return scores, ids
