"""Why `runtime.autocast` computes attention in float32 on a CPU: forward and backward of both ways, in one run.

python tests/benchmarks/attention.py
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn.functional import scaled_dot_product_attention as attention

from scing_cli.core.runtime import autocast, default_workers

SHAPES = {
    "scing-tiny, image (64 x 33 places)": (64, 6, 33, 32),
    "ViT-B/16, prompts (64 x 12 places)": (64, 8, 12, 64),
    "ViT-B/16, 256x128, stride 16 (16 x 129 places)": (16, 12, 129, 64),
    "ViT-B/16, 256x128, stride 12 (16 x 211 places)": (16, 12, 211, 64),
}


def seconds(step, repeats: int = 7) -> float:
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(default_workers())
    for title, shape in SHAPES.items():
        tensors = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]

        def plain(tensors=tensors) -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = attention(*tensors)
            found.sum().backward()

        def ours(tensors=tensors) -> None:
            with autocast(torch.device("cpu"), "bf16"):
                found = attention(*tensors)
            found.sum().backward()

        usual, mine = seconds(plain), seconds(ours)
        print(f"{title}: bf16 {1e3 * usual:.1f} ms, float32 within autocast {1e3 * mine:.1f} ms, {usual / mine:.1f} x")


if __name__ == "__main__":
    main()
