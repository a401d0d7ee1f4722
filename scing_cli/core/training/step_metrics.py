"""Figures of training steps, which stay on the device until they are read together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from scing_cli.core.errors import TrainingError
from scing_cli.core.methods.task import Key, Losses

REMEDY = "Try a lower --lr or --precision fp32; scing prepare finds damaged images."
Describe = Callable[[Sequence[int]], str]


@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """The figures of one step. Reading them waits for the device, so it is done for many steps at once.

    Args:
        terms: Names of the loss terms.
        names: Names of all F figures: `loss`, the terms, the others.
        values: (F,) float32 on the device.
        rows: Training rows of the batch.
        key: (seed, stage, epoch, step).
    """

    terms: Sequence[str]
    names: Sequence[str]
    values: Tensor
    rows: Sequence[int]
    key: Key

    @classmethod
    def of(cls, losses: Losses, rows: Sequence[int], key: Key) -> StepMetrics:
        """Collect the figures of a step without reading them."""
        values = {"loss": losses.total(), **losses.terms, **losses.figures}
        stacked = torch.stack([value.detach().float() for value in values.values()])
        return cls(list(losses.terms), list(values), stacked, rows, key)

    def check(self, numbers: Sequence[float], describe: Describe) -> dict[str, float]:
        """Return the figures, read as `numbers`, by name.

        Raises:
            TrainingError: If a figure is not finite; the message names figure, step and images.
        """
        figures = dict(zip(self.names, numbers, strict=True))
        require({name: figures[name] for name in self.terms}, "the loss term", self, describe)
        require(figures, "the figure", self, describe)
        return figures


def read(readings: Sequence[StepMetrics], describe: Describe) -> list[dict[str, float]]:
    """Read the figures of several steps in one transfer.

    Raises:
        TrainingError: If a figure is not finite; the message names the first such step.
    """
    numbers = torch.stack([reading.values for reading in readings]).tolist()
    return [reading.check(row, describe) for reading, row in zip(readings, numbers, strict=True)]


def require(values: Mapping[str, float], what: str, reading: StepMetrics, describe: Describe) -> None:
    """Check that values are finite.

    Raises:
        TrainingError: If one is not; the message names it, its step and its images.
    """
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if not broken:
        return
    _, stage, epoch, step = reading.key
    when = f"epoch {int(epoch) + 1}, step {int(step) + 1}" if isinstance(epoch, int) else "the dry run"
    raise TrainingError(
        f"{stage}: {what} {' and '.join(broken)} is not finite at {when}, in the batch of {describe(reading.rows)}.",
        REMEDY,
    )
