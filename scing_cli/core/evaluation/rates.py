"""Results of a verification: scores of both kinds of pairs, and the rates at which they match.

A pair matches at a threshold t if its score is at least t. The false-match rate is the share of different-identity
pairs that match, the true-match rate that of same-identity pairs. Scores are cosines in [-1, 1] as float32, rates are
shares in [0, 1]. B bins.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.pair_counts import BestHits
from scing_cli.core.evaluation.sampling import Estimate


def four_digits(threshold: float) -> str:
    """Return a threshold with four digits, rounded up so that no more pairs match.

    >>> four_digits(0.58104485)
    '0.5811'
    """
    return f"{math.ceil(threshold * 1e4) / 1e4:.4f}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many pairs have which score, exactly.

    Args:
        edges: Shape (B + 1,): from -1 to 1; a bin holds its lower edge, the last one 1 too.
        same: Shape (B,), int64: same-identity pairs.
        different: Shape (B,), int64: different-identity pairs.
    """

    edges: FloatArray
    same: IntArray
    different: IntArray

    def rebinned(self, bins: int) -> Histogram:
        """Return the histogram with fewer bins.

        Raises:
            ValueError: If their number does not divide B.
        """
        if bins < 1 or len(self.same) % bins:
            raise ValueError(f"{len(self.same)} bins cannot be made {bins}")
        same, different = (counts.reshape(bins, -1).sum(axis=1) for counts in (self.same, self.different))
        return Histogram(self.edges[:: len(self.same) // bins], same, different)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The ROC curve at the histogram's edges and just above 1; each point is exact. Shape (B + 2,) each.

    Args:
        thresholds: Ascending.
        false_match: Descending to 0; from 1, or all 0 without different-identity pairs.
        true_match: Descending from 1 to 0.
    """

    thresholds: FloatArray
    false_match: FloatArray
    true_match: FloatArray

    def summary(self) -> dict[str, list[float]]:
        """Return lists, ready for JSON."""
        return {name: getattr(self, name).tolist() for name in ("thresholds", "false_match", "true_match")}


@dataclasses.dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The threshold of a false-match rate: the smallest float32 score at which the rate is at most the requested one.

    The errors are those of the rates that other people would have at this very threshold.

    Args:
        rate: The requested false-match rate.
        threshold: A pair that scores as much or more matches. None if there are too few pairs to measure the rate.
        false_match: The rate measured there; less than `rate` by less than one pair, or by those that are tied.
        true_match: The rate measured there.
        false_matches: How many different-identity pairs match.
        true_matches: How many same-identity pairs match.
        reason: Why there is no threshold; empty where there is one.
    """

    rate: float
    threshold: float | None = None
    false_match: Estimate | None = None
    true_match: Estimate | None = None
    false_matches: int | None = None
    true_matches: int | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class EqualError:
    """Where the share of different-identity pairs that match is that of same-identity pairs that do not.

    Args:
        rate: The equal error rate: the mean of both shares at the threshold.
        threshold: The smallest float32 score at which the former share is no greater than the latter.
    """

    rate: Estimate
    threshold: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """The result of `verify`.

    Args:
        same_pairs: How many same-identity pairs there are.
        different_pairs: How many different-identity pairs.
        identities: Number of identities of queries; they are the unit of all sampling errors.
        histogram: Scores of both kinds of pairs, 4,096 bins.
        curve: The ROC curve.
        points: One for each requested false-match rate.
        equal_error: None without different-identity pairs.
        true: Each query's best true hit.
        wrong: Each query's best wrong hit; rows of unknown identity are wrong ones, as in the ranking.
    """

    same_pairs: int
    different_pairs: int
    identities: int
    histogram: Histogram
    curve: Curve
    points: tuple[OperatingPoint, ...]
    equal_error: EqualError | None
    true: BestHits
    wrong: BestHits

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON; the histogram, the curve and single queries' hits are not among them."""
        return {
            "same_pairs": self.same_pairs,
            "different_pairs": self.different_pairs,
            "identities": self.identities,
            "points": [dataclasses.asdict(point) for point in self.points],
            "equal_error": dataclasses.asdict(self.equal_error) if self.equal_error else None,
        }
