"""The centroids of an inverted file, against k-means by its definition and against faiss's own."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from scing_cli.core.index.inverted_lists import ROUNDS, centroids_of


def around(count: int, centres: int, width: int, seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    found = dice.standard_normal((centres, width))[dice.integers(0, centres, count)]
    found = found + dice.standard_normal((count, width)) / 2
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def by_definition(vectors: np.ndarray, count: int) -> np.ndarray:
    drawn = sorted(np.random.default_rng(0).choice(len(vectors), count, replace=False))
    centroids = [vectors[place].astype(np.float64) for place in drawn]
    for _ in range(ROUNDS):
        members: list[list[np.ndarray]] = [[] for _ in centroids]
        for vector in vectors.astype(np.float64):
            members[int(np.argmax([vector @ centroid for centroid in centroids]))].append(vector)
        for number, own in enumerate(members):
            if own:
                centroids[number] = np.sum(own, axis=0) / np.linalg.norm(np.sum(own, axis=0))
    return np.array(centroids)


def nearness(vectors: np.ndarray, centroids: np.ndarray) -> float:
    return float((vectors @ centroids.T).max(axis=1).mean())


@pytest.mark.parametrize("count", [1, 3, 20])
def test_they_are_those_of_k_means(count):
    vectors = around(200, 6, 8, seed=count)
    found = centroids_of(vectors, count)
    np.testing.assert_allclose(found, by_definition(vectors, count), atol=1e-5)
    assert found.dtype == np.float32
    assert np.array_equal(found, centroids_of(vectors, count))


def test_they_are_as_near_as_those_of_faiss():
    vectors = around(8000, 400, 64, seed=0)
    usual = faiss.IndexIVFFlat(faiss.IndexFlatIP(64), 64, 200, faiss.METRIC_INNER_PRODUCT)
    usual.cp.niter = ROUNDS
    usual.train(vectors)
    theirs = nearness(vectors, usual.quantizer.reconstruct_n(0, 200))
    assert nearness(vectors, centroids_of(vectors, 200)) > 0.99 * theirs


def test_equal_and_opposite_vectors_leave_no_centroid_without_a_direction():
    same = np.repeat(around(1, 1, 8, seed=1), 50, axis=0)
    for vectors in (same, np.concatenate([same, -same])):
        assert np.allclose(np.linalg.norm(centroids_of(vectors, 3), axis=1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(centroids_of(np.concatenate([same, -same]), 1), axis=1), 1, atol=1e-6)
