"""Pair scores: the same bits, whatever the position of a pair."""

from __future__ import annotations

import doctest
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core import pairs


def test_equal_pairs_give_equal_bits_wherever_they_lie() -> None:
    rng = np.random.default_rng(6)
    vector, row = rng.standard_normal((2, 515)).astype(np.float32)
    expected = pairs.pair_scores(vector, row[None])
    rows = np.repeat(row[None], 600, axis=0)
    for laid_out in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2], rows[::-1]):
        assert set(pairs.pair_scores(vector, laid_out).tolist()) == set(expected.tolist())


def test_they_are_inner_products() -> None:
    rng = np.random.default_rng(7)
    vector, rows = rng.standard_normal(40).astype(np.float32), rng.standard_normal((9, 40)).astype(np.float32)
    exact = [math.fsum(float(a) * float(b) for a, b in zip(vector, row, strict=True)) for row in rows]
    np.testing.assert_allclose(pairs.pair_scores(vector, rows), exact, rtol=0, atol=1e-14)
    assert pairs.pair_scores(vector, rows[:0]).shape == (0,)


def test_the_example_holds() -> None:
    assert doctest.testmod(pairs) == (0, 1)


@settings(deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(0, 600), width=st.sampled_from([1, 7, 64, 513]))
def test_pairs_of_rows_have_the_bits_that_each_has_alone(seed: int, count: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    left, right = (draw.standard_normal((number, width)).astype(np.float32) for number in (9, 40))
    first, second = draw.integers(0, 9, count), draw.integers(0, 40, count)
    expected = [
        pairs.pair_scores(left[one], right[other : other + 1])[0] for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_array_equal(pairs.paired_scores(left, first, right, second), np.array(expected).reshape(count))
