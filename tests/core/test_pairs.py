"""Pair scores: the same bits wherever a pair lies."""

from __future__ import annotations

import doctest
import math

import numpy as np

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
