"""How many of the nearest rows an approximate index finds, and how far it must look to find enough.

Q queries, N vectors, D width.
"""

from __future__ import annotations

import numpy as np

from scing_cli.core.index.nearest import HALF_STEP, nearest
from scing_cli.core.index.store import Store, Vectors

BLOCK = 65536  # vectors
RECALL_AT = 10
QUERIES = 200
AIM = 0.95
EFFORTS = (16, 32, 64, 128, 256, 512)  # lists of an inverted file, candidates of a graph


def measured_recall(store: Store) -> float:
    """Return recall@10 against comparing with every vector, with vectors of its own as queries; 1 for a flat store."""
    if not store.approximate or not len(store.ids()):
        return 1.0
    return recall(store, *_sample(store))


def tune(store: Store) -> None:
    """Let searches look as far as recall@10 needs to reach 0.95, and each vector to find itself; a flat one does.

    A graph of tight clusters may have vectors that no walk finds: then it looks as far as it may.
    """
    if not store.approximate or not len(store.ids()):
        return
    queries, truth = _sample(store)
    for effort in EFFORTS:
        store.look(effort)
        enough = recall(store, queries, truth) >= AIM and recall(store, queries, truth[:, -1:]) == 1
        if enough or store.effort() < effort:
            return


def _sample(store: Store) -> tuple[Vectors, Vectors]:
    """Return some stored vectors, and the scores of their true nearest rows."""
    vectors = store.stored()[1]
    dice = np.random.default_rng(0)
    asked = np.sort(dice.choice(len(vectors), min(len(vectors), QUERIES), replace=False))
    queries = np.array(vectors[asked])
    return queries, best_scores(vectors, queries, min(RECALL_AT, len(vectors)))


def best_scores(vectors: Vectors, queries: Vectors, k: int) -> Vectors:
    """Return each query's k best products, shape (Q, k), ascending, by comparing with every vector in float32."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for low in range(0, len(vectors), BLOCK):
        best = np.concatenate([best, queries @ vectors[low : low + BLOCK].T], axis=1)
        best = np.partition(best, best.shape[1] - k, axis=1)[:, -k:]
    return np.sort(best, axis=1)


def recall(store: Store, queries: Vectors, truth: Vectors) -> float:
    """Return the share of the nearest rows that the store finds; a row of equal score is as good.

    Args:
        store: The vectors.
        queries: Shape (Q, D).
        truth: Shape (Q, k); see `best_scores`.
    """
    error = 2.02 * queries.shape[1] * HALF_STEP
    answers = nearest(store, queries, truth.shape[1])
    found = sum(int((scores >= own[0] - error).sum()) for (scores, _), own in zip(answers, truth, strict=True))
    return found / truth.size
