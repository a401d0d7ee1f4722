"""The learning rate as a function of the epoch alone, so a resume needs no scheduler's state."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """Linear warm-up from a tenth, then steps of x0.1 (paper, 4.2; R12).

    Args:
        base: The rate after the warm-up.
        milestones: Epochs (counted from 0) at which the rate is divided by ten.
        warmup_epochs: Over how many epochs it rises from a tenth; 0 for none.

    >>> rate = LearningRate(base=1.0, milestones=(30, 50), warmup_epochs=10)
    >>> [round(rate.at(epoch), 4) for epoch in (0, 5, 10, 29, 30, 50)]
    [0.1, 0.55, 1.0, 1.0, 0.1, 0.01]
    """

    base: float
    milestones: tuple[int, ...]
    warmup_epochs: int = 0

    def at(self, epoch: int) -> float:
        """Return the rate of an epoch counted from 0."""
        warm = 0.1 + 0.9 * min(epoch / self.warmup_epochs, 1.0) if self.warmup_epochs else 1.0
        return self.base * warm * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
