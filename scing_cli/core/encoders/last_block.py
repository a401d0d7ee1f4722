"""A tower's blocks, the last of them only at the places that are read: the class token, or the ends of texts.

Nothing reads what the last block makes of the other places, so it is not computed. Their keys and values count, but
with one query they need not be made. A score is q . (K n + b) = (K^T q) . n + q . b, where n is a place after the
layer norm: K^T q is computed once instead of a key at each place, and q . b, the same at every place, falls out of the
softmax. Values are taken likewise: V (sum of the weighted n) + b. The function stays the dense one up to rounding.

Legend: B texts or images, T places, W width of the tower, h heads, w width of a head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.encoders.attention import RunBlock, layer_norm, run_block

Places = int | Tensor


class LastBlock(Protocol):
    """Runs the last block and returns it at the places read: `last_block`, or `dense_block` for all places."""

    def __call__(self, block: Any, tokens: Tensor, places: Places, *, causal: bool) -> Tensor:
        """See `last_block`."""
        ...


class Read(NamedTuple):
    """What a stack of blocks says at the places read.

    Args:
        previous: Shape (B, W): before the last block.
        final: Shape (B, W): after it.
    """

    previous: Tensor
    final: Tensor


def last_block(block: Any, tokens: Tensor, places: Places, *, causal: bool) -> Tensor:
    """Run a residual attention block at one place of each row; equal to `dense_block` up to rounding.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        places: What is read: one place for all rows, or one for each, (B,) int64; in 0..T-1.
        causal: Whether a place sees itself and earlier ones alone; otherwise it sees all.

    Returns:
        Shape (B, W).
    """
    if causal and isinstance(places, int):
        tokens = tokens[:, : places + 1]
    normal = layer_norm(block.ln_1, tokens)  # (B, T, W)
    seen = None
    if causal and not isinstance(places, int):
        seen = torch.arange(tokens.shape[1], device=tokens.device) <= places[:, None]  # (B, T)
    result = _at(tokens, places) + block.ls_1(_attend(block.attn, _at(normal, places), normal, seen))
    final: Tensor = result + block.ls_2(block.mlp(block.ln_2(result)))
    return final


def dense_block(block: Any, tokens: Tensor, places: Places, *, causal: bool) -> Tensor:
    """Run the block at all places and pick those read: the usual way, which counts and tests are held against.

    Args:
        block: As for `last_block`, and so are the others.
        tokens: Shape (B, T, W).
        places: One, or (B,).
        causal: Whether no place sees a later one.

    Returns:
        Shape (B, W).
    """
    return _at(block(tokens, attn_mask=causal_mask(tokens.shape[1], tokens) if causal else None), places)


def read_blocks(
    blocks: Iterable[Any],
    tokens: Tensor,
    places: Places,
    last: LastBlock,
    *,
    causal: bool,
    run: RunBlock | None = None,
) -> Read:
    """Run a stack of blocks: all of them but the last at every place.

    Args:
        blocks: At least one.
        tokens: Shape (B, T, W).
        places: As for `last_block`.
        last: How the last block is run.
        causal: As for `last_block`, of every block.
        run: How the others are run; None for `run_block`.
    """
    *first, final = blocks
    mask = causal_mask(tokens.shape[1], tokens) if causal else None
    for block in first:
        tokens = (run or run_block)(block, tokens, mask)
    return Read(_at(tokens, places), last(final, tokens, places, causal=causal))


def causal_mask(places: int, like: Tensor) -> Tensor:
    """Return the additive mask (places, places): 0 up to the diagonal, -inf after it; dtype and device of `like`."""
    return torch.full((places, places), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def _at(tokens: Tensor, places: Places) -> Tensor:
    """Return one place of each row of (B, T, W): (B, W)."""
    if isinstance(places, int):
        return tokens[:, places]
    return tokens[torch.arange(len(tokens), device=tokens.device), places]


def _attend(attention: torch.nn.MultiheadAttention, asking: Tensor, normal: Tensor, seen: Tensor | None) -> Tensor:
    """Return what `nn.MultiheadAttention` gives for one query per row.

    Args:
        attention: Its weights; its bias of keys changes nothing.
        asking: Shape (B, W): the places that ask.
        normal: Shape (B, T, W): all places.
        seen: Shape (B, T), bool: which places each row sees; None for all.

    Returns:
        Shape (B, W).
    """
    heads, width = attention.num_heads, attention.head_dim
    of_query, of_key, of_value = attention.in_proj_weight.chunk(3)  # (W, W) each
    bias, _, shift = attention.in_proj_bias.chunk(3)
    query = functional.linear(asking, of_query, bias).view(-1, heads, width)  # (B, h, w)
    wanted = torch.einsum("bhw,hwx->bhx", query, of_key.view(heads, width, -1))  # (B, h, W)
    mask = None if seen is None else seen[:, None]
    mixed = functional.scaled_dot_product_attention(wanted, normal, normal, attn_mask=mask, scale=width**-0.5)
    values = torch.einsum("bhx,hwx->bhw", mixed, of_value.view(heads, width, -1)).flatten(1) + shift  # (B, W)
    result: Tensor = attention.out_proj(values)
    return result
