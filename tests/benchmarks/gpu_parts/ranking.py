"""Evaluation with products on the device and on the CPU; a separate figure says whether both agree."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from gpu_parts.ground import Figure, Ground
from scing_cli.core.evaluation import Scores, Side, evaluate
from scing_cli.core.evaluation.device import DeviceProducts
from scing_cli.core.evaluation.products import GALLERY_BLOCK

WIDTH, HITS, CAMERAS, NOISE = 512, 20, 6, 0.13
BLOCK = 50_000
SPARE = 5.0  # seconds of the part's that must remain; what would take longer is projected
BLOCKS = (256, GALLERY_BLOCK)  # queries and gallery rows that meet at a time


def side(ground: Ground, count: int, people: int, seed: int) -> Side:
    """Draw unit vectors around a centre for each person, (N, D), with identities and cameras."""
    draw = torch.Generator(device=ground.device).manual_seed(seed)
    shared = torch.Generator(device=ground.device).manual_seed(0)
    centres = torch.randn(people, WIDTH, generator=shared, device=ground.device) / WIDTH**0.5
    who = torch.randint(people, (count,), generator=draw, device=ground.device)
    cameras = torch.randint(CAMERAS, (count,), generator=draw, device=ground.device)
    vectors = np.empty((count, WIDTH), np.float32)
    for low in range(0, count, BLOCK):
        own = centres[who[low : low + BLOCK]]
        own = own + NOISE * torch.randn(own.shape, generator=draw, device=ground.device)
        vectors[low : low + BLOCK] = torch.nn.functional.normalize(own, dim=1).cpu().numpy()
    return Side(vectors, identities=list(map(str, who.tolist())), cameras=list(map(str, cameras.tolist())))


def ranked(query: Side, gallery: Side, products: DeviceProducts | None) -> tuple[Scores, float]:
    """Return the scores and the seconds."""
    start = time.perf_counter()
    scores = evaluate(query, gallery, protocol="market", products=products)
    return scores, time.perf_counter() - start


def measure(ground: Ground) -> Iterator[Figure]:
    """Yield the seconds of each size; the last is begun only if there is time for it."""
    products = DeviceProducts(ground.device)
    ground.rates["float64"] = double_rate(ground, products)
    yield Figure("float64 products in its blocks", ground.rates["float64"] / 1e12, "TFLOP/s")
    (queries, rows), (many, large) = ground.sizes.evaluations
    query, gallery = (side(ground, count, max(rows // HITS, 2), seed) for count, seed in ((queries, 1), (rows, 2)))
    ranked(query, gallery, products)
    yield from both(ground, query, gallery, products)

    query, gallery = (side(ground, count, max(large // HITS, 2), seed) for count, seed in ((many, 1), (large, 2)))
    few = query.rows(np.arange(min(ground.sizes.subset, len(query))))
    device, *others = both(ground, few, gallery, products)
    yield from (device, *others)
    rest = 2 * WIDTH * (many - len(few)) * large / ground.rates["float64"]  # s, of the other queries' products
    name = f"{many:,} x {large:,} x {WIDTH}, device products"
    if device.value + rest > ground.left() - SPARE:
        yield Figure(name, device.value + rest, "s", bound="at least: no time to measure it")
        return
    scores, seconds = ranked(query, gallery, products)
    yield told(ground, name, (many, large), scores, seconds)


def both(ground: Ground, query: Side, gallery: Side, products: DeviceProducts) -> Iterator[Figure]:
    """Rank with either; every score must be the same."""
    size = (len(query), len(gallery))
    scores, seconds = ranked(query, gallery, products)
    yield told(ground, f"{size[0]:,} x {size[1]:,} x {WIDTH}, device products", size, scores, seconds)
    known, cpu = ranked(query, gallery, None)
    yield Figure("  the same on the CPU", cpu, "s", bound=f"{cpu / seconds:.2f} x the device's")
    pairs = ((scores.mAP, known.mAP), (scores.rank1, known.rank1), (scores.valid_queries, known.valid_queries))
    far = max(abs(own - other) for own, other in pairs)
    yield Figure("  mAP, rank-1 or queries apart", far, "", aim=0.0, least=False)


def told(ground: Ground, name: str, size: tuple[int, int], scores: Scores, seconds: float) -> Figure:
    """Return a ranking's figure, with the share of its time that the products alone would take."""
    share = 100 * 2 * WIDTH * size[0] * size[1] / ground.rates["float64"] / seconds
    more = {"mAP": scores.mAP, "rank1": scores.rank1, "valid queries": scores.valid_queries}
    return Figure(name, seconds, "s", bound=f"{share:.0f} % its products", more=more)


def double_rate(ground: Ground, products: DeviceProducts) -> float:
    """Return the rate of float64 products in the blocks that evaluation takes, in operations/s."""
    query, rows = (np.ones((count, WIDTH), np.float32) for count in BLOCKS)
    left, right = (products.load(side, np.float64) for side in (query, rows))
    return 2 * WIDTH * BLOCKS[0] * BLOCKS[1] / ground.median(lambda: left @ right.T, inner=1 if ground.quick else 20)
