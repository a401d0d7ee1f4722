"""What a forward pass of an image tower costs in floating-point operations, counted while one image passes.

A multiply-add is two operations. Both counters see matrix products and convolutions alone. The whole tower is counted,
as papers count it (`ImageEncoder.dense`). The tower itself does less: it runs its last block at the class token alone.
An encoder of shapes (`clip.empty_clip`) can be counted as well as one with weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scing_cli.core.encoders.image import ImageEncoder


def forward_flops(encoder: ImageEncoder) -> int:
    """Count every product of a forward pass, the attention's own among them.

    Args:
        encoder: On any device.

    Returns:
        Operations of one image.
    """
    with _open_attention(), FlopCounterMode(display=False) as counter:
        _encode_one(encoder)
    return int(counter.get_total_flops())


def hooked_flops(encoder: ImageEncoder) -> int:
    """Count as a counter with forward hooks on `nn.Conv2d` and `nn.Linear` does (the paper's Table 4).

    `nn.MultiheadAttention` hands its weights to one function and calls no module: such a counter misses the four
    projections of every attention, and its two products.

    Args:
        encoder: On any device.

    Returns:
        Operations of one image.
    """
    counts: list[int] = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        weight = module.get_parameter("weight")
        counts.append(2 * output.numel() * weight[0].numel())

    called = (module for module in encoder.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    hooks = [module.register_forward_hook(count) for module in called]
    try:
        _encode_one(encoder)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)


@torch.no_grad()
def _encode_one(encoder: ImageEncoder) -> None:
    geometry, device = encoder.geometry, encoder.class_embedding.device
    encoder.dense(torch.zeros(1, 3, geometry.height, geometry.width, device=device))


@contextlib.contextmanager
def _open_attention() -> Iterator[None]:
    """Keep torch from doing an attention in one call.

    No counter looks into the fast path, and counters of older torch versions know no fused kernel of CPUs.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
