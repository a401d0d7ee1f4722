"""Recall of an approximate index, and the tuning of its search effort.

Q queries, N vectors, D width.
"""

from __future__ import annotations

import numpy as np

from scing_cli.core.index.nearest import HALF_STEP, nearest
from scing_cli.core.index.store import Store, Vectors

BLOCK = 65536  # vectors compared at a time
RECALL_AT = 10
QUERIES = 200  # stored vectors that serve as queries
AIM = 0.95  # recall@10
EFFORTS = (16, 32, 64, 128, 256, 512)  # lists of an inverted file, candidates of a graph


def measured_recall(store: Store) -> float:
    """Return recall@10 compared with an exact search, with stored vectors as queries; 1 for a flat store."""
    if not store.approximate or not len(store.ids()):
        return 1.0
    return recall(store, *_sample(store))


def tune(store: Store) -> None:
    """Set the smallest effort at which recall@10 reaches 0.95 and every query finds itself. No effect on a flat store.

    If no effort is enough, the greatest one is set.
    """
    if not store.approximate or not len(store.ids()):
        return
    queries, truth = _sample(store)
    for effort in EFFORTS:
        store.set_effort(effort)
        enough = recall(store, queries, truth) >= AIM and recall(store, queries, truth[:, -1:]) == 1
        if enough or store.effort() < effort:
            return


def _sample(store: Store) -> tuple[Vectors, Vectors]:
    """Return stored vectors as queries, shape (Q, D), and the scores of their true nearest rows, shape (Q, k)."""
    vectors = store.stored()[1]
    random = np.random.default_rng(0)
    sample = np.sort(random.choice(len(vectors), min(len(vectors), QUERIES), replace=False))
    queries = np.array(vectors[sample])
    return queries, best_scores(vectors, queries, min(RECALL_AT, len(vectors)))


def best_scores(vectors: Vectors, queries: Vectors, k: int) -> Vectors:
    """Return each query's k best scores over all vectors, computed in float32: shape (Q, k), ascending."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for low in range(0, len(vectors), BLOCK):
        best = np.concatenate([best, queries @ vectors[low : low + BLOCK].T], axis=1)
        best = np.partition(best, best.shape[1] - k, axis=1)[:, -k:]
    return np.sort(best, axis=1)


def recall(store: Store, queries: Vectors, truth: Vectors) -> float:
    """Return the share of the true nearest rows that a store finds. A row of equal score counts as found.

    Args:
        store: The vectors.
        queries: Shape (Q, D), float32, unit length.
        truth: Scores of the k nearest rows, shape (Q, k), ascending.
    """
    error = 2.02 * queries.shape[1] * HALF_STEP  # the scores of both sides are rounded
    answers = nearest(store, queries, truth.shape[1])
    found = sum(int((scores >= own[0] - error).sum()) for (scores, _), own in zip(answers, truth, strict=True))
    return found / truth.size
