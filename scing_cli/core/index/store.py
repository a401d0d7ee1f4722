"""What every kind of index can do with its vectors; `kinds.py` has the kinds.

N vectors, D width, Q queries.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import faiss
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Store(abc.ABC):
    """Vectors with ids, ascending.

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
        """Return a faiss index of this kind without vectors."""

    @classmethod
    @abc.abstractmethod
    def fits(cls, index: Any) -> bool:
        """Tell whether a faiss index is of this kind."""

    @abc.abstractmethod
    def ids(self) -> IntArray:
        """Return the ids, shape (N,), ascending."""

    @abc.abstractmethod
    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids, shape (N,), ascending, and the vectors, shape (N, D), maybe a view."""

    @abc.abstractmethod
    def effort(self) -> int:
        """Return how far a search looks: lists or candidates; 0 where it looks at all."""

    @abc.abstractmethod
    def look(self, effort: int) -> None:
        """Set how far a search looks; it is kept in the file."""

    @abc.abstractmethod
    def parameters(self, selector: Any) -> Any:
        """Return faiss's search parameters for some ids alone."""

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors under ids that are greater than all others; tell whether how far to look must be found anew."""
        self.index.add_with_ids(vectors, ids)
        return False

    def remove(self, ids: IntArray) -> bool:
        """Remove vectors; return whether how far to look must be found again."""
        self.index.remove_ids(ids)
        return False

    def vectors(self, ids: IntArray) -> Vectors:
        """Return some vectors, shape (M, D)."""
        known, vectors = self.stored()
        return vectors[np.searchsorted(known, ids)]

    def are_finite(self) -> bool:
        """Tell whether all vectors are finite numbers: then their sum is one, as unit vectors are small."""
        _, vectors = self.stored()
        return bool(np.isfinite(vectors.sum(dtype=np.float64)))

    def candidates(self, queries: Vectors, k: int, allowed: IntArray | None) -> tuple[Vectors, IntArray]:
        """Return faiss's own k best, scores and ids of shape (Q, k); -1 where it found fewer."""
        if allowed is None:
            scores, ids = self.index.search(queries, k)
        else:
            bits = np.zeros(int(allowed[-1]) + 1, dtype=bool)
            bits[allowed] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            scores, ids = self.index.search(queries, k, params=self.parameters(selector))
        return scores, ids
