"""Nearest neighbours in blocks: without rounding, with ties in order of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.reranking import squared_distance

from scing_cli.core.evaluation.device import DeviceProducts
from scing_cli.core.evaluation.neighbours import Neighbours, Points, find_neighbours
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.runtime import Silent


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def near_vectors(count: int, width: int, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal(width) + spread * rng.standard_normal((count, width)))


def found(points: Points, count: int, blocks: tuple[int, int]) -> Neighbours:
    with Silent().progress("", 0) as advance:
        return find_neighbours(points, count, blocks=blocks, advance=advance)


@pytest.mark.parametrize("products", [ArrayProducts(), DeviceProducts(torch.device("cpu"))], ids=["numpy", "torch"])
@pytest.mark.parametrize("spread", [10.0, 1e-3, 1e-7], ids=lambda spread: f"spread {spread}")
def test_distances_are_whole_numbers_of_steps_to_the_last_bit(products: Products, spread: float) -> None:
    """Of 1,280 numbers: any rounding on the way to a sum would show against Python's whole numbers."""
    points = Points.of((near_vectors(5, 1280, spread, 1), near_vectors(4, 1280, spread, 2)), products)
    every = slice(0, 9)
    expected = [[squared_distance(a, b) for b in points.vectors] for a in points.vectors]
    assert (points.between(every, every) * 2.0**50).astype(object).tolist() == expected
    rows, columns = np.divmod(np.arange(81), 9)
    np.testing.assert_array_equal(points.of_pairs(rows, columns), points.between(every, every).ravel())


def test_rounding_moves_a_number_by_half_a_step_at_most() -> None:
    vectors = near_vectors(50, 64, 10.0, 3)
    rounded = Points.of((vectors[:20], vectors[20:]), ArrayProducts()).vectors
    assert np.abs(rounded.astype(np.float64) - vectors).max() <= 2.0**-26
    assert np.unique(np.abs(rounded.astype(np.float64) * 2**25) % 1).tolist() == [0]


@settings(deadline=None, max_examples=60)
@given(
    pool=st.integers(1, 12),
    rows=st.integers(1, 30),
    count=st.integers(1, 35),
    blocks=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    seed=st.integers(0, 10**6),
)
def test_neighbours_are_those_of_a_sorted_list(
    pool: int, rows: int, count: int, blocks: tuple[int, int], seed: int
) -> None:
    """Few distinct points: duplicates and equal distances everywhere."""
    rng = np.random.default_rng(seed)
    vectors = unit(rng.integers(-1, 2, (pool, 3)) + np.array([0, 0, 1.5]))[rng.integers(0, pool, rows)]
    points = Points.of((vectors,), ArrayProducts())
    squares = [[squared_distance(a, b) for b in vectors] for a in vectors]
    own = found(points, count, blocks)
    assert own.places.tolist() == [
        sorted(range(rows), key=lambda j, i=i: (j != i, squares[i][j], j))[:count] for i in range(rows)
    ]
    assert (own.farthest * 2.0**50).tolist() == [max(row) for row in squares]
