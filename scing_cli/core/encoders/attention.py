"""Which of torch's attention kernels a tower uses: in bf16 on a CPU, the fused one's backward is slow over few places.

`tests/benchmarks/attention.py` measures both, side by side.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 64


def attention_kernel(tokens: Tensor) -> AbstractContextManager[None]:
    """Return a context in which attention over these tokens takes the faster kernel; both compute the same.

    The plain kernel is chosen for at most `SHORT` places in bf16 on a CPU where gradients are wanted.

    Args:
        tokens: Shape (B, places, W).
    """
    short = tokens.device.type == "cpu" and tokens.shape[1] <= SHORT
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    if short and half and torch.is_grad_enabled():
        return sdpa_kernel(SDPBackend.MATH)
    return contextlib.nullcontext()
