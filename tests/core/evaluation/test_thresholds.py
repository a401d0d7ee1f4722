"""The search for a threshold against every float32 number that could be one."""

from __future__ import annotations

import doctest
import itertools
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scing_cli.core.evaluation import thresholds
from scing_cli.core.evaluation.thresholds import Search, at_or_above, bin_counts, find_thresholds, keys_of, score_of

COSINES = st.floats(-1, 1, width=32)


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
def test_bins_hold_their_lower_edge(scores: np.ndarray) -> None:
    padded = np.append(scores, np.float32(-2))  # no pair
    counts = bin_counts(padded)
    edges = thresholds.edge_scores()
    assert counts.tolist() == [
        int(((scores >= low) & (scores < high)).sum()) for low, high in itertools.pairwise(edges)
    ]
    assert at_or_above(counts).tolist() == [int((scores >= edge).sum()) for edge in edges]


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=COSINES | st.floats(-(2.0**-100), 2.0**-100, width=32)),
    st.floats(0, 0.99),
    st.integers(1, 60),
)
def test_the_smallest_score_is_found_exactly(scores: np.ndarray, rate: float, size: int) -> None:
    def kept(different: np.ndarray, same: np.ndarray) -> np.ndarray:
        return different / len(scores) <= rate

    blocks = [
        SimpleNamespace(different=lambda part=part: part, same=part[:0])
        for part in np.split(scores, range(size, len(scores), size))
    ]
    edges = at_or_above(bin_counts(scores))
    search = Search.among(kept, edges, 0 * edges)
    find_thresholds([search], lambda: blocks)
    threshold = np.float32(search.score)
    assert (scores >= threshold).mean() <= rate
    assert (scores >= np.nextafter(threshold, np.float32(-2))).mean() > rate
