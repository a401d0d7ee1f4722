"""What faiss keeps the vectors in: one table of kinds, each with stable ids that are never another row's.

`flat` compares with every vector. `ivf` and `hnsw` compare with some, chosen beforehand: faster, and they may miss.
As measured: `IndexIDMap2` over an inverted file answers wrongly after `remove_ids`, so the inverted file keeps the ids
itself; a graph cannot remove at all, so it is built anew from the vectors it stores.

N vectors, D width, Q queries.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import faiss
import numpy as np

from scing_cli.core.errors import SettingError
from scing_cli.core.index.store import IntArray, Store, Vectors

FLAT_UPTO = 200_000  # vectors; beyond, `auto` takes an inverted file
LINKS = 32  # of each vector in a graph
CONSTRUCTION = 200  # candidates for the links of a new vector
PER_LIST = 39  # vectors that faiss wants for each list it learns
GROWTH = 2  # lists are learnt anew when so many times as many would fit


class FlatStore(Store):
    """Compares with every vector."""

    kind = "flat"
    approximate = False

    @classmethod
    def empty(cls, width: int) -> Any:
        """Return an empty id-mapped flat index."""
        return faiss.IndexIDMap2(faiss.IndexFlatIP(width))

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Tell whether it is an id-mapped flat inner-product index."""
        return _maps(index, faiss.IndexFlatIP)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids and a view of the vectors."""
        return self.ids(), _view(self.index.index)

    def ids(self) -> IntArray:
        """Return the ids."""
        ids: IntArray = faiss.vector_to_array(self.index.id_map)
        return ids

    def effort(self) -> int:
        """Return 0: it looks at all vectors."""
        return 0

    def look(self, effort: int) -> None:
        """Do nothing: it looks at all vectors."""

    def parameters(self, selector: Any) -> Any:
        """Return plain parameters."""
        return faiss.SearchParameters(sel=selector)


class InvertedStore(Store):
    """Compares with the vectors of the nearest lists."""

    kind = "ivf"

    @classmethod
    def empty(cls, width: int, lists: int = 1) -> Any:
        """Return an inverted file that is not trained."""
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1  # without a warning for few vectors
        return index

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Tell whether it is an inverted file of whole vectors, by inner product."""
        return isinstance(index, faiss.IndexIVFFlat) and _is_inner_product(index)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids and a copy of the vectors."""
        width = self.index.d
        unordered = self._unordered()
        order = np.argsort(unordered)
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        vectors, done = np.empty((len(order), width), np.float32), 0
        for number, size in self._lists():
            codes = faiss.rev_swig_ptr(self.index.invlists.get_codes(number), size * width * 4)
            vectors[places[done : done + size]] = codes.view(np.float32).reshape(size, width)
            done += size
        return unordered[order], vectors

    def ids(self) -> IntArray:
        """Return the ids."""
        return np.sort(self._unordered())

    def _lists(self) -> Iterator[tuple[int, int]]:
        """Yield each list that holds anything, with its size."""
        sizes = ((number, self.index.invlists.list_size(number)) for number in range(self.index.nlist))
        return ((number, size) for number, size in sizes if size)

    def _unordered(self) -> IntArray:
        """Return the ids, list after list."""
        lists = self.index.invlists
        own = [faiss.rev_swig_ptr(lists.get_ids(number), size).copy() for number, size in self._lists()]
        return np.concatenate([np.empty(0, np.int64), *own])

    def vectors(self, ids: IntArray) -> Vectors:
        """Return some vectors by the file's own map of ids."""
        found: Vectors = self.index.reconstruct_batch(ids)
        return found

    def are_finite(self) -> bool:
        """Tell whether all vectors are finite numbers, list after list, without a copy."""
        lists, width = self.index.invlists, self.index.d
        codes = (faiss.rev_swig_ptr(lists.get_codes(number), size * width * 4) for number, size in self._lists())
        return all(bool(np.isfinite(own.view(np.float32).sum(dtype=np.float64))) for own in codes)

    def effort(self) -> int:
        """Return how many lists are looked into."""
        return int(self.index.nprobe)

    def look(self, effort: int) -> None:
        """Set how many lists are looked into."""
        self.index.nprobe = min(effort, self.index.nlist)

    def parameters(self, selector: Any) -> Any:
        """Return the parameters of an inverted file."""
        return faiss.SearchParametersIVF(sel=selector, nprobe=self.index.nprobe)

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors; the lists are learnt from the first ones, and anew when there are many more."""
        wanted = _lists(self.index.ntotal + len(ids))
        anew = not self.index.is_trained or wanted >= GROWTH * self.index.nlist
        if anew:
            old_ids, old = self.stored()
            ids, vectors = np.concatenate([old_ids, ids]), np.concatenate([old, vectors])
            fresh = self.empty(self.index.d, wanted)
            fresh.train(vectors)
            fresh.set_direct_map_type(faiss.DirectMap.Hashtable)
            fresh.add_with_ids(vectors, ids)
            self.index = fresh
        else:
            self.index.add_with_ids(vectors, ids)
        return anew

    def remove(self, ids: IntArray) -> bool:
        """Remove vectors; the map of ids takes an array of them and no other selector."""
        self.index.remove_ids(faiss.IDSelectorArray(ids))
        return False


class GraphStore(Store):
    """Walks a graph of neighbours (HNSW)."""

    kind = "hnsw"

    @classmethod
    def empty(cls, width: int) -> Any:
        """Return an empty id-mapped graph."""
        graph = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = CONSTRUCTION
        return faiss.IndexIDMap2(graph)

    @classmethod
    def fits(cls, index: Any) -> bool:
        """Tell whether it is an id-mapped graph of whole vectors, by inner product."""
        return _maps(index, faiss.IndexHNSWFlat)

    def stored(self) -> tuple[IntArray, Vectors]:
        """Return the ids and a view of the vectors."""
        return self.ids(), _view(self._graph().storage)

    def ids(self) -> IntArray:
        """Return the ids."""
        ids: IntArray = faiss.vector_to_array(self.index.id_map)
        return ids

    def effort(self) -> int:
        """Return how many candidates a walk keeps."""
        return int(self._graph().hnsw.efSearch)

    def look(self, effort: int) -> None:
        """Set how many candidates a walk keeps."""
        self._graph().hnsw.efSearch = effort

    def parameters(self, selector: Any) -> Any:
        """Return the parameters of a graph."""
        return faiss.SearchParametersHNSW(sel=selector, efSearch=self.effort())

    def remove(self, ids: IntArray) -> bool:
        """Build a new graph of the vectors that stay; how far to look in it must be found again."""
        known, vectors = self.stored()
        kept = ~np.isin(known, ids)
        fresh = GraphStore(self.empty(self.index.d))
        fresh.look(self.effort())
        if kept.any():
            fresh.index.add_with_ids(vectors[kept], known[kept])
        self.index = fresh.index
        return True

    def add(self, vectors: Vectors, ids: IntArray) -> bool:
        """Add vectors; how far to look is found anew, which costs little beside the links."""
        self.index.add_with_ids(vectors, ids)
        return True

    def _graph(self) -> Any:
        return faiss.downcast_index(self.index.index)


KINDS: Mapping[str, type[Store]] = types.MappingProxyType(
    {store.kind: store for store in (FlatStore, InvertedStore, GraphStore)}
)


def choose_kind(name: str, count: int) -> str:
    """Return the kind of `auto`, `flat`, `ivf` or `hnsw` for so many vectors.

    Raises:
        SettingError: If the name is unknown.

    >>> choose_kind("auto", 15_913), choose_kind("auto", 1_000_000)
    ('flat', 'ivf')
    """
    if name != "auto" and name not in KINDS:
        raise SettingError(f"--index-type {name!r} is unknown.", f"Known: auto, {', '.join(KINDS)}.")
    return name if name != "auto" else FlatStore.kind if count <= FLAT_UPTO else InvertedStore.kind


def _lists(count: int) -> int:
    """Return into how many lists so many vectors are parted."""
    return max(1, min(int(4 * count**0.5), count // PER_LIST))


def _view(index: Any) -> Vectors:
    """Return the vectors of a flat index, shape (N, D), without a copy."""
    flat = faiss.downcast_index(index)
    vectors: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return vectors


def _maps(index: Any, kind: type) -> bool:
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap2) else None
    return isinstance(inner, kind) and _is_inner_product(index)


def _is_inner_product(index: Any) -> bool:
    return bool(index.metric_type == faiss.METRIC_INNER_PRODUCT)
