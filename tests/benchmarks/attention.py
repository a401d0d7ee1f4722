"""The plain attention kernel against the fused one: forward and backward of an image tower in bf16 on a CPU.

python tests/benchmarks/attention.py [--threads 2]

Prints, per number of places, seconds of either and their ratio; `attention_kernel` takes the plain one up to `SHORT`.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from scing_cli.core.encoders.attention import SHORT
from scing_cli.core.encoders.image import build_transformer

TOWERS = {"scing-tiny": (192, 6, 6, 64), "ViT-B/16": (768, 2, 12, 16)}  # width, layers, heads, batch


def step(stack: torch.nn.Module, tokens: Tensor, kernels: list[SDPBackend]) -> float:
    """Return the seconds of one forward and backward."""
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel(kernels):
        stack(tokens).float().square().mean().backward()
    stack.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads; the plain kernel is taken up to {SHORT} places")
    for name, (width, layers, heads, batch) in TOWERS.items():
        stack = build_transformer(width=width, layers=layers, heads=heads, mlp_ratio=4.0, quick_gelu=True)
        for places in (12, 33, 51, 64, 129, 211):
            tokens = torch.randn(batch, places, width)
            seconds: dict[str, list[float]] = {"fused": [], "plain": []}
            for _ in range(given.repeats + 1):  # in turns, the first for warmth
                seconds["fused"].append(step(stack, tokens, [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]))
                seconds["plain"].append(step(stack, tokens, [SDPBackend.MATH]))
            fused, plain = (statistics.median(each[1:]) for each in seconds.values())
            print(
                f"{name:<11}{places:4} places  fused {fused:7.3f} s  plain {plain:7.3f} s  ratio {fused / plain:5.2f}"
            )


if __name__ == "__main__":
    main()
