"""Sampling errors of rates of pairs: how far a rate may be off because the people are a random sample.

Pairs are not independent: all pairs of one person rise and fall together, whether the person is the query or in the
gallery. So the sampling unit is the identity of a query, not the pair and not the query. Each identity is left out in
turn, on both sides at once, and the spread of the remaining rates gives the error (delete-one jackknife; for a mean
over pairs of people, Arvesen 1969). Gallery rows of people without a query, such as distractors, are not resampled.

Q queries, N gallery rows, P identities of queries.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from scing_cli.core.evaluation.metrics import FloatArray, IntArray

FEWEST = 10  # identities; the spread of fewer is too uncertain
NORMAL = 1.959964  # 95 % of a normal distribution lie within


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A rate and its sampling error.

    Args:
        value: In [0, 1].
        error: The standard error; None with pairs of fewer than 10 identities, or where the value is 0 or 1, which
            has no spread to measure.
        low: The lower end of the 95 % interval, normal in the log-odds, so that it stays in (0, 1); or None.
        high: The upper end.
    """

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class People:
    """The identity of each query and each gallery row, as codes of the identities of queries.

    Args:
        queries: Shape (Q,): a code from 0 to P - 1; -1 where the identity is unknown.
        rows: Shape (N,): the same for gallery rows; -1 for people without a query.
        count: P.
    """

    queries: IntArray
    rows: IntArray
    count: int

    @classmethod
    def of(cls, query_identities: Sequence[str], gallery_identities: Sequence[str]) -> People:
        """Number the identities."""
        codes = {name: code for code, name in enumerate(dict.fromkeys(filter(None, query_identities)))}
        queries, rows = (
            np.array([codes.get(name, -1) for name in names], dtype=np.int64)
            for names in (query_identities, gallery_identities)
        )
        return cls(queries, rows, len(codes))

    def asking(self, counts: IntArray) -> IntArray:
        """Sum counts of queries, shape (..., Q), by identity: shape (..., P)."""
        return self._sum(self.queries, counts)

    def shown(self, counts: IntArray) -> IntArray:
        """Sum counts of gallery rows, shape (..., N), by identity: shape (..., P)."""
        return self._sum(self.rows, counts)

    def _sum(self, codes: IntArray, counts: IntArray) -> IntArray:
        sums = np.zeros((*counts.shape[:-1], self.count + 1), dtype=np.int64)
        np.add.at(sums.T, codes, counts.T)  # code -1: the last sum, which is dropped
        return sums[..., :-1]


def left_out(total: int, pairs: int, own: IntArray, own_pairs: IntArray) -> FloatArray:
    """Return the rate without each identity in turn.

    Args:
        total: Number of pairs that match.
        pairs: Number of all pairs.
        own: Shape (P,): matching pairs that each identity is in.
        own_pairs: Shape (P,): all pairs that each identity is in.

    Returns:
        Shape (P,); NaN where no pair remains. All NaN if fewer than 10 identities are in any pair.
    """
    if np.count_nonzero(own_pairs) < FEWEST:
        return np.full(len(own), math.nan)
    with np.errstate(invalid="ignore"):
        rates: FloatArray = (total - own) / (pairs - own_pairs)
    return rates


def estimate(value: float, without: FloatArray) -> Estimate:
    """Return a rate with its jackknife error.

    Args:
        value: In [0, 1].
        without: Shape (P,): the rate without each identity in turn.

    >>> round(estimate(0.5, np.array([0.4, 0.6] * 5)).error, 6)
    0.3
    """
    spread = (len(without) - 1) / max(len(without), 1) * float(((without - value) ** 2).sum())
    if not 0 < value < 1 or not spread > 0:  # NaN too
        return Estimate(value)
    error = math.sqrt(spread)
    middle, half = math.log(value / (1 - value)), NORMAL * error / (value * (1 - value))
    low, high = ((1 + math.tanh(end / 2)) / 2 for end in (middle - half, middle + half))
    return Estimate(value, error, low, high)
