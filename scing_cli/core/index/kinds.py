"""The approximate index types, `ivf` and `hnsw`, and the table of all types; all have stable ids.

`flat` (`store.py`) compares a query with every vector and is exact. `ivf` and `hnsw` compare it with some of the
vectors: they are faster.

N vectors, D width, Q queries.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from scing_cli.core.errors import SettingError
from scing_cli.core.index.graph_links import connect
from scing_cli.core.index.inverted_lists import (
    add_to_lists,
    centroids_of,
    copy_lists,
    fill_lists,
    list_of,
    set_centroids,
    used_lists,
)
from scing_cli.core.index.store import (
    FlatStore,
    IntArray,
    Store,
    Vectors,
    faiss,
    is_inner_product,
    mapped_ids,
    maps,
    vectors_of,
)

FLAT_UPTO = 200_000 * 512 * 4  # bytes of vectors; `auto` chooses an inverted file for more
LINKS = 32  # neighbours of each vector in the graph (M of HNSW)
CONSTRUCTION = 200  # candidates for the neighbours of a new vector (efConstruction)
PER_LIST = 39  # vectors per list: the fewest that faiss trains with unwarned
TRAINED = PER_LIST  # vectors per list that train the centroids; more hardly move them
GROWTH = 2  # retrain the inverted lists once the index should have this many times as many


class InvertedStore(Store):
    """Inverted file: compares a query with the vectors of the lists whose centroids are nearest."""

    # The inverted file stores the ids itself: an `IndexIDMap2` around it gives wrong hits after `remove_ids`.
    kind = "ivf"
    _ends: tuple[int, int] | None = None  # once they were looked for

    @classmethod
    def empty(cls, width: int, lists: int = 1) -> Any:
        """Return an inverted file without vectors and without trained centroids."""
        return faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Return whether a faiss index is an inverted file of uncompressed vectors, by inner product."""
        return isinstance(index, faiss.IndexIVFFlat) and is_inner_product(index)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids and a copy of the vectors."""
        width = self.index.d
        unordered = self._unordered()
        order = np.argsort(unordered)
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        vectors, done = np.empty((len(order), width), np.float32), 0
        for _, own in self.blocks():
            vectors[places[done : done + len(own)]] = own
            done += len(own)
        return unordered[order], vectors

    def blocks(self) -> Iterator[tuple[IntArray, Vectors]]:
        """Yield the ids and a view of the vectors of each list."""
        return (list_of(self.index, number) for number in used_lists(self.index))

    def ids(self) -> IntArray:
        """Return the ids."""
        return np.sort(self._unordered())

    def ends(self) -> tuple[int, int]:
        """Return the least and the greatest id; without vectors 0 and -1."""
        if self._ends is None:
            every = [(int(ids.min()), int(ids.max())) for ids, _ in self.blocks()]
            self._ends = (min(least for least, _ in every), max(most for _, most in every)) if every else (0, -1)
        return self._ends

    def _unordered(self) -> IntArray:
        """Return the ids in the order of the lists."""
        return np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in self.blocks())])

    def vectors(self, ids: IntArray) -> Vectors:
        """Return the vectors of M ids, shape (M, D), found by the inverted file's map of ids."""
        found: Vectors = self.index.reconstruct_batch(ids)
        return found

    def are_finite(self) -> bool:
        """Return whether all vectors are finite. Reads list by list, without a copy."""
        return all(bool(np.isfinite(own.sum(dtype=np.float64))) for _, own in self.blocks())

    def effort(self) -> int:
        """Return how many lists a search reads (nprobe)."""
        return int(self.index.nprobe)

    def set_effort(self, effort: int) -> None:
        """Set how many lists a search reads (nprobe); at most all of them."""
        self.index.nprobe = min(effort, self.index.nlist)

    def parameters(self, selector: Any, times: float) -> Any:
        """Return search parameters that select some ids, with so many times the effort."""
        return faiss.SearchParametersIVF(sel=selector, nprobe=min(self.index.nlist, math.ceil(self.effort() * times)))

    def is_outgrown(self, count: int) -> bool:
        """Return whether the centroids are to be trained again, or were never trained."""
        return not self.index.is_trained or _lists(count) >= GROWTH * self.index.nlist

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors. The first ones train the centroids, which are trained again after strong growth."""
        self.recall = self._ends = None
        outgrown = self.is_outgrown(len(self) + len(ids))
        if outgrown:
            fresh = InvertedStore(self.empty(self.index.d))

            def take(some: IntArray) -> Vectors:
                old, new = np.split(some, [np.searchsorted(some, ids[0])])
                return np.concatenate([self.vectors(old), vectors[np.searchsorted(ids, new)]])

            fresh.fill(np.concatenate([self.ids(), ids]), take)
            self.index = fresh.index
        else:
            add_to_lists(self.index, vectors, ids)
        return outgrown

    def fill(self, ids: IntArray, take: Callable[[IntArray], Vectors]) -> bool:
        """Add vectors piece by piece. A sample of the first ones trains the centroids."""
        index, untrained = self.index, not self.index.is_trained
        if untrained:
            lists = _lists(len(ids))
            index = self.empty(index.d, lists)
            set_centroids(index, centroids_of(take(ids[_sample(len(ids), TRAINED * lists)]), lists))
            index.set_direct_map_type(faiss.DirectMap.Hashtable)
        fill_lists(index, ids, take)
        self.index, self.recall, self._ends = index, None, None
        return untrained

    def without(self, ids: IntArray) -> tuple[InvertedStore, bool]:
        """Return a copy without some vectors, which can be changed, and False. Copies list by list."""
        index = self.empty(self.index.d, self.index.nlist)
        index.nprobe = self.index.nprobe
        copy_lists(self.index, index, without=ids)
        return InvertedStore(index), False

    def remove(self, ids: IntArray) -> bool:
        """Remove vectors; the map of ids takes an array of them and no other selector."""
        self.recall = self._ends = None
        self.index.remove_ids(faiss.IDSelectorArray(ids))
        return False


class GraphStore(Store):
    """HNSW: walks a graph of nearest neighbours."""

    # faiss cannot remove vectors from a graph, so `remove` builds a new one.
    kind = "hnsw"

    @classmethod
    def empty(cls, width: int) -> Any:
        """Return an empty graph in an id map."""
        graph = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = CONSTRUCTION
        return faiss.IndexIDMap2(graph)

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Return whether a faiss index is a graph of uncompressed vectors in an id map, by inner product."""
        return maps(index, faiss.IndexHNSWFlat)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return views of the ids and of the vectors."""
        return mapped_ids(self.index), vectors_of(self._graph().storage)

    def ids(self) -> IntArray:
        """Return the ids."""
        ids: IntArray = faiss.vector_to_array(self.index.id_map)
        return ids

    def ends(self) -> tuple[int, int]:
        """Return the least and the greatest id; without vectors 0 and -1."""
        ids = self.index.id_map
        return (ids.at(0), ids.at(len(self) - 1)) if len(self) else (0, -1)

    def effort(self) -> int:
        """Return how many candidates a search keeps (efSearch)."""
        return int(self._graph().hnsw.efSearch)

    def set_effort(self, effort: int) -> None:
        """Set how many candidates a search keeps (efSearch)."""
        self._graph().hnsw.efSearch = effort

    def parameters(self, selector: Any, times: float) -> Any:
        """Return search parameters that select some ids, with so many times the effort."""
        return faiss.SearchParametersHNSW(sel=selector, efSearch=min(len(self), math.ceil(self.effort() * times)))

    def without(self, ids: IntArray) -> tuple[GraphStore, bool]:
        """Return a copy without some vectors; if one is gone, it is a new graph, whose effort must be tuned."""
        if not len(ids):
            return self.owned(), False
        fresh = GraphStore(self.index)
        return fresh, fresh.remove(ids)

    def remove(self, ids: IntArray) -> bool:
        """Build a new graph of the remaining vectors; its effort must be tuned again."""
        known, vectors = self.ids(), self.stored()[1]
        kept = ~np.isin(known, ids)
        fresh = GraphStore(self.empty(self.index.d))
        fresh.set_effort(self.effort())
        if kept.any():
            fresh.add(vectors[kept], known[kept])
        self.index = fresh.index
        return True

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors, and links where a vector has no path. The effort must be tuned again, which costs little."""
        self.index.add_with_ids(vectors, ids)
        connect(self._graph(), self.stored()[1])
        return True

    def _graph(self) -> Any:
        return faiss.downcast_index(self.index.index)


