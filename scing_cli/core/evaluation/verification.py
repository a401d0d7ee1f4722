"""Which score means "same person": false- and true-match rates over all pairs of queries and gallery.

What a pair is, `pair_blocks.py` says; what comes out, `rates.py`. Three or four passes over all pairs: one for the
histogram, one or two for the exact thresholds, one for the matches of each query and each gallery row at them.
Q queries, N gallery rows, D width, P identities that are asked for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from scing_cli.core.evaluation.metrics import BoolArray, FloatArray, IntArray
from scing_cli.core.evaluation.pair_blocks import Pairs
from scing_cli.core.evaluation.pair_counts import Matches, Tally, count_matches, tally
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.evaluation.ranking import GALLERY_BLOCK, checked_truth
from scing_cli.core.evaluation.rates import Curve, EqualError, Histogram, OperatingPoint, Verification
from scing_cli.core.evaluation.sampling import People, estimate, left_out
from scing_cli.core.evaluation.thresholds import Promise, Search, at_or_above, edge_scores, find_thresholds
from scing_cli.core.pairs import Rows
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

RATES = (1e-2, 1e-3, 1e-4)
FEWEST_MATCHES = 10  # false matches that a rate must stand for
NEARBY = 1.25  # slopes at the equal error rate are taken from so many times the rate to so small a part of it


def verify(  # noqa: PLR0917 - three pairs of queries and gallery
    query: Rows,
    gallery: Rows,
    query_identities: Sequence[str],
    gallery_identities: Sequence[str],
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    *,
    protocol: str,
    query_keys: Sequence[str] = (),
    gallery_keys: Sequence[str] = (),
    rates: Sequence[float] = RATES,
    block_size: int = 256,
    gallery_block_size: int = GALLERY_BLOCK,
    products: Products | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Verification:
    """Compare all pairs and find the thresholds of false-match rates.

    The counts are exact for scores as the matrix product gives them: within float32 rounding of the cosines. A rate is
    measured from as many different-identity pairs as let it stand for 10 false matches or more.

    Args:
        query: Shape (Q, D), float32, unit length.
        gallery: Shape (N, D), float32, unit length; may be memory-mapped.
        query_identities: Q texts; empty where unknown.
        gallery_identities: N texts; empty where unknown.
        query_cameras: Q texts; empty where unknown.
        gallery_cameras: N texts.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        query_keys: Q texts that say which image each query is; empty where unknown. Or none at all.
        gallery_keys: N texts.
        rates: False-match rates, in (0, 1).
        block_size: Queries in one matrix product.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None.
        reporter: Is told of the progress of each pass, in queries times gallery blocks.

    Raises:
        DataError: If the widths differ, a part is empty, a vector is not finite, or no query has a true match.
        ValueError: If vectors are not float32 or not of unit length, labels not as many as vectors, or a rate is not
            between 0 and 1.
        SettingError: If the protocol is unknown.
    """
    if not all(0 < rate < 1 for rate in rates):
        raise ValueError(f"rates {tuple(rates)} are not all between 0 and 1")
    _, truth = checked_truth(
        (query, query_identities, query_cameras, query_keys),
        (gallery, gallery_identities, gallery_cameras, gallery_keys),
        protocol,
    )
    pairs = Pairs(
        query,
        gallery,
        truth,
        query_identities=query_identities,
        gallery_identities=gallery_identities,
        blocks=(block_size, gallery_block_size),
        products=products or ArrayProducts(),
        reporter=reporter,
    )
    return _verified(pairs, People.of(query_identities, gallery_identities), rates)


def _verified(pairs: Pairs, people: People, rates: Sequence[float]) -> Verification:
    first = tally(pairs)
    total, same_total = int(first.different.sum()), int(first.same.sum())
    measured = [rate for rate in rates if total >= FEWEST_MATCHES / rate]
    promises = [*(_rate_kept(rate, total) for rate in measured), *([_equal(total, same_total)] if total else [])]
    different, same = at_or_above(first.different), at_or_above(first.same)
    searches = [Search.among(promise, different, same) for promise in promises]
    find_thresholds(searches, pairs.blocks)
    thresholds = [search.score for search in searches]
    at = _at_each(thresholds, first, count_matches(pairs, thresholds), people)
    points = dict(zip(measured, at, strict=False))
    curve = Curve(edge_scores().astype(np.float64), different / max(total, 1), same / same_total)
    return Verification(
        same_total,
        total,
        people.count,
        _histogram(first),
        curve,
        tuple(points[rate].point(rate) if rate in points else _too_few(rate, total) for rate in rates),
        at[-1].equal_error(curve) if total else None,
        first.true,
        first.wrong,
    )


def _rate_kept(rate: float, total: int) -> Promise:
    def kept(different: IntArray, same: IntArray) -> BoolArray:
        del same
        held: BoolArray = different / total <= rate
        return held

    return kept


def _equal(total: int, same_total: int) -> Promise:
    def kept(different: IntArray, same: IntArray) -> BoolArray:
        held: BoolArray = different / total <= (same_total - same) / same_total
        return held

    return kept


def _too_few(rate: float, total: int) -> OperatingPoint:
    needed = math.ceil(FEWEST_MATCHES / rate)
    reason = f"a false-match rate of {rate:g} needs {needed:,} different-identity pairs; there are {total:,}"
    return OperatingPoint(rate, reason=reason)


def _histogram(first: Tally) -> Histogram:
    same, different = (counts[:-1].copy() for counts in (first.same, first.different))
    same[-1] += first.same[-1]
    different[-1] += first.different[-1]
    return Histogram(edge_scores()[:-1].astype(np.float64), same, different)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _At:
    """Both rates at a threshold, as a whole and, shape (P,), without each identity in turn."""

    threshold: float
    false_matches: int
    true_matches: int
    false_match: float
    true_match: float
    false_without: FloatArray
    true_without: FloatArray

    def point(self, rate: float) -> OperatingPoint:
        return OperatingPoint(
            rate,
            self.threshold,
            estimate(self.false_match, self.false_without),
            estimate(self.true_match, self.true_without),
            self.false_matches,
            self.true_matches,
        )

    def equal_error(self, curve: Curve) -> EqualError:
        """Return the equal error rate.

        Where both shares are moved by chance, their crossing moves by a mean of the two, weighted by the slope of the
        other: a share that changes fast with the threshold says little about the rate at the crossing.
        """
        value = (self.false_match + 1 - self.true_match) / 2
        weight = _weight(value, curve)
        moved = weight * (self.false_without - self.false_match) - (1 - weight) * (self.true_without - self.true_match)
        return EqualError(estimate(value, value + moved), self.threshold)


def _weight(value: float, curve: Curve) -> float:
    """Return the weight of the false-match rate: slope of the share missed / sum of both slopes."""
    begin = np.flatnonzero(curve.false_match >= min(1, value * NEARBY))[-1]
    end = np.flatnonzero(curve.false_match <= value / NEARBY)[0]
    missed, matched = -np.diff(curve.true_match[[begin, end]])[0], -np.diff(curve.false_match[[begin, end]])[0]
    return float(missed / (missed + matched)) if matched else 0.5


def _at_each(thresholds: Sequence[float], first: Tally, matches: Matches, people: People) -> list[_At]:
    """Return the rates at each threshold; an identity's pairs are those it is in, on either side."""
    pairs, same_pairs = (int(counts.sum()) for counts in first.of_query)
    own_pairs = people.asking(first.of_query[0]) + people.shown(first.of_row)
    own_same = people.asking(first.of_query[1])
    found = []
    for threshold, (different, same), of_row in zip(thresholds, matches.of_query, matches.of_row, strict=True):
        count, same_count = int(different.sum()), int(same.sum())
        own = people.asking(different) + people.shown(of_row)
        without = (
            left_out(count, pairs, own, own_pairs),
            left_out(same_count, same_pairs, people.asking(same), own_same),
        )
        found.append(_At(threshold, count, same_count, count / pairs, same_count / same_pairs, *without))
    return found
