"""What conditions the visual part of prompts: V at unit length, as the image tower returns it, or at a length (R19)."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Condition:
    """Scale image features before they condition prompts.

    Args:
        length: The length that each vector gets; None to leave it as it is.
    """

    length: float | None

    def __call__(self, features: Tensor) -> Tensor:
        """Return features V of any length, (B, D), as float32 conditions (B, D)."""
        if self.length is None:
            return features.float()
        unit = F.normalize(features.float(), dim=1)
        return unit if self.length == 1 else self.length * unit


def condition_of(setting: str) -> Condition:
    """Return what a checked setting names: `unit`, `raw`, or `unit:N` for vectors of length N.

    >>> condition_of("unit:10").length, condition_of("raw").length
    (10.0, None)
    """
    if setting == "raw":
        return Condition(None)
    return Condition(float(setting.partition(":")[2] or 1))
