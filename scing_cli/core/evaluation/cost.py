"""An estimate of the time and memory of a re-ranking, before it begins."""

from __future__ import annotations

import dataclasses

from scing_cli.core.errors import duration
from scing_cli.core.evaluation.reranking import Reranking

# Seconds, measured on two cores of a shared Xeon with clustered vectors (tests/benchmarks/rerank.py).
PRODUCT = 4e-11  # of one number by another, in float64
PAIR = 2e-8  # of the rest that is done for every pair of points
WEIGHT = 4e-7  # of finding a weight
MEETING = 1.5e-8  # of a query's weight and a gallery row's
# Bytes.
FIXED = 2e8  # blocks, scratch space, and Python itself
WEIGHT_BYTES = 50  # of one weight: stored, inverted, and being sorted
MEETING_BYTES = 40  # of one query's


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """An estimate of time and memory.

    Args:
        seconds: On two cores.
        memory: Bytes, the vectors among them.
    """

    seconds: float
    memory: float

    def exceeds(self, limit: Cost) -> bool:
        """Return whether it takes longer or more memory than a limit."""
        return self.seconds > limit.seconds or self.memory > limit.memory

    def __str__(self) -> str:
        return f"about {duration(self.seconds)} on two cores and {self.memory / 1e9:.1f} GB of memory"


def reranking_cost(queries: int, gallery: int, width: int, settings: Reranking) -> Cost:
    """Estimate what `reranked_distances` takes for the same settings.

    All points meet all points, so time grows with the square of their number, memory with the number.

    Args:
        queries: Q.
        gallery: G.
        width: D.
        settings: k1 and k2.

    >>> print(reranking_cost(11_659, 82_161, 512, Reranking()))
    about 7 min on two cores and 1.0 GB of memory
    """
    points = queries + gallery
    pairs = points * points + queries * gallery
    weights = min(points, settings.k1 * settings.k2)  # of a point, about; fewer where groups are small
    meetings = weights * weights * gallery / points  # of a query
    seconds = pairs * (width * PRODUCT + PAIR) + points * weights * WEIGHT + queries * meetings * MEETING
    vectors, neighbours = 4 * width, 9 * max(settings.k1 + 1, settings.k2)
    memory = FIXED + points * (vectors + neighbours + weights * WEIGHT_BYTES) + meetings * MEETING_BYTES
    return Cost(seconds, memory)
