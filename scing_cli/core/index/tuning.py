"""Recall of an approximate index, and the tuning of its search effort.

Two kinds of queries measure the recall, and the worse of the two counts. A stored row, without itself among the hits,
is as close to the gallery as a further photo of what it shows. A random mixture of rows, with their mean and their
covariance, is close to none of them, as a photo of something new: an inverted file that finds the nearest rows of the
first kind in few lists may miss those of the second.

Q queries, N vectors, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scing_cli.core.index.nearest import HALF_STEP, nearest
from scing_cli.core.index.store import BLOCK, IntArray, Store, Vectors

RECALL_AT = 10
QUERIES = 200  # of each kind
MIXED = 2048  # rows of which the mixtures are made
AIM = 0.95  # recall@10
EFFORTS = tuple(2**power for power in range(4, 13))  # lists of an inverted file, candidates of a graph
NO_ROW = -1


class Found(NamedTuple):
    """What a store finds.

    Args:
        recall: Share of the true nearest rows, of the kind of queries for which it is smaller.
        themselves: Whether every row is found with its own vector.
    """

    recall: float
    themselves: bool


class Trial:
    """Queries with their true nearest rows.

    Args:
        store: The vectors.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        random, ids = np.random.default_rng(0), store.ids()
        drawn = functools.partial(random.choice, ids, replace=False)
        own = np.sort(drawn(min(len(ids), QUERIES)))
        rows, mixed = store.vectors(own), store.vectors(np.sort(drawn(min(len(ids), MIXED))))
        self.queries = np.concatenate([rows, mixtures(mixed, len(own), random)])
        self.own = np.concatenate([own, np.full(len(own), NO_ROW)])
        self.truth = best_scores(store, self.queries, self.own, min(RECALL_AT, len(ids) - 1))

    def run(self) -> Found:
        """Search with every query. A row of equal score counts as found."""
        k, error = self.truth.shape[1], 2.02 * self.queries.shape[1] * HALF_STEP  # the scores of both sides are rounded
        shares, themselves = [], True
        answers = nearest(self._store, self.queries, k + 1)
        for query, number, truth, (scores, ids) in zip(self.queries, self.own, self.truth, answers, strict=True):
            others = scores[ids != number][:k]
            shares.append(float((others >= truth[0] - error).sum()) / k if k else 1.0)
            themselves &= number == NO_ROW or bool(scores[0] >= query @ query - error)
        half = len(shares) // 2
        return Found(min(float(np.mean(shares[:half])), float(np.mean(shares[half:]))), themselves)


def measured_recall(store: Store) -> float:
    """Return recall@10 compared with an exact search, for the worse kind of queries; 1 for a flat store."""
    if not store.approximate or not len(store):
        return 1.0
    if store.recall is None:
        store.recall = Trial(store).run().recall
    return store.recall


def tune(store: Store) -> None:
    """Set the smallest effort at which recall@10 reaches 0.95 and every query finds itself. No effect on a flat store.

    If no effort is enough, the greatest one is set.
    """
    if not store.approximate or not len(store):
        return
    trial = Trial(store)
    for effort in EFFORTS:
        store.set_effort(effort)
        found = trial.run()
        store.recall = found.recall
        if (found.recall >= AIM and found.themselves) or store.effort() < effort:
            return


def mixtures(vectors: Vectors, count: int, random: np.random.Generator) -> Vectors:
    """Return random unit vectors, shape (Q, D), that have the mean and the covariance of some vectors.

    Args:
        vectors: Shape (N, D), unit length.
        count: Q, at most N.
        random: Draws them.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    mixed = mean + random.standard_normal((count, len(vectors))) @ (vectors - mean) / len(vectors) ** 0.5
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    unit = np.where(lengths > 0, mixed / np.where(lengths > 0, lengths, 1), vectors[:count])
    return np.ascontiguousarray(unit, dtype=np.float32)


def best_scores(store: Store, queries: Vectors, own: IntArray, k: int) -> Vectors:
    """Return each query's k best scores over all vectors, computed in float32: shape (Q, k), ascending.

    Args:
        store: The vectors; they are read piece by piece.
        queries: Shape (Q, D).
        own: The id of the row that is the query, which does not count; -1 for none.
        k: Number of scores; less than N.
    """
    best = np.full((len(queries), k), -np.inf, np.float32)
    for ids, vectors in _joined(store.blocks()):
        some = _scores(queries, own, ids, vectors, k)
        best = np.sort(np.concatenate([best, some], axis=1), axis=1)[:, some.shape[1] :]
    return best


def _scores(queries: Vectors, own: IntArray, ids: IntArray, vectors: Vectors, k: int) -> Vectors:
    """Return each query's k best scores over a block, in any order, or all if there are fewer."""
    scores = queries @ vectors.T
    scores[ids == own[:, None]] = -np.inf
    if 0 < k < len(ids):
        scores.partition(len(ids) - k, axis=1)
        return scores[:, len(ids) - k :].copy()  # not a view of all of them
    return scores


def _joined(blocks: Iterator[tuple[IntArray, Vectors]]) -> Iterator[tuple[IntArray, Vectors]]:
    """Yield small blocks together: a comparison of few vectors costs as much as one of many."""
    some: list[tuple[IntArray, Vectors]] = []
    for block in blocks:
        some.append(block)
        if sum(len(ids) for ids, _ in some) >= BLOCK:
            yield _together(some)
            some = []
    if some:
        yield _together(some)


def _together(blocks: Sequence[tuple[IntArray, Vectors]]) -> tuple[IntArray, Vectors]:
    return np.concatenate([ids for ids, _ in blocks]), np.concatenate([vectors for _, vectors in blocks])
