"""What a re-ranking is said to take."""

from __future__ import annotations

import pytest

from scing_cli.core.evaluation import Reranking
from scing_cli.core.evaluation.cost import Cost, reranking_cost


@pytest.mark.parametrize("more", [{"queries": 9000}, {"gallery": 40_000}, {"width": 1280}, {"k1": 60}])
def test_more_of_anything_takes_longer_and_more_memory(more: dict) -> None:
    usual = {"queries": 3368, "gallery": 15_913, "width": 512, "k1": 20}

    def cost(k1: int, **sizes: int) -> Cost:
        return reranking_cost(**sizes, settings=Reranking(k1=k1))

    own, greater = cost(**usual), cost(**usual | more)
    assert greater.seconds > own.seconds
    assert greater.memory > own.memory


def test_memory_grows_with_the_points_and_time_with_their_square() -> None:
    small, large = (reranking_cost(count, 9 * count, 512, Reranking()) for count in (10_000, 100_000))
    assert 5 < large.memory / small.memory < 11
    assert 90 < large.seconds / small.seconds < 110


def test_either_time_or_memory_exceeds_a_limit() -> None:
    limit = Cost(60, 1e9)
    assert not Cost(60, 1e9).exceeds(limit)
    assert Cost(61, 0).exceeds(limit)
    assert Cost(0, 1.1e9).exceeds(limit)
