"""Interface between methods and the training loop: batches, losses, and the task of a stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from scing_cli.core.processes import WHOLE, Share

Key = tuple[int | str, ...]
PIXELS = "pixels"
NOTHING: frozenset[str] = frozenset()
IMAGES = frozenset({PIXELS})


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch of training rows.

    Where several processes train, each encodes the rows of its share, and all have the inputs and the losses of the
    whole batch.

    Args:
        rows: Row numbers in the training part, length B.
        inputs: What the task reads of these rows, by name, on the device: `pixels` is (B, 3, H, W) float32, normalised
            and not augmented.
        share: Which of the rows this process encodes.
    """

    rows: Sequence[int]
    inputs: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    share: Share = WHOLE

    @property
    def pixels(self) -> Tensor:
        """The images of the rows.

        Raises:
            ValueError: If the batch has none.
        """
        if PIXELS not in self.inputs:
            raise ValueError("these losses need pixels, and this batch has none")
        return self.inputs[PIXELS]


Batches = Callable[[Sequence[Sequence[int]]], Iterable[Batch]]  # lists of training rows -> their batches, in order
Cached = Callable[[str, Callable[[], Tensor]], Tensor]  # a name, and a function -> its tensor, stored or computed


def not_cached(name: str, make: Callable[[], Tensor]) -> Tensor:
    """Compute a tensor; a `Cached` that stores nothing."""
    del name
    return make()


@dataclasses.dataclass(frozen=True)
class Losses:
    """The losses of one step.

    Args:
        terms: Weighted scalar losses by name; their sum is minimised.
        figures: Further scalars worth logging, without gradient.
    """

    terms: Mapping[str, Tensor]
    figures: Mapping[str, Tensor]

    def total(self) -> Tensor:
        """Return the sum of the terms."""
        first, *rest = self.terms.values()
        return sum(rest, first)


class Task(Protocol):
    """One stage of one method: what is trained, and with which losses.

    Args:
        name: Of the stage.
        reads: Names of the inputs that each batch must have.
    """

    name: str
    reads: frozenset[str]

    def trainable(self) -> nn.Module:
        """Return the module to train: those of its parameters that require a gradient."""
        ...

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the losses of a batch; every random draw is a function of `key` = (seed, stage, epoch, step)."""
        ...
