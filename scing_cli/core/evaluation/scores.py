"""What an evaluation found: the means over the valid queries, and the scores of single queries. Q queries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from scing_cli.core.evaluation.metrics import (
    FloatArray,
    IntArray,
    average_precision_of_ranks,
    cmc_curve,
    inverse_penalty_of_ranks,
)
from scing_cli.core.evaluation.truth import Lost

CMC_LENGTH = 50


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PerQuery:
    """The scores of single queries, in query order; Q rows each.

    Args:
        average_precision: In (0, 1]; NaN where the query has no true match.
        inverse_penalty: In (0, 1]; NaN where the query has no true match.
        first_rank: The rank of the first true hit; 0 where there is none.
        matches: How many true hits there are.
    """

    average_precision: FloatArray
    inverse_penalty: FloatArray
    first_rank: IntArray
    matches: IntArray


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What an evaluation found; percentages are means over the valid queries.

    Args:
        mAP: Mean average precision, percent.
        mINP: Mean inverse negative penalty, percent.
        cmc: Shape (50,), percent: entry k - 1 is the share of queries with a true hit at rank k or before.
        queries: How many queries there were.
        valid_queries: How many of them have a true match.
        gallery: How many gallery rows there were.
        protocol: The protocol's name.
        lost: Why queries are not valid.
        per_query: The scores of single queries.
    """

    mAP: float  # noqa: N815 - the field's own name for it
    mINP: float  # noqa: N815
    cmc: FloatArray
    queries: int
    valid_queries: int
    gallery: int
    protocol: str
    lost: Lost
    per_query: PerQuery

    @property
    def rank1(self) -> float:
        """CMC at rank 1, percent."""
        return float(self.cmc[0])

    @property
    def rank5(self) -> float:
        """CMC at rank 5, percent."""
        return float(self.cmc[4])

    @property
    def rank10(self) -> float:
        """CMC at rank 10, percent."""
        return float(self.cmc[9])

    def summary(self) -> dict[str, float | int | str]:
        """Return the numbers of a table's row, ready for JSON."""
        names = ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries", "gallery", "protocol")
        return {name: getattr(self, name) for name in names}


def score(ranks: Iterable[IntArray], *, gallery: int, protocol: str, lost: Lost) -> Scores:
    """Score rankings.

    Args:
        ranks: Q arrays, one after the other: the ranks of the query's true hits, ascending; empty where there is none.
        gallery: How many gallery rows there were.
        protocol: The protocol's name.
        lost: Why queries are not valid.

    Raises:
        NoTruthError: If no query has a true hit.
    """
    found = np.array([_of_one(own) for own in ranks])
    precision, penalty = found[:, 0], found[:, 1]
    first, matches = found[:, 2].astype(np.int64), found[:, 3].astype(np.int64)
    return Scores(
        mAP=100 * float(np.nanmean(precision)),
        mINP=100 * float(np.nanmean(penalty)),
        cmc=100 * cmc_curve(first[matches > 0], CMC_LENGTH),
        queries=len(found),
        valid_queries=len(found) - lost.total,
        gallery=gallery,
        protocol=protocol,
        lost=lost,
        per_query=PerQuery(precision, penalty, first, matches),
    )


def _of_one(ranks: IntArray) -> tuple[float, float, int, int]:
    """Return average precision, inverse penalty, first rank and matches of one query."""
    count = len(ranks)
    if not count:
        return math.nan, math.nan, 0, 0
    return average_precision_of_ranks(ranks), inverse_penalty_of_ranks(ranks), int(ranks[0]), count
