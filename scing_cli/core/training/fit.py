"""Summary of a finished training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Fit:
    """Summary of a finished training.

    Args:
        steps: Number of steps.
        images: Number of training rows in them.
        seconds: Time of the steps.
        first: Mean of each figure over the first epoch.
        last: Mean of each figure over the last epoch.
    """

    steps: int
    images: int
    seconds: float
    first: Mapping[str, float]
    last: Mapping[str, float]
