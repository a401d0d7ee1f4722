"""Sampling errors where they are known in closed form."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from scing_cli.core.evaluation import sampling
from scing_cli.core.evaluation.sampling import Estimate, People, estimate, left_out


def test_the_examples_of_the_docstrings() -> None:
    result = doctest.testmod(sampling)
    assert result.attempted > 0
    assert result.failed == 0


def test_one_pair_of_each_identity_has_the_error_of_a_share() -> None:
    matches = np.array([1] * 30 + [0] * 70)
    found = estimate(0.3, left_out(30, 100, matches, np.ones(100, dtype=np.int64)))
    assert found.error == pytest.approx(math.sqrt(0.3 * 0.7 / 99))
    assert found.low == pytest.approx(0.2181, abs=1e-4)  # log-odds -0.8473, error 0.2193
    assert found.high == pytest.approx(0.3972, abs=1e-4)


def test_pairs_that_repeat_each_other_make_no_error_smaller() -> None:
    matches = np.array([1] * 30 + [0] * 70)
    once = estimate(0.3, left_out(30, 100, matches, np.ones(100, dtype=np.int64)))
    often = estimate(0.3, left_out(300, 1000, 10 * matches, np.full(100, 10)))
    assert often == once


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_rate_without_spread_has_no_error(value: float) -> None:
    assert estimate(value, np.full(20, value)) == Estimate(value)


def test_one_identity_in_every_pair_leaves_no_error() -> None:
    without = left_out(5, 20, np.array([5, *[1] * 19]), np.array([20, *[1] * 19]))
    assert np.isnan(without[0])
    assert estimate(0.25, without) == Estimate(0.25)


def test_nobody_who_is_asked_for_and_nobody_known_have_no_sum() -> None:
    people = People.of(["b", "", "a", "b"], ["a", "0000", "", "b", "b"])
    assert people.count == 2
    assert people.asking(np.array([1, 2, 4, 8])).tolist() == [9, 4]
    assert people.shown(np.array([1, 2, 4, 8, 16])).tolist() == [24, 1]
