"""Faster residual attention blocks, for GPUs and for training on a CPU.

They compute the same function as open_clip's blocks with fewer passes over memory. `tests/benchmarks/attention.py`
compares both.

Legend: B batch, T tokens, W width of the tower, h heads, w width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.nn import functional

# Without gradients these devices run open_clip's own block. On `meta`, operations are counted: the published counts are
# those of the usual block.
COUNTED_WHOLE = {"cpu", "meta"}
FEW = 256  # tokens; the score matrices of longer sequences need too much memory
RunBlock = Callable[[Any, Tensor, Tensor | None], Tensor]  # the signature of `run_block`
SLOPE = 1.702  # of QuickGELU, x * sigmoid(1.702 x)


def run_block(block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Run a residual attention block, in the faster way on a GPU or when a CPU computes gradients.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        mask: Shape (T, T), added to the attention scores, or None.

    Returns:
        Shape (B, T, W); equal to the block's own result up to rounding.
    """
    if tokens.device.type in COUNTED_WHOLE and not torch.is_grad_enabled():
        whole: Tensor = block(tokens, attn_mask=mask)
        return whole
    tokens = tokens + block.ls_1(_attend(block.attn, layer_norm(block.ln_1, tokens), mask))
    final: Tensor = tokens + block.ls_2(_feed_forward(block.mlp, layer_norm(block.ln_2, tokens)))
    return final


def layer_norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Apply a layer norm to tokens and keep their dtype."""
    # A GPU's autocast would convert bf16 tokens to float32 and back: three passes over memory instead of one. The bf16
    # kernel accumulates in float32 as well.
    if tokens.dtype == torch.float32 or tokens.device.type in COUNTED_WHOLE:
        usual: Tensor = norm(tokens)
        return usual
    return narrow_layer_norm(norm, tokens)


def narrow_layer_norm(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Apply a layer norm to bf16 tokens with its weights in bf16, regardless of autocast."""
    with torch.autocast(tokens.device.type, enabled=False):
        weight, bias = (value.to(tokens.dtype) for value in (norm.weight, norm.bias))
        return functional.layer_norm(tokens, norm.normalized_shape, weight, bias, norm.eps)


def trains_on_cpu(tokens: Tensor) -> bool:
    """Return whether these tokens are on a CPU and gradients are enabled."""
    return tokens.device.type == "cpu" and torch.is_grad_enabled()


def plain_is_faster(tokens: Tensor) -> bool:
    """Return whether plain matrix products are faster here than torch's fused attention."""
    # The backward pass of fused attention is slow on a CPU in bf16, most of all for short sequences.
    half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return half and tokens.shape[1] <= FEW and trains_on_cpu(tokens)


def _attend(attention: nn.MultiheadAttention, normal: Tensor, mask: Tensor | None) -> Tensor:
    """Return the self-attention of (B, T, W) as `nn.MultiheadAttention` computes it."""
    # `nn.MultiheadAttention` makes one more copy of queries, keys and values.
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
    """Run a block's MLP on (B, T, W)."""
    if not isinstance(mlp.gelu, QuickGELU):
        usual: Tensor = mlp(normal)
        return usual
    # QuickGELU(x) = silu(1.702 x) / 1.702; both factors are moved into the weights. The usual form saves three tensors
    # of the hidden width for the backward pass, this one saves one.
    hidden = functional.silu(functional.linear(normal, SLOPE * mlp.c_fc.weight, SLOPE * mlp.c_fc.bias))
    return functional.linear(hidden, mlp.c_proj.weight / SLOPE, mlp.c_proj.bias)
