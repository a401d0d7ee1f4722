"""Adam for the trainable parameters of a task: learning rates and weight decays of biases and heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import torch
from torch import nn

from scing_cli.core.training.gradients import trainable_by_name

BIASES = {"bias", "in_proj_bias"}  # torch's names: of a layer, and of an attention's joint projection


@dataclasses.dataclass(frozen=True)
class AdamGroups:
    """Settings of Adam that not every stage has: its epsilon, and what differs for biases and for heads.

    Args:
        eps: Adam's epsilon.
        bias_weight_decay: Weight decay of biases; None for that of the other parameters.
        heads: First parts of the names of the parameters with a rate of their own: those that only the losses use, or
            in stage 1 the image encoder's.
        head_factor: Learning rate of heads / learning rate of the other parameters; for their biases, both factors.
    """

    eps: float = 1e-8
    bias_weight_decay: float | None = None
    heads: Collection[str] = ()
    head_factor: float = 1.0


def make_adam(
    module: nn.Module, *, lr: float, bias_factor: float, weight_decay: float, groups: AdamGroups
) -> torch.optim.Adam:
    """Return Adam with coupled weight decay; `factor` of a group is its learning rate / `lr`.

    Args:
        module: Its parameters that require a gradient are trained.
        lr: Learning rate.
        bias_factor: Learning rate of biases / `lr`.
        weight_decay: Adam's, coupled (paper, 4.2).
        groups: All else.
    """
    found: dict[tuple[float, float], list[nn.Parameter]] = {}  # by factor and weight decay
    for name, value in trainable_by_name(module):
        is_bias, is_head = name.rpartition(".")[2] in BIASES, name.partition(".")[0] in groups.heads
        factor = (bias_factor if is_bias else 1.0) * (groups.head_factor if is_head else 1.0)
        decay = groups.bias_weight_decay if is_bias else None
        found.setdefault((factor, weight_decay if decay is None else decay), []).append(value)
    return torch.optim.Adam(
        [{"params": values, "factor": factor, "weight_decay": decay} for (factor, decay), values in found.items()],
        lr=lr,
        eps=groups.eps,
        fused=True,  # one pass over the weights instead of nine
    )
