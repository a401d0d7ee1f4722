"""The measures, as pure functions of ranks: average precision, inverse negative penalty, CMC.

N gallery rows in the ranking; Q queries; H true hits of one query. Ranks start at 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import NoTruthError

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def average_precision(matches: BoolArray) -> float:
    """Average precision of one query's ranked gallery.

    Args:
        matches: Shape (N,), best hit first; True where the row shows the query's identity.

    Returns:
        Mean of the precision at every true hit, in (0, 1].

    Raises:
        NoTruthError: If nothing matches; `evaluate` leaves such queries out and counts them.

    >>> average_precision(np.array([True, False, True]))
    0.8333333333333333
    """
    return average_precision_of_ranks(hit_ranks(matches))


def inverse_negative_penalty(matches: BoolArray) -> float:
    """Inverse negative penalty of one query's ranked gallery: true hits / rank of the last one; mINP is its mean.

    Args:
        matches: Shape (N,), best hit first; True where the row shows the query's identity.

    Returns:
        A number in (0, 1]; 1 if no false row comes before the last true hit.

    Raises:
        NoTruthError: If nothing matches.

    >>> inverse_negative_penalty(np.array([True, False, True, False]))
    0.6666666666666666
    """
    return inverse_penalty_of_ranks(hit_ranks(matches))


def hit_ranks(matches: BoolArray) -> IntArray:
    """Return the ranks of the true hits, ascending, shape (H,).

    >>> hit_ranks(np.array([True, False, True])).tolist()
    [1, 3]
    """
    return np.flatnonzero(matches).astype(np.int64) + 1


def average_precision_of_ranks(ranks: IntArray) -> float:
    """Return the mean over true hits of (place among the hits / rank).

    Args:
        ranks: Shape (H,), the ranks of the true hits, ascending.

    Raises:
        NoTruthError: If there is no true hit.

    >>> average_precision_of_ranks(np.array([1, 3]))
    0.8333333333333333
    """
    _require(ranks)
    return float((np.arange(1, len(ranks) + 1) / ranks).sum()) / len(ranks)


def inverse_penalty_of_ranks(ranks: IntArray) -> float:
    """Return the number of true hits / the rank of the last one.

    Args:
        ranks: Shape (H,), the ranks of the true hits, ascending.

    Raises:
        NoTruthError: If there is no true hit.

    >>> inverse_penalty_of_ranks(np.array([1, 3]))
    0.6666666666666666
    """
    _require(ranks)
    return len(ranks) / int(ranks[-1])


def cmc_curve(first_ranks: IntArray, length: int) -> FloatArray:
    """Cumulative matching characteristic: the share of queries whose first true hit comes at rank k or before.

    Args:
        first_ranks: Shape (Q,), the rank of each query's first true hit.
        length: How many ranks the curve covers.

    Returns:
        Shape (length,), float64 in [0, 1]; entry k - 1 belongs to rank k.

    Raises:
        NoTruthError: If there is no query.

    >>> cmc_curve(np.array([1, 3, 9]), 4).round(3).tolist()
    [0.333, 0.333, 0.667, 0.667]
    """
    _require(first_ranks)
    within = np.searchsorted(np.sort(first_ranks), np.arange(1, length + 1), side="right")
    return within.astype(np.float64) / len(first_ranks)


def _require(ranks: IntArray) -> None:
    if len(ranks) == 0:
        raise NoTruthError("Nothing in the ranking matches, so there is nothing to average.")
