"""k-reciprocal re-ranking from its definition: sets, whole numbers and a dense N x N matrix, one pair at a time."""

from __future__ import annotations

import math

import numpy as np


def squared_distance(a: np.ndarray, b: np.ndarray) -> int:
    """|a - b|^2 in units of 2^-50, of components rounded to whole multiples of 2^-25; a Python number, so exact."""
    return sum((round(float(x) * 2**25) - round(float(y) * 2**25)) ** 2 for x, y in zip(a, b, strict=True))


def reranked_by_loops(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, lambda_: float) -> np.ndarray:
    """The distances of each query to each gallery row, shape (Q, G)."""
    points = [*query, *gallery]
    every = range(len(points))
    squares = [[squared_distance(a, b) for b in points] for a in points]
    order = [sorted(every, key=lambda j, i=i: (j != i, squares[i][j], j)) for i in every]
    distance = [[square / max(row) if max(row) else 0.0 for square in row] for row in squares]

    def near(i: int, k: int) -> list[int]:
        return order[i][: k + 1]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in near(i, k) if i in near(j, k)}

    half = int(np.around(k1 / 2))
    weights = np.zeros((len(points), len(points)))
    for i in every:
        own = reciprocal(i, k1)
        members = set(own)
        for j in own:
            theirs = reciprocal(j, half)
            if len(own & theirs) > 2 / 3 * len(theirs):
                members |= theirs
        for j in members:
            weights[i, j] = math.exp(-distance[i][j])
        weights[i] /= math.fsum(weights[i])
    weights = np.stack([weights[order[i][:k2]].mean(axis=0) for i in every])
    result = np.empty((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            other = len(query) + g
            smaller = np.minimum(weights[q], weights[other]).sum()
            jaccard = 1 - smaller / np.maximum(weights[q], weights[other]).sum()
            result[q, g] = (1 - lambda_) * jaccard + lambda_ * distance[q][other]
    return result
