"""Nearest neighbours: faiss finds candidates, float64 pair scores order them.

Q queries, N vectors, D width. faiss's float32 scores depend on how many queries come together, and its order of equal
scores is arbitrary: both would show in an answer. So a few candidates more than k are fetched, scored pair by pair in
float64 and sorted by (score, id). Where a row that was not fetched could still belong among the k, as in a gallery
whose vectors are nearly equal, all rows that could are scored: an answer of a flat index is exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.store import Store
from scing_cli.core.pairs import pair_scores

Vectors = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SPARE = 16  # candidates beyond k
HALF_STEP = 2.0**-24  # of float32: a sum of D products of unit vectors is off by at most D times this, and a little


def nearest(
    store: Store, queries: Vectors, k: int, *, allowed: IntArray | None = None
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Yield each query's k best rows: scores clipped to [-1, 1], shape (k,), best first, and ids, shape (k,).

    Args:
        store: The vectors.
        queries: Shape (Q, D), float32, unit length, contiguous.
        k: At most the number of rows that may be found.
        allowed: The ids that may be found, ascending; all of them if None.
    """
    yield from (_approximate if store.approximate else _exact)(store, queries, k, allowed)


def _exact(store: Store, queries: Vectors, k: int, allowed: IntArray | None) -> Iterator[tuple[FloatArray, IntArray]]:
    ids, vectors = store.stored()
    places = np.arange(len(ids)) if allowed is None else np.searchsorted(ids, allowed)
    error = 1.01 * queries.shape[1] * HALF_STEP
    fetched = store.candidates(queries, min(k + SPARE, len(places)), allowed)
    for query, rough, found in zip(queries, *fetched, strict=True):
        here = np.searchsorted(ids, found)
        scores, order = _order(query, vectors[here], here, k)
        worst = scores[order[-1]]
        if len(here) < len(places) and rough[-1] + error >= worst:
            here = places[(vectors @ query)[places] + error >= worst]
            scores, order = _order(query, vectors[here], here, k)
        yield np.clip(scores[order], -1.0, 1.0), ids[here[order]]


def _approximate(
    store: Store, queries: Vectors, k: int, allowed: IntArray | None
) -> Iterator[tuple[FloatArray, IntArray]]:
    """As `_exact`, of the rows that faiss finds; where it finds fewer than k, all rows are compared."""
    _, fetched = store.candidates(queries, k + SPARE, allowed)
    everything: tuple[IntArray, Vectors] | None = None
    for query, row in zip(queries, fetched, strict=True):
        found = row[row >= 0]
        if len(found) < k:
            everything = everything or _allowed(store, allowed)
            found, own = everything
        else:
            own = store.vectors(found)
        scores, order = _order(query, own, found, k)
        yield np.clip(scores[order], -1.0, 1.0), found[order]


def _allowed(store: Store, allowed: IntArray | None) -> tuple[IntArray, Vectors]:
    ids, vectors = store.stored()
    return (ids, vectors) if allowed is None else (allowed, vectors[np.searchsorted(ids, allowed)])


def _order(query: Vectors, vectors: Vectors, ids: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """Return the pair scores of some rows, and the order of the k best of them; equal scores by id."""
    scores = pair_scores(query, vectors)
    return scores, np.lexsort((ids, -scores))[:k]
