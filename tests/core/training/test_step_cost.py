"""The cost of a step: the bytes are those that autograd keeps, and nothing is changed."""

from __future__ import annotations

import torch
from torch import nn

from scing_cli.core.methods import Batch, Losses
from scing_cli.core.training.step_cost import step_cost


class Squares(nn.Module):
    """Two layers, the second one frozen: the backward pass needs their inputs, and the frozen weights."""

    name, reads = "squares", frozenset({"pixels"})

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 20, bias=False), nn.ReLU(), nn.Linear(20, 3, bias=False))
        self.layers[2].requires_grad_(False)

    def trainable(self):
        return self

    def losses(self, batch, key):
        return Losses({"mean": self.layers(batch.pixels).mean()}, {})


def test_the_bytes_grow_with_the_rows_and_weights_stay():
    torch.manual_seed(0)
    task, found = Squares(), {}
    before = [value.detach().clone() for value in task.parameters()]
    for rows in (8, 64):
        batch = Batch(range(rows), {"pixels": torch.randn(rows, 10)})
        found[rows], seconds = step_cost(task, batch, (0, "squares"))
        assert seconds > 0
    # a row's 20 numbers after the ReLU, and once the frozen weights; the input is the batch's own
    assert found == {rows: rows * 20 * 4 + 20 * 3 * 4 for rows in (8, 64)}
    for value, old in zip(task.parameters(), before, strict=True):
        assert torch.equal(value, old)
        assert value.grad is None
