"""Count the floating-point operations of an image tower's forward pass.

A multiply-add counts as two operations. Both counters count matrix products and convolutions only. As in papers, the
whole tower is counted (`ImageEncoder.dense`), although inference computes the last block only for the class token. An
encoder without weights (`clip.empty_clip`) works as well.
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
    """Count all matrix products and convolutions, including those inside attention.

    Args:
        encoder: On any device.

    Returns:
        Operations of one image.
    """
    with _open_attention(), FlopCounterMode(display=False) as counter:
        _encode_one(encoder)
    return int(counter.get_total_flops())


def hooked_flops(encoder: ImageEncoder) -> int:
    """Count as the paper's Table 4 does: with forward hooks on `nn.Conv2d` and `nn.Linear`.

    `nn.MultiheadAttention` passes its weights to a function and does not call these modules. Therefore the count lacks
    the four projections and the two products of every attention.

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
    """Make torch compute attention as separate matrix products."""
    # counters cannot see into the fast path, and in older torch versions not into the fused CPU kernels
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
