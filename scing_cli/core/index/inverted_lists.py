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
ROUNDS = 6  # of k-means; later ones hardly move the centroids


def used_lists(index: Any) -> list[int]:
    """Return the numbers of the lists that are not empty."""
    return [number for number in range(index.nlist) if index.invlists.list_size(number)]


def list_of(index: Any, number: int) -> tuple[IntArray, Vectors]:
    """Return views of the ids, shape (N,), and the vectors, shape (N, D), of a list that is not empty."""
    lists, size, width = index.invlists, index.invlists.list_size(number), index.d
    codes = faiss.rev_swig_ptr(lists.get_codes(number), size * width * 4)
    return faiss.rev_swig_ptr(lists.get_ids(number), size), codes.view(np.float32).reshape(size, width)


def centroids_of(vectors: Vectors, count: int) -> Vectors:
    """Return the centroids of vectors, by k-means on the unit sphere.

    faiss's own k-means takes three times as long, for centroids that are no nearer.

    Args:
        vectors: Shape (N, D), unit length; N is at least `count`.
        count: Number of centroids, K. One that no vector is nearest to stays as it is.

    Returns:
        Shape (K, D), unit length.
    """
    drawn = np.random.default_rng(0).choice(len(vectors), count, replace=False)
    centroids = np.array(vectors[np.sort(drawn)], np.float32)
    for _ in range(ROUNDS):
        lists = _nearest(centroids, vectors)
        sizes = np.bincount(lists, minlength=count)
        used = sizes > 0
        sums = np.add.reduceat(vectors[np.argsort(lists, kind="stable")], (np.cumsum(sizes) - sizes)[used], axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids[used] = np.where(lengths > 0, sums / np.maximum(lengths, np.finfo(np.float32).tiny), centroids[used])
    return centroids


def set_centroids(index: Any, centroids: Vectors) -> None:
    """Give an inverted file without centroids its own, one for each list."""
    index.quantizer.add(centroids)
    index.is_trained = True


def add_to_lists(index: Any, vectors: Vectors, ids: IntArray) -> None:
    """Add vectors to an inverted file, each to the list of its nearest centroid."""
    _add(index, vectors, ids, _nearest(_centroids(index), vectors))


def fill_lists(index: Any, ids: IntArray, take: Callable[[IntArray], Vectors]) -> None:
    """Add vectors piece by piece. They are read twice: lists that grow as they are filled take twice the memory.

    Args:
        index: An inverted file with centroids.
        ids: The ids of the vectors.
        take: Returns the vectors of some ids, shape (N, D).
    """
    centroids = _centroids(index)
    lists = np.concatenate([np.empty(0, np.int32), *(_nearest(centroids, take(some)) for some in pieces(ids, index.d))])
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
    set_centroids(target, _centroids(source))
    for number in used_lists(source):
        ids, vectors = list_of(source, number)
        stay = np.searchsorted(without, ids) == np.searchsorted(without, ids, side="right")
        kept, codes = ids[stay], vectors[stay].view(np.uint8)
        target.invlists.add_entries(number, len(kept), faiss.swig_ptr(kept), faiss.swig_ptr(codes))
        target.ntotal += len(kept)
    target.set_direct_map_type(faiss.DirectMap.Hashtable)


def _nearest(centroids: Vectors, vectors: Vectors) -> npt.NDArray[np.int32]:
    """Return the nearest centroid of each vector. faiss finds it in three times the time of a product of matrices."""
    step = max(1, PRODUCTS // len(centroids))
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
