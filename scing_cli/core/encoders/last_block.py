"""A tower's blocks, where the last block is computed only for the tokens whose output is used.

These are the class tokens of images and the end tokens of texts. The other tokens serve the last block as keys and
values only, and with a single query neither has to be computed for each token. A score is
q . (K n + b) = (K^T q) . n + q . b, where n is a token after the layer norm. K^T q is computed once, and q . b is equal
for all tokens, so the softmax cancels it. The values are handled in the same way: V (weighted sum of n) + b. The result
equals the dense block's up to rounding.

Legend: B texts or images, T tokens, W width of the tower, h heads, w width of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.encoders.attention import RunBlock, layer_norm, run_block
from scing_cli.core.encoders.deep_prompts import put_prompts

Positions = int | Tensor  # one position for all rows, or (B,) int64
LastBlockOf = Callable[[Any, Tensor, Sequence[int]], Tensor]  # the signature of `last_block_of`


class LastBlock(Protocol):
    """The signature of `last_block` and `dense_block`."""

    def __call__(self, block: Any, tokens: Tensor, positions: Positions, *, causal: bool) -> Tensor:
        """Run the last block and return its output at the given positions, (B, W)."""
        ...


class Read(NamedTuple):
    """Tokens of a stack of blocks at the positions that are read.

    Args:
        previous: Shape (B, W): before the last block.
        final: Shape (B, W): after the last block.
    """

    previous: Tensor
    final: Tensor


def last_block(block: Any, tokens: Tensor, positions: Positions, *, causal: bool) -> Tensor:
    """Run a residual attention block for one token of each row; equal to `dense_block` up to rounding.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        positions: Position of the token that is read, in 0..T-1: one for all rows, or one per row, (B,) int64.
        causal: Whether a token attends only to itself and earlier tokens; otherwise it attends to all.

    Returns:
        Shape (B, W).
    """
    if causal and isinstance(positions, int):
        tokens = tokens[:, : positions + 1]
    normal = layer_norm(block.ln_1, tokens)  # (B, T, W)
    seen = None
    if causal and not isinstance(positions, int):
        seen = torch.arange(tokens.shape[1], device=tokens.device) <= positions[:, None]  # (B, T)
    result = _at(tokens, positions) + block.ls_1(_attend(block.attn, _at(normal, positions), normal, seen))
    final: Tensor = result + block.ls_2(block.mlp(block.ln_2(result)))
    return final


def dense_block(block: Any, tokens: Tensor, positions: Positions, *, causal: bool) -> Tensor:
    """Run the block for all tokens, then select the positions that are read.

    This is the usual computation; tests and operation counts use it as the reference.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        positions: One position for all rows, or one per row, (B,) int64.
        causal: Whether a token attends only to itself and earlier tokens.

    Returns:
        Shape (B, W).
    """
    return _at(block(tokens, attn_mask=causal_mask(tokens.shape[1], tokens) if causal else None), positions)


def last_block_of(block: Any, tokens: Tensor, places: Sequence[int]) -> Tensor:
    """Run a residual attention block for several tokens of each row; equal to `dense_block_of` up to rounding.

    All tokens serve as keys and values. The MLP and the output of the attention are computed for the read tokens only.

    Args:
        block: open_clip's `ResidualAttentionBlock`, without dropout.
        tokens: Shape (B, T, W).
        places: Positions of the P tokens that are read, the same for all rows.

    Returns:
        Shape (B, P, W).
    """
    attention, normal, width = block.attn, layer_norm(block.ln_1, tokens), tokens.shape[2]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = functional.linear(normal[:, places], weight[:width], bias[:width])  # (B, P, W)
    packed = functional.linear(normal, weight[width:], bias[width:]).chunk(2, dim=2)  # (B, T, W) each
    heads = (len(tokens), -1, attention.num_heads, attention.head_dim)
    query, key, value = (part.reshape(heads).transpose(1, 2) for part in (query, *packed))
    mixed = functional.scaled_dot_product_attention(query, key, value)  # (B, h, P, w)
    result = tokens[:, places] + block.ls_1(attention.out_proj(mixed.transpose(1, 2).flatten(2)))
    final: Tensor = result + block.ls_2(block.mlp(block.ln_2(result)))
    return final


def dense_block_of(block: Any, tokens: Tensor, places: Sequence[int]) -> Tensor:
    """Run the block for all tokens, then select those that are read; tests use it as the reference."""
    whole: Tensor = block(tokens, attn_mask=None)
    return whole[:, places]


def read_blocks(
    blocks: Iterable[Any],
    tokens: Tensor,
    positions: Positions,
    last: LastBlock,
    *,
    causal: bool,
    run: RunBlock | None = None,
    prompts: Tensor | None = None,
) -> Read:
    """Run a stack of blocks: all but the last for every token.

    Deep prompts are put in after the first token of each row (`deep_prompts`).

    Args:
        blocks: At least one.
        tokens: Shape (B, T, W), without prompts.
        positions: As for `last_block`; they count the prompts.
        last: Runs the last block.
        causal: As for `last_block`; it applies to every block.
        run: Runs the other blocks; None for `run_block`.
        prompts: Shape (J, n, W), for the first J blocks; None for no prompts.
    """
    *first, final = blocks
    added = 0 if prompts is None else prompts.shape[1]
    mask = causal_mask(added + tokens.shape[1], tokens) if causal else None
    for number, block in enumerate(first):
        tokens = (run or run_block)(block, put_prompts(tokens, prompts, number), mask)
    tokens = put_prompts(tokens, prompts, len(first))
    return Read(_at(tokens, positions), last(final, tokens, positions, causal=causal))


def causal_mask(length: int, like: Tensor) -> Tensor:
    """Return the additive mask (length, length): 0 up to the diagonal, -inf above it; dtype and device of `like`."""
    return torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def _at(tokens: Tensor, positions: Positions) -> Tensor:
    """Return one token of each row of (B, T, W): (B, W)."""
    if isinstance(positions, int):
        return tokens[:, positions]
    return tokens[torch.arange(len(tokens), device=tokens.device), positions]


def _attend(attention: torch.nn.MultiheadAttention, queries: Tensor, normal: Tensor, seen: Tensor | None) -> Tensor:
    """Return what `nn.MultiheadAttention` computes for one query token per row.

    Args:
        attention: The attention whose weights are used; the bias of its keys has no effect on the result.
        queries: Shape (B, W): the query tokens.
        normal: Shape (B, T, W): all tokens after the layer norm.
        seen: Shape (B, T), bool: the tokens that each row attends to; None for all.

    Returns:
        Shape (B, W).
    """
    heads, width = attention.num_heads, attention.head_dim
    of_query, of_key, of_value = attention.in_proj_weight.chunk(3)  # (W, W) each
    bias, _, shift = attention.in_proj_bias.chunk(3)
    query = functional.linear(queries, of_query, bias).view(-1, heads, width)  # (B, h, w)
    projected = torch.einsum("bhw,hwx->bhx", query, of_key.view(heads, width, -1))  # K^T q: (B, h, W)
    mask = None if seen is None else seen[:, None]
    mixed = functional.scaled_dot_product_attention(projected, normal, normal, attn_mask=mask, scale=width**-0.5)
    values = torch.einsum("bhx,hwx->bhw", mixed, of_value.view(heads, width, -1)).flatten(1) + shift  # (B, W)
    result: Tensor = attention.out_proj(values)
    return result
