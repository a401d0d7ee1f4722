"""The measures: doctests, and the definitions on small lists."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.errors import NoTruthError
from scing_cli.core.evaluation import average_precision, cmc_curve, inverse_negative_penalty


@pytest.mark.parametrize("name", ["cost", "metrics", "protocol", "truth"])
def test_the_examples_in_the_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"scing_cli.core.evaluation.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_average_precision_is_the_mean_precision_at_the_hits(matches: list[bool]) -> None:
    precisions = [sum(matches[:rank]) / rank for rank in range(1, len(matches) + 1) if matches[rank - 1]]
    assert average_precision(np.array(matches)) == pytest.approx(sum(precisions) / len(precisions), abs=1e-12)
    last = max(rank for rank, match in enumerate(matches, start=1) if match)
    assert inverse_negative_penalty(np.array(matches)) == pytest.approx(sum(matches) / last, abs=1e-12)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_cmc_counts_queries_found_by_rank_k(first: list[int]) -> None:
    curve = cmc_curve(np.array(first), 50)
    assert curve.tolist() == [sum(rank <= k for rank in first) / len(first) for k in range(1, 51)]


def test_nothing_that_matches_is_no_number() -> None:
    with pytest.raises(NoTruthError, match="Nothing in the ranking matches"):
        average_precision(np.array([False, False]))
    with pytest.raises(NoTruthError):
        inverse_negative_penalty(np.array([], dtype=bool))
    with pytest.raises(NoTruthError):
        cmc_curve(np.array([], dtype=np.int64), 5)
