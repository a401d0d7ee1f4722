"""Averages gradients over processes while the backward pass goes on, in buckets, as torch's own reducer does.

That one belongs to a module whose forward pass it sees (`DistributedDataParallel`). Here the loss of the whole batch
stands between the towers and the backward pass, and some parameters are part of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET = 25e6  # bytes: torch's own


class GradientBuckets:
    """Context of one backward pass; afterwards the gradients are the means over all processes.

    The gradients of parameters that the loss does not reach stay None; they must be the same ones in all processes.

    Args:
        parameters: That require gradients.
        size: Number of processes.
        meeting: Context of each exchange.
        compress: Whether float32 gradients travel, and are added up, as bf16: half the bytes.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        size: int,
        meeting: Callable[[], contextlib.AbstractContextManager[None]],
        *,
        compress: bool = False,
    ) -> None:
        self.size = size
        self.meeting = meeting
        self.compress = compress
        self.buckets = buckets_of(parameters)
        self._missing = [len(bucket) for bucket in self.buckets]  # parameters whose gradients are not there yet
        self._started = 0  # buckets: all processes start them in one order
        self._waiting: list[tuple[Any, Tensor, list[Tensor]]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> GradientBuckets:
        for number, bucket in enumerate(self.buckets):
            for parameter in bucket:
                register: Any = parameter.register_post_accumulate_grad_hook
                self._hooks.append(register(self._counter(number)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()
        if error is not None:
            return
        while self._started < len(self.buckets):
            self._start()
        for work, flat, gradients in self._waiting:
            with self.meeting():
                work.wait()
            mean = flat if self.compress and flat.dtype == torch.bfloat16 else flat.div_(self.size)
            for gradient, part in zip(gradients, torch.split(mean, sizes_of(gradients)), strict=True):
                gradient.copy_(part.view_as(gradient))

    def _counter(self, number: int) -> Callable[[Tensor], None]:
        def count(_: Tensor) -> None:
            self._missing[number] -= 1
            while self._started < len(self.buckets) and not self._missing[self._started]:
                self._start()

        return count

    def _start(self) -> None:
        """Start the exchange of the next bucket."""
        gradients = [parameter.grad for parameter in self.buckets[self._started] if parameter.grad is not None]
        self._started += 1
        if gradients:
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            if self.compress and flat.dtype == torch.float32:  # divided before the sum, as torch's own hook does
                flat = flat.div_(self.size).bfloat16()
            with self.meeting():
                self._waiting.append((dist.all_reduce(flat, async_op=True), flat, gradients))


def sizes_of(tensors: Sequence[Tensor]) -> Any:
    """Return the number of values of each tensor, as `split` takes them."""
    return [each.numel() for each in tensors]


def buckets_of(parameters: Sequence[Tensor], most: float = BUCKET) -> list[list[Tensor]]:
    """Divide parameters into buckets of one type of numbers, the last parameters first: their gradients come first.

    Args:
        parameters: In the order in which the forward pass reads them.
        most: Bytes of a bucket, unless one parameter has more.
    """
    buckets: list[list[Tensor]] = []
    room = 0.0
    for parameter in reversed(parameters):
        size = parameter.numel() * parameter.element_size()
        if not buckets or size > room or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            room = most
        buckets[-1].append(parameter)
        room -= size
    return buckets
