"""Exact nearest neighbours: faiss finds candidates, float64 pair scores order them.

Q queries, N vectors, D width. faiss's float32 scores depend on how many queries come together, and its order of equal
scores is arbitrary: both would show in an answer. So a few candidates more than k are fetched, scored pair by pair in
float64 and sorted by (score, id). Where a row that was not fetched could still belong among the k, as in a gallery
whose vectors are nearly equal, all rows that could are scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from scing_cli.core.pairs import pair_scores

Vectors = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SPARE = 16  # candidates beyond k
HALF_STEP = 2.0**-24  # of float32: a sum of D products of unit vectors is off by at most D times this, and a little


def stored(index: Any) -> tuple[IntArray, Vectors]:
    """Return the ids, shape (N,), ascending, and a view of the vectors, shape (N, D), of an id-mapped flat index."""
    flat = faiss.downcast_index(index.index)
    ids: IntArray = faiss.vector_to_array(index.id_map)
    vectors: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return ids, vectors


def nearest(
    index: Any, queries: Vectors, k: int, *, allowed: IntArray | None = None
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Yield each query's k best rows: scores clipped to [-1, 1], shape (k,), best first, and ids, shape (k,).

    Args:
        index: An `IndexIDMap2` over an `IndexFlatIP`, ids ascending.
        queries: Shape (Q, D), float32, unit length, contiguous.
        k: At most the number of rows that may be found.
        allowed: The ids that may be found, ascending; all of them if None.
    """
    ids, vectors = stored(index)
    places = np.arange(len(ids)) if allowed is None else np.searchsorted(ids, allowed)
    error = 1.01 * queries.shape[1] * HALF_STEP
    fetched = _candidates(index, queries, min(k + SPARE, len(places)), allowed)
    for query, rough, found in zip(queries, *fetched, strict=True):
        here = np.searchsorted(ids, found)
        scores, order = _order(query, vectors, here, k)
        worst = scores[order[-1]]
        if len(here) < len(places) and rough[-1] + error >= worst:
            here = places[(vectors @ query)[places] + error >= worst]
            scores, order = _order(query, vectors, here, k)
        yield np.clip(scores[order], -1.0, 1.0), ids[here[order]]


def _order(query: Vectors, vectors: Vectors, places: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """Return the pair scores of some rows, and the order of the k best of them; equal scores by id."""
    scores = pair_scores(query, vectors[places])
    return scores, np.lexsort((places, -scores))[:k]


def _candidates(index: Any, queries: Vectors, k: int, allowed: IntArray | None) -> tuple[Vectors, IntArray]:
    """Return faiss's own k best, scores and ids of shape (Q, k)."""
    if allowed is None:
        scores, ids = index.search(queries, k)
    else:
        bits = np.zeros(int(allowed[-1]) + 1, dtype=bool)
        bits[allowed] = True
        selector = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
        scores, ids = index.search(queries, k, params=faiss.SearchParameters(sel=selector))
    return scores, ids
