"""Adam's groups: biases and heads have rates and weight decays of their own; without them nothing differs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scing_cli.core.training import AdamGroups
from scing_cli.core.training.optimiser import make_adam


def module() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"image": nn.Linear(3, 4), "head": nn.Linear(4, 2)})


def groups_of(optimiser: torch.optim.Adam) -> dict[tuple[float, float], list[tuple[int, ...]]]:
    return {
        (group["factor"], group["weight_decay"]): [tuple(value.shape) for value in group["params"]]
        for group in optimiser.param_groups
    }


def test_by_default_there_is_one_group() -> None:
    optimiser = make_adam(module(), lr=0.1, bias_factor=1.0, weight_decay=0.3, groups=AdamGroups())
    assert groups_of(optimiser) == {(1.0, 0.3): [(4, 3), (4,), (2, 4), (2,)]}
    assert optimiser.param_groups[0]["eps"] == 1e-8


def test_biases_and_heads_have_their_own() -> None:
    groups = AdamGroups(eps=1e-3, bias_weight_decay=0.0, heads=["head"], head_factor=5.0)
    optimiser = make_adam(module(), lr=0.1, bias_factor=2.0, weight_decay=0.3, groups=groups)
    assert groups_of(optimiser) == {(1.0, 0.3): [(4, 3)], (2.0, 0.0): [(4,)], (5.0, 0.3): [(2, 4)], (10.0, 0.0): [(2,)]}
    assert {group["eps"] for group in optimiser.param_groups} == {1e-3}


@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_a_step_is_adams(eps: float) -> None:
    """theta - lr * m / (sqrt(v) + eps), with the decay added to the gradient, in the first step."""
    own = module()
    groups = AdamGroups(eps=eps, bias_weight_decay=0.0, heads=["head"], head_factor=5.0)
    optimiser = make_adam(own, lr=0.1, bias_factor=2.0, weight_decay=0.3, groups=groups)
    for group in optimiser.param_groups:
        group["lr"] = 0.1 * group["factor"]
    before = {name: value.detach().clone() for name, value in own.named_parameters()}
    sum(value.square().sum() * 1e-3 for value in own.parameters()).backward()
    optimiser.step()
    rates = {"image.weight": 0.1, "image.bias": 0.2, "head.weight": 0.5, "head.bias": 1.0}
    for name, value in own.named_parameters():
        gradient = 2e-3 * before[name] + (0 if name.endswith("bias") else 0.3) * before[name]
        expected = before[name] - rates[name] * gradient / (gradient.abs() + eps)
        torch.testing.assert_close(value.detach(), expected, rtol=1e-4, atol=1e-6)
