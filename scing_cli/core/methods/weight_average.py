"""A moving average of an encoder's weights, which stage 2 keeps as its result (`--ema`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """The average of a module's parameters over the steps; its buffers are part of a saved step.

    After step t, each value is d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)): the first steps are forgotten
    soon, so that a short training does not end at its start.

    Args:
        module: Whose parameters are averaged.
        decay: Above 0, below 1.
    """

    steps: Tensor

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for name, value in module.named_parameters():
            self.register_buffer(_buffer(name), value.detach().clone())

    @torch.no_grad()
    def add(self, module: nn.Module) -> None:
        """Add the present weights of the module."""
        self.steps += 1
        share = 1 - ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)  # stays on the device
        for name, value in module.named_parameters():
            self.get_buffer(_buffer(name)).lerp_(value, share)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Give the module the average."""
        for name, value in module.named_parameters():
            value.copy_(self.get_buffer(_buffer(name)))


def _buffer(name: str) -> str:
    return name.replace(".", "/")
