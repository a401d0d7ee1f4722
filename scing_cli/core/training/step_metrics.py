"""A step's figures, left on the device until they are read: a reading waits for all that the device was given."""

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
    """The figures of one step.

    Args:
        terms: The names of the loss terms, which come after `loss`.
        names: Of all figures.
        values: (F,) float32 on the device.
        rows: The batch.
        key: (seed, stage, epoch, step).
    """

    terms: Sequence[str]
    names: Sequence[str]
    values: Tensor
    rows: Sequence[int]
    key: Key

    @classmethod
    def of(cls, losses: Losses, rows: Sequence[int], key: Key) -> StepMetrics:
        """Take a step's figures without reading them."""
        values = {"loss": losses.total(), **losses.terms, **losses.figures}
        stacked = torch.stack([value.detach().float() for value in values.values()])
        return cls(list(losses.terms), list(values), stacked, rows, key)

    def check(self, numbers: Sequence[float], describe: Describe) -> dict[str, float]:
        """Return the figures by name.

        Raises:
            TrainingError: If one is not finite; the message names it with its step and images.
        """
        figures = dict(zip(self.names, numbers, strict=True))
        require({name: figures[name] for name in self.terms}, "the loss term", self, describe)
        require(figures, "the figure", self, describe)
        return figures


def read(readings: Sequence[StepMetrics], describe: Describe) -> list[dict[str, float]]:
    """Read the figures of some steps at once, in their order.

    Raises:
        TrainingError: If one is not finite; the first such step is named.
    """
    numbers = torch.stack([reading.values for reading in readings]).tolist()
    return [reading.check(own, describe) for reading, own in zip(readings, numbers, strict=True)]


def require(values: Mapping[str, float], what: str, reading: StepMetrics, describe: Describe) -> None:
    """Stop where a value is not finite, and name it with its batch.

    Raises:
        TrainingError: If one is not.
    """
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if not broken:
        return
    _, stage, epoch, step = reading.key
    place = f"epoch {int(epoch) + 1}, step {int(step) + 1}" if isinstance(epoch, int) else "the dry run"
    raise TrainingError(
        f"{stage}: {what} {' and '.join(broken)} is not finite at {place}, in the batch of {describe(reading.rows)}.",
        REMEDY,
    )
