"""Interface between methods and the training loop: batches, losses, and the task of a stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

Key = tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch of training rows.

    Args:
        rows: Row numbers in the training part, length B.
        pixels: (B, 3, H, W) float32 on the device, normalised and not augmented; None if the task reads no images.
    """

    rows: Sequence[int]
    pixels: Tensor | None


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
    """One stage of one method: what is trained, and with which losses."""

    name: str
    reads_images: bool

    def trainable(self) -> nn.Module:
        """Return the module to train: those of its parameters that require a gradient."""
        ...

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the losses of a batch; every random draw is a function of `key` = (seed, stage, epoch, step)."""
        ...
