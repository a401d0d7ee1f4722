"""Trainable parameters of a module, and the gradient norm of each loss term (R3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scing_cli.core.processes import ALONE, ProcessGroup


def gradient_norms(terms: Mapping[str, Tensor], module: nn.Module, *, group: ProcessGroup = ALONE) -> dict[str, float]:
    """Return each term's gradient norm over the trainable parameters, as `gradient_NAME` (R3).

    Args:
        terms: Scalar losses of the whole batch by name.
        module: Its parameters that require a gradient.
        group: The processes, each of which has a part of the gradients.
    """
    parameters = [value for _, value in trainable_by_name(module)]
    norms = {}
    for name, term in terms.items():
        gradients = group.mean(torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True))
        squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
        norms[f"gradient_{name}"] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    return norms


def trainable_by_name(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that require a gradient, with their names."""
    return [(name, value) for name, value in module.named_parameters() if value.requires_grad]


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's parameters."""
    return next(module.parameters()).device
