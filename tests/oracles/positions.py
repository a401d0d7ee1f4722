"""Bilinear resizing of position embeddings, one patch at a time."""

from __future__ import annotations

import numpy as np


def resize_by_loops(embedding: np.ndarray, source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Sample the source grid at the centres of the target's cells, clamped at the border; float64."""
    grid = embedding[1:].astype(np.float64).reshape(*source, -1)
    rows = [embedding[0].astype(np.float64)]
    for row in range(target[0]):
        for column in range(target[1]):
            y = max((row + 0.5) * source[0] / target[0] - 0.5, 0.0)
            x = max((column + 0.5) * source[1] / target[1] - 0.5, 0.0)
            top, left = int(y), int(x)
            below, right = min(top + 1, source[0] - 1), min(left + 1, source[1] - 1)
            v, u = y - top, x - left
            rows.append(
                (1 - v) * (1 - u) * grid[top, left]
                + (1 - v) * u * grid[top, right]
                + v * (1 - u) * grid[below, left]
                + v * u * grid[below, right]
            )
    return np.stack(rows)
