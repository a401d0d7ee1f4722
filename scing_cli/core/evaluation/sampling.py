"""How far a rate of pairs may be off because the people were drawn by chance.

Pairs are not independent: all pairs of one person rise and fall together, whether the person is the query or stands in
the gallery. So the unit is the identity that is asked for, not the pair and not the query: it is left out on both sides
at once, and the spread of what remains is the error (the delete-one jackknife; for a mean over pairs of people, Arvesen
1969). Gallery rows of nobody who is asked for, such as distractors, are taken as given. P identities, N gallery rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from scing_cli.core.evaluation.metrics import FloatArray, IntArray

FEWEST = 10  # identities; the spread of fewer says little
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

    def summary(self) -> dict[str, float | None]:
        """Return the figures, ready for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class People:
    """Whose query each query is, and whose image each gallery row, among the identities that are asked for.

    Args:
        queries: Shape (Q,): a code from 0 to P - 1; -1 where the identity is unknown.
        rows: Shape (N,): the same of gallery rows; -1 for nobody who is asked for.
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
        """Sum counts of queries, shape (Q,), by identity: shape (P,)."""
        return self._sum(self.queries, counts)

    def shown(self, counts: IntArray) -> IntArray:
        """Sum counts of gallery rows, shape (N,), by identity: shape (P,)."""
        return self._sum(self.rows, counts)

    def _sum(self, codes: IntArray, counts: IntArray) -> IntArray:
        sums = np.zeros(self.count + 1, dtype=np.int64)
        np.add.at(sums, codes, counts)  # -1: the last
        return sums[:-1]


def left_out(total: int, pairs: int, own: IntArray, own_pairs: IntArray) -> FloatArray:
    """Return the rate without each identity in turn.

    Args:
        total: Pairs that count.
        pairs: All pairs.
        own: Shape (P,): pairs that count and that an identity is in.
        own_pairs: Shape (P,): all pairs that it is in.

    Returns:
        Shape (P,); NaN where no pair is left, or where fewer than 10 identities are in any.
    """
    if np.count_nonzero(own_pairs) < FEWEST:
        return np.full(len(own), math.nan)
    with np.errstate(invalid="ignore"):
        rates: FloatArray = (total - own) / (pairs - own_pairs)
    return rates


def estimate(value: float, without: FloatArray) -> Estimate:
    """Return a rate with the error that its values without each identity in turn give it.

    Args:
        value: In [0, 1].
        without: Shape (P,).

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
