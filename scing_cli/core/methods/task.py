"""What a method hands to the training loop, and what the loop hands back: it knows no more of either."""

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
        rows: Places in the training part, length B.
        pixels: (B, 3, H, W) float32 on the device, normalised and not augmented; None where the task reads no image.
    """

    rows: Sequence[int]
    pixels: Tensor | None


Batches = Callable[[Sequence[Sequence[int]]], Iterable[Batch]]  # lists of training rows -> their batches, in order
Keep = Callable[[str, Callable[[], Tensor]], Tensor]  # a name, and what makes a tensor -> it, made or found


def no_memo(name: str, make: Callable[[], Tensor]) -> Tensor:
    """Make a tensor; a `Keep` that has none kept."""
    del name
    return make()


@dataclasses.dataclass(frozen=True)
class Losses:
    """One step's result.

    Args:
        terms: Weighted scalar losses by name; their sum is what is minimised.
        figures: Further scalars worth logging, without gradient.
    """

    terms: Mapping[str, Tensor]
    figures: Mapping[str, Tensor]

    def total(self) -> Tensor:
        """Return the sum of the terms."""
        first, *rest = self.terms.values()
        return sum(rest, first)


class Task(Protocol):
    """One stage of one method: what is learnt and with which losses."""

    name: str
    reads_images: bool

    def trainable(self) -> nn.Module:
        """Return the module whose parameters are learnt: all of them that want a gradient, and no other."""
        ...

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return a batch's losses; every draw is a function of `key` = (seed, stage, epoch, step)."""
        ...
