"""Which score means "same person": false- and true-match rates over all pairs of queries and gallery.

`pair_blocks.py` defines the pairs, `rates.py` the results. There are three passes over all pairs: for the histogram,
for the exact thresholds, and for the matches of each query and each gallery row at these thresholds.
Q queries, N gallery rows, D width, T thresholds, P identities of queries.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.pair_blocks import Pairs
from scing_cli.core.evaluation.pair_counts import count_matches, tally
from scing_cli.core.evaluation.products import GALLERY_BLOCK, QUERY_BLOCK, ArrayProducts, Products
from scing_cli.core.evaluation.rates import Curve, EqualError, Histogram, OperatingPoint, Verification
from scing_cli.core.evaluation.sampling import Estimate, People, estimate, left_out
from scing_cli.core.evaluation.side import Side, check_sides
from scing_cli.core.evaluation.thresholds import Promise, at_edges, at_or_above, edge_scores, find_thresholds
from scing_cli.core.evaluation.truth import checked_truth
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

RATES = (1e-2, 1e-3, 1e-4)
FEWEST_MATCHES = 10  # expected false matches; a rate with fewer is not measured
NEARBY = 1.25  # slopes at the equal error rate are taken from so many times the rate to so small a part of it


def verify(
    query: Side,
    gallery: Side,
    *,
    protocol: str,
    rates: Sequence[float] = RATES,
    block_size: int = QUERY_BLOCK,
    gallery_block_size: int = GALLERY_BLOCK,
    products: Products | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Verification:
    """Compare all pairs and find the thresholds of false-match rates.

    The counts are exact for scores as the matrix product gives them: within float32 rounding of the cosines. A rate is
    measured only if it allows at least 10 false matches.

    Args:
        query: Q queries.
        gallery: N gallery rows.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        rates: False-match rates, in (0, 1).
        block_size: Queries in one matrix product.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None.
        reporter: Where the progress of each pass goes, in queries times gallery blocks.

    Raises:
        DataError: If the widths differ, a side is empty, a vector is not finite, or no query has a true match.
        ValueError: If vectors are not float32 or not of unit length, if the numbers of labels and of vectors differ,
            or if a rate is not between 0 and 1.
        SettingError: If the protocol is unknown.
    """
    if not all(0 < rate < 1 for rate in rates):
        raise ValueError(f"rates {tuple(rates)} are not all between 0 and 1")
    check_sides(query, gallery)
    _, truth = checked_truth(query, gallery, protocol)
    blocks = (block_size, gallery_block_size)
    products = products or ArrayProducts()
    pairs = Pairs(query, gallery, truth, blocks=blocks, products=products, reporter=reporter)
    return _verified(pairs, People.of(query.identities, gallery.identities), rates)


def _verified(pairs: Pairs, people: People, rates: Sequence[float]) -> Verification:
    first = tally(pairs)
    above = at_or_above(first.counts)
    different, same = at_edges(above[0]), at_edges(above[1])
    total, same_total = int(different[0]), int(same[0])
    measured = [rate for rate in rates if total >= FEWEST_MATCHES / rate]
    limits = [*measured, None] if total else []
    thresholds = find_thresholds([_promise(limit, total, same_total) for limit in limits], above, pairs.blocks)
    at = _rates_at(thresholds, pairs, people)
    points = dict(zip(measured, at, strict=False))
    curve = Curve(edge_scores().astype(np.float64), different / max(total, 1), same / same_total)
    return Verification(
        same_total,
        total,
        people.count,
        Histogram(curve.thresholds[:-1], _between(same), _between(different)),
        curve,
        tuple(points[rate].point(rate) if rate in points else _too_few(rate, total) for rate in rates),
        at[-1].equal_error(curve) if total else None,
        first.true,
        first.wrong,
    )


def _promise(limit: float | None, total: int, same_total: int) -> Promise:
    """Return the promise of a false-match rate of at most `limit`; if None, of at most the share of pairs missed."""

    def keeps(different: int, same: int) -> bool:
        missed = (same_total - same) / same_total
        return different / total <= (missed if limit is None else limit)

    return keeps


def _too_few(rate: float, total: int) -> OperatingPoint:
    needed = math.ceil(FEWEST_MATCHES / rate)
    reason = f"a false-match rate of {rate:g} needs {needed:,} different-identity pairs; there are {total:,}"
    return OperatingPoint(rate, reason=reason)


def _between(above: IntArray) -> IntArray:
    """Return the pairs in each bin of the histogram from those at or above its edges; the last bin holds 1 too."""
    inside: IntArray = above[:-2] - np.append(above[1:-2], 0)
    return inside


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The share of pairs of one kind that match.

    Args:
        matches: How many match.
        value: The share.
        without: Shape (P,): the share without each identity in turn.
    """

    matches: int
    value: float
    without: FloatArray

    def estimate(self) -> Estimate:
        return estimate(self.value, self.without)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _RatesAt:
    """Both rates at a threshold."""

    threshold: float
    false: _Share
    true: _Share

    def point(self, rate: float) -> OperatingPoint:
        false, true = self.false, self.true
        return OperatingPoint(rate, self.threshold, false.estimate(), true.estimate(), false.matches, true.matches)

    def equal_error(self, curve: Curve) -> EqualError:
        """Return the equal error rate.

        Where both shares are moved by chance, their crossing moves by a mean of the two, weighted by the slope of the
        other: a share that changes fast with the threshold says little about the rate at the crossing.
        """
        false, true = self.false, self.true
        value = (false.value + 1 - true.value) / 2
        weight = _weight(value, curve)
        moved = weight * (false.without - false.value) - (1 - weight) * (true.without - true.value)
        return EqualError(estimate(value, value + moved), self.threshold)


def _weight(value: float, curve: Curve) -> float:
    """Return the weight of the false-match rate: slope of the share missed / sum of both slopes."""
    begin = np.flatnonzero(curve.false_match >= min(1, value * NEARBY))[-1]
    end = np.flatnonzero(curve.false_match <= value / NEARBY)[0]
    missed, matched = -np.diff(curve.true_match[[begin, end]])[0], -np.diff(curve.false_match[[begin, end]])[0]
    return float(missed / (missed + matched)) if matched else 0.5


def _rates_at(thresholds: Sequence[float], pairs: Pairs, people: People) -> list[_RatesAt]:
    """Return both rates at each threshold; an identity's pairs are those it is in, on either side."""
    if not thresholds:
        return []
    of_query, of_row = count_matches(pairs, [-1.0, *thresholds])  # all pairs score at least -1
    own = people.asking(of_query)  # (1 + T, 2, P)
    own[:, 0] += people.shown(of_row)
    pairs_of, *counts = of_query.sum(axis=-1).tolist()  # different- and same-identity pairs
    return [
        _RatesAt(
            threshold,
            *(
                _Share(count, count / total, left_out(count, total, part, whole))
                for count, total, part, whole in zip(matches, pairs_of, parts, own[0], strict=True)
            ),
        )
        for threshold, matches, parts in zip(thresholds, counts, own[1:], strict=True)
    ]
