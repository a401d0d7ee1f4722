"""CMC, mAP and mINP by plain loops, from their definitions: all pairs in float64, all rankings fully sorted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Ranking:
    """One query's result; None for a query without a true match."""

    average_precision: float
    inverse_penalty: float
    first_rank: int


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product of one pair in float64."""
    return float((np.array(a, dtype=np.float64) * np.array(b, dtype=np.float64)).sum())


def rank_one(
    query: np.ndarray,
    gallery: np.ndarray,
    identity: str,
    identities: Sequence[str],
    camera: str,
    cameras: Sequence[str],
    protocol: str,
    key: str = "",
    keys: Sequence[str] = (),
    scene: str = "",
    scenes: Sequence[str] = (),
) -> Ranking | None:
    """Sort one query's gallery, drop the query itself and what the protocol leaves out, and walk down the list."""
    scored = sorted((-similarity(query, row), n) for n, row in enumerate(gallery))
    matches = []
    for _, n in scored:
        if key != "" and keys[n] == key and protocol != "text":
            continue
        same_person = identity != "" and identities[n] == identity
        same_camera = camera != "" and cameras[n] == camera
        if protocol == "market" and same_person and same_camera:
            continue
        if protocol == "scene" and same_person and scene != "" and scenes[n] == scene:
            continue
        matches.append(same_person)
    total = sum(matches)
    if total == 0:
        return None
    seen, precisions, first, last = 0, [], 0, 0
    for rank, match in enumerate(matches, start=1):
        if match:
            seen += 1
            precisions.append(seen / rank)
            first = first or rank
            last = rank
    return Ranking(math.fsum(precisions) / total, total / last, first)


def evaluate_by_loops(
    query: np.ndarray,
    gallery: np.ndarray,
    query_identities: Sequence[str],
    gallery_identities: Sequence[str],
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    protocol: str,
    query_keys: Sequence[str] = (),
    gallery_keys: Sequence[str] = (),
    query_scenes: Sequence[str] = (),
    gallery_scenes: Sequence[str] = (),
    length: int = 50,
) -> tuple[float, float, list[float], list[Ranking | None]]:
    """mAP, mINP and the CMC curve in percent over the queries with a true match, and each query's result."""
    results = [
        rank_one(
            query[i],
            gallery,
            query_identities[i],
            gallery_identities,
            query_cameras[i],
            gallery_cameras,
            protocol,
            query_keys[i] if query_keys else "",
            gallery_keys,
            query_scenes[i] if query_scenes else "",
            gallery_scenes,
        )
        for i in range(len(query))
    ]
    valid = [result for result in results if result is not None]
    if not valid:
        return math.nan, math.nan, [], results
    count = len(valid)
    mean_precision = 100 * math.fsum(result.average_precision for result in valid) / count
    mean_penalty = 100 * math.fsum(result.inverse_penalty for result in valid) / count
    cmc = [100 * sum(result.first_rank <= k for result in valid) / count for k in range(1, length + 1)]
    return mean_precision, mean_penalty, cmc, results
