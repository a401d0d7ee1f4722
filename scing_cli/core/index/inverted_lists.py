"""The lists of an inverted file: read them where they lie, copy them, add to them.

N vectors, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.flat_file import pieces
from scing_cli.core.index.store import IntArray, Vectors, faiss

PRODUCTS = 1 << 23  # scores of vectors and centroids at a time


def used_lists(index: Any) -> list[int]:
    """Return the numbers of the lists that are not empty."""
    return [number for number in range(index.nlist) if index.invlists.list_size(number)]


def list_of(index: Any, number: int) -> tuple[IntArray, Vectors]:
    """Return views of the ids, shape (N,), and the vectors, shape (N, D), of a list that is not empty."""
    lists, size, width = index.invlists, index.invlists.list_size(number), index.d
    codes = faiss.rev_swig_ptr(lists.get_codes(number), size * width * 4)
    return faiss.rev_swig_ptr(lists.get_ids(number), size), codes.view(np.float32).reshape(size, width)


def add_to_lists(index: Any, vectors: Vectors, ids: IntArray) -> None:
    """Add vectors to an inverted file, each to the list of its nearest centroid."""
    _add(index, vectors, ids, _nearest(index, vectors))


def fill_lists(index: Any, ids: IntArray, take: Callable[[IntArray], Vectors]) -> None:
    """Add vectors piece by piece. They are read twice: lists that grow as they are filled take twice the memory.

    Args:
        index: An inverted file with centroids.
        ids: The ids of the vectors.
        take: Returns the vectors of some ids, shape (N, D).
    """
    lists = np.concatenate([np.empty(0, np.int32), *(_nearest(index, take(some)) for some in pieces(ids, index.d))])
    for number, added in enumerate(np.bincount(lists, minlength=index.nlist).tolist()):
        size = index.invlists.list_size(number)
        index.invlists.resize(number, size + added)
        index.invlists.resize(number, size)  # keeps its room
    done = 0
    for some in pieces(ids, index.d):
        _add(index, take(some), some, lists[done : done + len(some)])
        done += len(some)


def copy_lists(source: Any, target: Any, *, without: IntArray) -> None:
    """Copy centroids and lists into an inverted file that has as many lists and no centroids yet.

    Args:
        source: An inverted file with centroids; it may be mapped into memory.
        target: The other one.
        without: The ids that are not copied, ascending.
    """
    target.quantizer.add(_centroids(source))
    target.is_trained = True
    for number in used_lists(source):
        ids, vectors = list_of(source, number)
        stay = np.searchsorted(without, ids) == np.searchsorted(without, ids, side="right")
        kept, codes = ids[stay], vectors[stay].view(np.uint8)
        target.invlists.add_entries(number, len(kept), faiss.swig_ptr(kept), faiss.swig_ptr(codes))
        target.ntotal += len(kept)
    target.set_direct_map_type(faiss.DirectMap.Hashtable)


def _nearest(index: Any, vectors: Vectors) -> npt.NDArray[np.int32]:
    """Return the number of the list of each vector. faiss finds it in three times the time of a product of matrices."""
    centroids, step = _centroids(index), max(1, PRODUCTS // index.nlist)
    lists = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), step):
        some = np.ascontiguousarray(vectors[start : start + step], np.float32)
        lists[start : start + step] = (some @ centroids.T).argmax(axis=1)
    return lists


def _add(index: Any, vectors: Vectors, ids: IntArray, lists: npt.NDArray[np.int32]) -> None:
    own = np.ascontiguousarray(vectors, np.float32), ids.copy(), lists.astype(np.int64)
    index.add_core(len(ids), *map(faiss.swig_ptr, own))


def _centroids(index: Any) -> Vectors:
    """Return the centroids, one per list."""
    centroids: Vectors = faiss.downcast_index(index.quantizer).reconstruct_n(0, index.nlist)
    return centroids
