"""Nearest neighbours: faiss finds candidates, float64 pair scores order them.

Q queries, N vectors, D width. faiss's float32 scores depend on the number of queries in a batch, and its order of equal
scores is arbitrary. To return reproducible hits, this module fetches some more candidates than k, scores them pair by
pair in float64 and sorts them by (score, id). If a row that was not fetched could still be among the k best, as in a
gallery of nearly equal vectors, all such rows are scored as well: the hits of a flat index are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.flat_file import pieces
from scing_cli.core.index.store import Store
from scing_cli.core.pairs import pair_scores

Vectors = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SPARE = 16  # candidates beyond k
FEW = 4096  # allowed rows of an approximate index that are all compared: that costs as much as to search for them
HALF_STEP = 2.0**-24  # unit roundoff of float32: an inner product of unit vectors is off by little more than D times it


def nearest(
    store: Store, queries: Vectors, k: int, *, allowed: IntArray | None = None
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Yield each query's k best rows: scores clipped to [-1, 1], shape (k,), best first, and ids, shape (k,).

    Args:
        store: The vectors.
        queries: Shape (Q, D), float32, unit length, contiguous.
        k: Number of hits; at most the number of allowed rows.
        allowed: The ids that may be returned, ascending; None for all.
    """
    yield from (_approximate if store.approximate else _exact)(store, queries, k, allowed)


def _exact(store: Store, queries: Vectors, k: int, allowed: IntArray | None) -> Iterator[tuple[FloatArray, IntArray]]:
    ids, vectors = store.stored()
    positions = None if allowed is None else np.searchsorted(ids, allowed)
    there = len(ids) if positions is None else len(positions)
    error = 1.01 * queries.shape[1] * HALF_STEP  # bound of a float32 score's error
    fetched = store.candidates(queries, min(k + SPARE, there), allowed)
    for query, rough, found in zip(queries, *fetched, strict=True):
        candidates = np.searchsorted(ids, found)
        scores, order = _order(query, vectors[candidates], candidates, k)
        worst = scores[order[-1]]
        # The last candidate's score is the highest that any other row can have.
        if len(candidates) < there and rough[-1] + error >= worst:
            rival = vectors @ query + error >= worst
            candidates = np.flatnonzero(rival) if positions is None else positions[rival[positions]]
            scores, order = _order(query, vectors[candidates], candidates, k)
        yield np.clip(scores[order], -1.0, 1.0), ids[candidates[order]]


def _approximate(
    store: Store, queries: Vectors, k: int, allowed: IntArray | None
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Rank the rows that faiss finds for each query, or all allowed rows if they are few or it finds fewer than k.

    The nearest allowed rows are farther away than the nearest of all: faiss looks as far as it must to meet as many
    allowed rows as it would meet rows without a filter.
    """
    if allowed is not None and len(allowed) <= FEW:
        yield from ((np.clip(scores, -1.0, 1.0), ids) for scores, ids in _compared(store, queries, k, allowed))
        return
    times = 1 if allowed is None else len(store) / len(allowed)
    _, fetched = store.candidates(queries, k + SPARE, allowed, times)
    short = np.flatnonzero(np.count_nonzero(fetched >= 0, axis=1) < k)  # -1 marks a missing hit
    compared = iter(_compared(store, queries[short], k, allowed))
    for query, row in zip(queries, fetched, strict=True):
        found = row[row >= 0]
        if len(found) < k:
            scores, found = next(compared)
        else:
            scores, order = _order(query, store.vectors(found), found, k)
            scores, found = scores[order], found[order]
        yield np.clip(scores, -1.0, 1.0), found


def _compared(store: Store, queries: Vectors, k: int, allowed: IntArray | None) -> list[tuple[FloatArray, IntArray]]:
    """Return each query's k best of all allowed rows: scores and ids. The vectors are read piece by piece."""
    best = [(np.empty(0), np.empty(0, np.int64))] * len(queries)
    if not len(queries):
        return best
    for ids in pieces(store.ids() if allowed is None else allowed, queries.shape[1]):
        vectors = store.vectors(ids)
        for number, query in enumerate(queries):
            scores = np.concatenate([best[number][0], pair_scores(query, vectors)])
            found = np.concatenate([best[number][1], ids])
            # sorted now and then: to sort for each piece would take long where k is large
            best[number] = _best(scores, found, k) if len(found) > 2 * k else (scores, found)
    return [_best(*each, k) for each in best]


def _best(scores: FloatArray, ids: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """Return the k best scores and their ids, equal scores by id."""
    order = np.lexsort((ids, -scores))[:k]
    return scores[order], ids[order]


def _order(query: Vectors, vectors: Vectors, ids: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """Return the pair scores of M rows, shape (M,), and the positions of the k best, equal scores by id."""
    scores = pair_scores(query, vectors)
    return scores, np.lexsort((ids, -scores))[:k]
