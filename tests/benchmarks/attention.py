"""Our transformer block for CPU training against open_clip's block: forward and backward in bf16, at the token counts of several models.

python tests/benchmarks/attention.py [--quick] [--repeats 5] [--threads 2]

One JSON line for each; `run_block` takes attention's plain products up to `FEW` places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from measuring import in_turns, line, options, settle
from torch import Tensor

from scing_cli.core.encoders.attention import FEW, run_block
from scing_cli.core.encoders.image import build_transformer

TOWERS = {"scing-tiny": (192, 6, 64), "ViT-B/16": (768, 12, 16)}  # width, heads, batch
PLACES = (12, 33, 51, 64, 129, 211)


def step(block: torch.nn.Module, tokens: Tensor, way: Callable[..., Tensor]) -> None:
    """Take one forward and backward."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        way(block, tokens, None).float().square().mean().backward()
    block.zero_grad(set_to_none=True)


def usual(block: torch.nn.Module, tokens: Tensor, mask: Tensor | None) -> Tensor:
    whole: Tensor = block(tokens, attn_mask=mask)
    return whole


def main() -> None:
    given = settle(options(__doc__, repeats=5).parse_args())
    for name, (width, heads, batch) in list(TOWERS.items())[: 1 if given.quick else None]:
        block = build_transformer(width=width, layers=1, heads=heads, mlp_ratio=4.0, quick_gelu=True).resblocks[0]
        for places in PLACES[: 1 if given.quick else None]:
            tokens = torch.randn(batch, places, width, dtype=torch.bfloat16).requires_grad_()
            sides = (partial(step, block, tokens, way) for way in (usual, run_block))
            line(f"a block of {name}, {batch} x {places} places, bf16", *in_turns(*sides, given.repeats), few=FEW)


if __name__ == "__main__":
    main()