KINDS: Mapping[str, type[Store]] = types.MappingProxyType(
    {store.kind: store for store in (FlatStore, InvertedStore, GraphStore)}
)


def choose_kind(name: str, count: int, width: int) -> str:
    """Return the index type for a name and a number of vectors.

    An exact search reads all vectors, so its time is that of their bytes: measured on two cores, a query takes a sixth
    of a second where `auto` leaves it.

    Args:
        name: `auto`, `flat`, `ivf` or `hnsw`.
        count: Number of vectors.
        width: D, the width of the vectors.

    Raises:
        SettingError: If the name is unknown.

    >>> choose_kind("auto", 1_000_000, 64), choose_kind("auto", 1_000_000, 512)
    ('flat', 'ivf')
    """
    if name != "auto" and name not in KINDS:
        raise SettingError(f"--index-type {name!r} is unknown.", f"Known: auto, {', '.join(KINDS)}.")
    if name != "auto":
        return name
    return FlatStore.kind if 4 * count * width <= FLAT_UPTO else InvertedStore.kind


def _lists(count: int) -> int:
    """Return the number of inverted lists for a number of vectors."""
    return max(1, min(int(2 * count**0.5), count // PER_LIST))


def _sample(count: int, wanted: int) -> Any:
    """Return which of N vectors train the centroids: all, or as many as are wanted, drawn at random."""
    if count <= wanted:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))
