"""What a step of a training costs, from a step of a few rows: bytes kept for the backward pass, and seconds."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from scing_cli.core.methods.task import Batch, Key, Task
from scing_cli.core.training.gradients import trainable_by_name


def step_cost(task: Task, batch: Batch, key: Key) -> tuple[int, float]:
    """Run a forward and a backward pass twice; nothing is changed.

    Args:
        task: The stage.
        batch: A few rows.
        key: Of the random draws.

    Returns:
        The bytes that the forward pass keeps for the backward pass, without the weights themselves, and the seconds of
        the second time.
    """
    parameters = [value for _, value in trainable_by_name(task.trainable())]
    fixed = {value.data_ptr() for value in (*parameters, *batch.inputs.values())}
    kept: dict[int, int] = {}  # bytes by the place of the storage: two tensors may share one

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in fixed:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would keep its graph alive

    seconds = 0.0
    for _ in range(2):
        kept.clear()
        started = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            total = task.losses(batch, key).total()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        if (used := next((one for one in gradients if one is not None), None)) is not None:
            float(used.sum())  # waits for the device
        seconds = time.perf_counter() - started
    return sum(kept.values()), seconds
