"""A block where it is trained, and on any GPU: open_clip's own function in fewer and faster passes over memory.

`nn.MultiheadAttention` copies queries, keys and values once more before it attends, and QuickGELU makes three tensors
of the MLP's hidden width, all kept for the backward, where one will do. On a CPU in bf16 the backward of torch's fused
attention takes longer than plain products do, by far over few places.
`tests/benchmarks/attention.py` measures both ways, side by side.

Legend: B batch, T places, W width of the tower, h heads, w width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.nn import functional

COUNTED_WHOLE = {"cpu", "meta"}  # on the latter, operations are counted as they are published
FEW = 256  # places; the scores of more would take too much memory
RunBlock = Callable[[Any, Tensor, Tensor | None], Tensor]  # as `run_block`
SLOPE = 1.702  # of QuickGELU, x * sigmoid(1.702 x)


def run_block(block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Run a residual attention block; on a GPU, and where a CPU wants gradients, in the way that is faster there.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        mask: Added to the scores, (T, T); None for none.

    Returns:
        Shape (B, T, W); both ways are equal up to rounding.
    """
    if tokens.device.type in COUNTED_WHOLE and not torch.is_grad_enabled():
        whole: Tensor = block(tokens, attn_mask=mask)
        return whole
    tokens = tokens + block.ls_1(_attend(block.attn, layer_norm(block.ln_1, tokens), mask))
    final: Tensor = tokens + block.ls_2(_feed_forward(block.mlp, layer_norm(block.ln_2, tokens)))
    return final


def layer_norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Return the layer norm of tokens, in their own kind of number.

    Of bf16 tokens a GPU's autocast would make float32 ones, take the norm, and turn it back: three passes over memory
    where one will do, which sums in float32 too.
    """
    if tokens.dtype == torch.float32 or tokens.device.type in COUNTED_WHOLE:
        usual: Tensor = norm(tokens)
        return usual
    return narrow_layer_norm(norm, tokens)


def narrow_layer_norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Return the layer norm of bf16 tokens with its weights in bf16, whatever autocast says."""
    with torch.autocast(tokens.device.type, enabled=False):
        weight, bias = (value.to(tokens.dtype) for value in (norm.weight, norm.bias))
        return functional.layer_norm(tokens, norm.normalized_shape, weight, bias, norm.eps)


def trains_on_cpu(tokens: Tensor) -> bool:
    """Tell whether a block over these tokens runs on a CPU and gradients are wanted."""
    return tokens.device.type == "cpu" and torch.is_grad_enabled()


def plain_is_faster(tokens: Tensor) -> bool:
    """Tell whether plain products beat torch's fused attention: over few places in bf16, where a CPU trains."""
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return half and tokens.shape[1] <= FEW and trains_on_cpu(tokens)


def _attend(attention: nn.MultiheadAttention, normal: Tensor, mask: Tensor | None) -> Tensor:
    """Return what `nn.MultiheadAttention` gives where every place of (B, T, W) asks every place."""
    packed = functional.linear(normal, attention.in_proj_weight, attention.in_proj_bias)  # (B, T, 3 W)
    split = packed.view(*normal.shape[:2], 3, attention.num_heads, attention.head_dim)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind()  # (B, h, T, w) each
    if plain_is_faster(normal):
        scores = (query * attention.head_dim**-0.5) @ key.transpose(2, 3)  # (B, h, T, T)
        mixed = (scores if mask is None else scores + mask.to(scores.dtype)).softmax(3).to(value.dtype) @ value
    else:
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    result: Tensor = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return result


def _feed_forward(mlp: Any, normal: Tensor) -> Tensor:
    """Run a block's MLP on (B, T, W); QuickGELU as silu(1.702 x) / 1.702, its two factors moved into the weights."""
    if not isinstance(mlp.gelu, QuickGELU):
        usual: Tensor = mlp(normal)
        return usual
    hidden = functional.silu(functional.linear(normal, SLOPE * mlp.c_fc.weight, SLOPE * mlp.c_fc.bias))
    return functional.linear(hidden, mlp.c_proj.weight / SLOPE, mlp.c_proj.bias)
