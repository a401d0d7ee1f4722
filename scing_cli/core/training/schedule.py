"""Learning rate as a function of the epoch, so that a resumed training needs no saved scheduler."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """Linear warm-up, then steps of x0.1 (paper, 4.2; R12) or half a cosine (CLIP-ReID's stage 1).

    Args:
        base: The rate after the warm-up.
        milestones: Epochs at which the rate is divided by ten.
        warmup_epochs: Length of the warm-up; 0 for none.
        warmup_from: Rate at the start of the warm-up; None for a tenth of `base`.
        epochs: Length of a cosine, including the warm-up; None for steps.
        final: Rate at the end of a cosine.
        first: Number of the first epoch, 0 or 1.

    >>> rate = LearningRate(base=1.0, milestones=(30, 50), warmup_epochs=10)
    >>> [round(rate.at(epoch), 4) for epoch in (0, 5, 10, 29, 30, 50)]
    [0.1, 0.55, 1.0, 1.0, 0.1, 0.01]
    >>> rate = LearningRate(base=1.0, warmup_epochs=2, warmup_from=0.5, epochs=8, final=0.0)
    >>> [round(rate.at(epoch), 4) for epoch in (0, 1, 2, 4, 7, 8)]
    [0.5, 0.75, 0.8536, 0.5, 0.0381, 0.0]
    """

    base: float
    milestones: tuple[int, ...] = ()
    warmup_epochs: int = 0
    warmup_from: float | None = None
    epochs: int | None = None
    final: float = 0.0
    first: int = 0

    def at(self, epoch: int) -> float:
        """Return the rate of an epoch, counted from 0."""
        number = epoch + self.first
        if self.epochs is not None and number >= self.warmup_epochs:
            return self._cosine(number / self.epochs)
        start = 0.1 if self.warmup_from is None else self.warmup_from / self.base
        warm = start + (1 - start) * min(number / self.warmup_epochs, 1.0) if self.warmup_epochs else 1.0
        return self.base * warm * 0.1 ** sum(number >= milestone for milestone in self.milestones)

    def _cosine(self, share: float) -> float:
        """Return the rate after this share of the cosine."""
        return self.final + (self.base - self.final) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
