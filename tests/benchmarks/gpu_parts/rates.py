"""Rates of the device: bf16 matrix products, copies, and the host's time per kernel launch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gpu_parts.ground import Figure, Ground


def measure(ground: Ground) -> Iterator[Figure]:
    """Yield the rates, and keep them for the other parts."""
    yield from _products(ground)
    yield from _copies(ground)
    few = torch.zeros(8, device=ground.device)
    launch = ground.median(lambda: few.add_(1), warm=50, inner=20 if ground.quick else 2_000)
    yield Figure("a small kernel after the other", 1e6 * launch, "µs", bound="launches")


def _products(ground: Ground) -> Iterator[Figure]:
    rates = {}
    for m, k, n in ground.sizes.products:
        left, right = (torch.randn(shape, device=ground.device).bfloat16() for shape in ((m, k), (k, n)))
        out = torch.empty(m, n, dtype=torch.bfloat16, device=ground.device)

        def product(left: torch.Tensor = left, right: torch.Tensor = right, out: torch.Tensor = out) -> None:
            torch.mm(left, right, out=out)

        inner = 3 if ground.quick else max(3, int(1e13 / (2 * m * k * n)))
        rates[f"{m} x {k} x {n}"] = 2 * m * k * n / ground.median(product, warm=10, inner=inner)
    best = max(rates, key=rates.__getitem__)
    ground.rates["matrix"] = rates[best]
    told = {size: float(f"{rate / 1e12:.4g}") for size, rate in rates.items()}
    yield Figure(f"bf16 products, {best}", rates[best] / 1e12, "TFLOP/s", more={"sizes": told})


def _copies(ground: Ground) -> Iterator[Figure]:
    size, gpu = ground.sizes.copied, ground.device.type == "cuda"
    host = torch.ones(size, dtype=torch.uint8, pin_memory=gpu)
    there, other = (torch.ones(size, dtype=torch.uint8, device=ground.device) for _ in range(2))
    ways = {
        "to device": ("copy, pinned host to device", lambda: there.copy_(host, non_blocking=True), 1),
        "to host": ("copy, device to pinned host", lambda: host.copy_(there, non_blocking=True), 1),
        "on device": ("copy on the device, read and written", lambda: other.copy_(there), 2),
    }
    for key, (name, work, passes) in ways.items():
        ground.rates[key] = passes * size / ground.median(work)
        yield Figure(name, ground.rates[key] / 1e9, "GB/s")
    pageable = ground.median(there.cpu)
    ground.rates["to pageable"] = size / pageable
    yield Figure("copy, device to pageable host", size / pageable / 1e9, "GB/s")
