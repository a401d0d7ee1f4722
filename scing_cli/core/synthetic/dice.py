"""Random generators that depend on a key alone, and the kinds of draw that this package needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from scing_cli.core.runtime import draw_seed

T = TypeVar("T")
Key = tuple[int | str, ...]


def dice(*key: int | str) -> np.random.Generator:
    """Return the random generator of a key: equal keys give equal draws.

    >>> float(dice(0, "hat").random()) == float(dice(0, "hat").random())
    True
    """
    return np.random.Generator(np.random.PCG64(draw_seed(*key)))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options, all equally likely."""
    return options[int(rng.random() * len(options))]


def weighted(rng: np.random.Generator, table: Mapping[T, float]) -> T:
    """Return one key of the table, with a probability proportional to its weight."""
    left = rng.random() * sum(table.values())
    for option, weight in table.items():
        left -= weight
        if left < 0:
            return option
    return next(reversed(list(table)))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a uniform draw from [low, high)."""
    return low + (high - low) * float(rng.random())


def one_of(rng: np.random.Generator, ranges: Sequence[tuple[T, T]]) -> tuple[T, T]:
    """Return one of several ranges, all equally likely; of a single one without a draw."""
    return ranges[0] if len(ranges) == 1 else pick(rng, ranges)


def around(rng: np.random.Generator, mean: float, spread: float) -> float:
    """Return a normal draw with standard deviation `spread`, clipped at two spreads from its mean."""
    return mean + spread * max(-2.0, min(2.0, float(rng.standard_normal())))
