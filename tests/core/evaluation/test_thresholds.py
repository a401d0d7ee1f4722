"""The search for a threshold against every float32 number that could be one."""

from __future__ import annotations

import doctest
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scing_cli.core.evaluation import thresholds
from scing_cli.core.evaluation.pair_blocks import NO_PAIR
from scing_cli.core.evaluation.thresholds import (
    BINS,
    at_edges,
    at_or_above,
    count_scores,
    find_thresholds,
    keys_of,
    score_of,
)

COSINES = st.floats(-1, 1, width=32)


def counts_of(scores: np.ndarray) -> np.ndarray:
    counts = np.zeros(BINS, dtype=np.int64)
    count_scores(counts, scores)
    return counts


def test_the_examples_of_the_docstrings() -> None:
    result = doctest.testmod(thresholds)
    assert result.attempted > 0
    assert result.failed == 0


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 50), elements=COSINES))
def test_keys_are_in_the_order_of_the_scores(scores: np.ndarray) -> None:
    keys = keys_of(scores)
    assert (keys[:, None] < keys).tolist() == (scores[:, None] < scores).tolist()
    assert [score_of(int(key)) for key in keys] == scores.tolist()
    above = np.nextafter(scores, np.float32(2))
    assert (keys_of(above) - keys).tolist() == [1] * len(keys)


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(0, 50), elements=COSINES))
def test_an_edge_has_every_score_from_itself_on(scores: np.ndarray) -> None:
    counted = counts_of(np.append(scores, NO_PAIR))
    edges = thresholds.edge_scores()
    assert at_edges(at_or_above(counted)).tolist() == [int((scores >= edge).sum()) for edge in edges]


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=COSINES | st.floats(-(2.0**-100), 2.0**-100, width=32)),
    st.floats(0, 0.99),
    st.integers(1, 60),
)
def test_the_smallest_score_is_found_exactly(scores: np.ndarray, rate: float, size: int) -> None:
    def kept(different: int, same: int) -> bool:
        return different / len(scores) <= rate

    blocks = [
        SimpleNamespace(different=lambda part=part: np.append(part, NO_PAIR), same=part[:0])
        for part in np.split(scores, range(size, len(scores), size))
    ]
    above = at_or_above(np.stack([counts_of(np.append(scores, NO_PAIR)), counts_of(scores[:0])]))
    threshold = np.float32(find_thresholds([kept], above, lambda: blocks)[0])
    assert (scores >= threshold).mean() <= rate
    assert (scores >= np.nextafter(threshold, np.float32(-2))).mean() > rate


def test_without_a_promise_nothing_is_read() -> None:
    assert find_thresholds([], np.zeros((2, BINS), dtype=np.int64), lambda: pytest.fail("a pass over all pairs")) == []
