"""The interface of the index types, and the exact one, `flat`; `kinds.py` has the others.

N vectors, D width, Q queries.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import DataError, share, spelled

Vectors = npt.NDArray[np.float32]
LENGTH_TOLERANCE = 1e-3
IntArray = npt.NDArray[np.int64]
BLOCK = 65536  # vectors compared at a time


class _FirstUse:
    """A module that is imported when one of its names is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


# reading a stamp, or refusing a command, does not need faiss
faiss: Any = _FirstUse("faiss")


class Store(abc.ABC):
    """Vectors in a faiss index, with ids in ascending order.

    Args:
        index: The faiss index.
    """

    kind: ClassVar[str]
    approximate: ClassVar[bool] = True
    recall: float | None = None  # as measured since the last change

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

    def blocks(self) -> Iterator[tuple[IntArray, Vectors]]:
        """Yield all ids and views of their vectors piece by piece, in any order."""
        ids, vectors = self.stored()
        return ((ids[low : low + BLOCK], vectors[low : low + BLOCK]) for low in range(0, len(ids), BLOCK))

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def ends(self) -> tuple[int, int]:
        """Return the least and the greatest id; without vectors 0 and -1."""
        ids = self.ids()
        return (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)

    def owned(self) -> Self:
        """Return a copy that can be changed; the vectors of a file that was mapped into memory cannot."""
        return type(self)(faiss.deserialize_index(faiss.serialize_index(self.index)))

    def without(self, ids: IntArray) -> tuple[Self, bool]:
        """Return a copy without some vectors, which can be changed, and whether its effort must be tuned."""
        fresh = self.owned()
        return fresh, fresh.remove(ids) if len(ids) else False

    def is_outgrown(self, count: int) -> bool:  # noqa: ARG002 - of an inverted file
        """Return whether a store of `count` vectors is made anew instead of adding to this one."""
        return False

    @abc.abstractmethod
    def effort(self) -> int:
        """Return the search effort, in lists or candidates; 0 for an exact search."""

    @abc.abstractmethod
    def set_effort(self, effort: int) -> None:
        """Set the search effort, in lists or candidates. It is written with the index."""

    @abc.abstractmethod
    def parameters(self, selector: Any, times: float) -> Any:
        """Return faiss's search parameters that select some ids, with so many times the search effort."""

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors under ids greater than all stored ones; return whether the effort must be tuned again."""
        self.index.add_with_ids(vectors, ids)
        return False

    def fill(self, ids: IntArray, take: Callable[[IntArray], Vectors]) -> bool:
        """Add vectors; return whether the effort must be tuned again.

        Args:
            ids: Their ids, ascending, greater than all stored ones.
            take: Returns the vectors of some ids, shape (M, D).
        """
        return self.add(take(ids), ids)

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

    def candidates(
        self, queries: Vectors, k: int, allowed: IntArray | None, times: float = 1
    ) -> tuple[Vectors, IntArray]:
        """Return the k best rows that faiss finds: scores and ids, shape (Q, k); id -1 where it finds fewer.

        Args:
            queries: Shape (Q, D).
            k: Number of rows.
            allowed: The ids that may be found, ascending; None for all.
            times: With `allowed`: so many times the search effort.
        """
        if allowed is None:
            scores, ids = self.index.search(queries, k)
        else:
            bits = np.zeros(int(allowed[-1]) + 1, dtype=bool)
            bits[allowed] = True
            selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            scores, ids = self.index.search(queries, k, params=self.parameters(selector, times))
        return scores, ids


class FlatStore(Store):
    """Exact search: compares a query with every vector."""

    kind = "flat"
    approximate = False

    @classmethod
    def empty(cls, width: int) -> Any:
        """Return an empty id-mapped flat index."""
        return faiss.IndexIDMap2(faiss.IndexFlatIP(width))

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Return whether a faiss index is a flat inner-product index in an id map."""
        return maps(index, faiss.IndexFlatIP)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return views of the ids and of the vectors."""
        return mapped_ids(self.index), vectors_of(self.index.index)

    def ids(self) -> IntArray:
        """Return the ids."""
        ids: IntArray = faiss.vector_to_array(self.index.id_map)
        return ids

    def ends(self) -> tuple[int, int]:
        """Return the least and the greatest id; without vectors 0 and -1."""
        ids = self.index.id_map
        return (ids.at(0), ids.at(len(self) - 1)) if len(self) else (0, -1)

    def effort(self) -> int:
        """Return 0: an exact search has no effort to set."""
        return 0

    def set_effort(self, effort: int) -> None:
        """Do nothing: an exact search has no effort to set."""

    def parameters(self, selector: Any, times: float) -> Any:  # noqa: ARG002 - an exact search has no effort
        """Return search parameters that select some ids."""
        return faiss.SearchParameters(sel=selector)


def mapped_ids(index: Any) -> IntArray:
    """Return the ids of an id map as a view, shape (N,)."""
    if not index.ntotal:
        return np.empty(0, np.int64)
    ids: IntArray = faiss.rev_swig_ptr(index.id_map.data(), index.ntotal)
    return ids


def vectors_of(index: Any) -> Vectors:
    """Return the vectors of a faiss flat index as a view, shape (N, D)."""
    flat = faiss.downcast_index(index)
    vectors: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return vectors


def maps(index: Any, kind: type) -> bool:
    """Return whether a faiss index is an id map around an inner-product index of a type."""
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else None
    return isinstance(inner, kind) and is_inner_product(index)


def is_inner_product(index: Any) -> bool:
    """Return whether a faiss index compares by inner product."""
    return bool(index.metric_type == faiss.METRIC_INNER_PRODUCT)


def check_unit(vectors: Vectors, names: Sequence[str]) -> None:
    """Check vectors before they are stored.

    Args:
        vectors: Shape (N, D).
        names: Names of their images, for messages.

    Raises:
        DataError: If one is not finite or not of unit length; the message names the first.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH_TOLERANCE))  # also where a length is NaN
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{share(len(wrong), len(vectors), 'vector', 'is', 'are')} not finite or not of unit length; "
            f"the first is of {spelled(names[first])} (length {lengths[first]:.4g}).",
            "A model whose training diverged gives such vectors: check its losses in metrics.jsonl.",
        )
