"""Augmentation of one batch, pixel by pixel in plain Python, from the definition (R14) and given draws."""

from __future__ import annotations

from itertools import product

import numpy as np


def augment(
    pixels: np.ndarray,
    *,
    flip: np.ndarray,
    corner: np.ndarray,
    occluded: np.ndarray,
    occluder: np.ndarray,
    erased: np.ndarray,
    noise: np.ndarray,
    padding: int,
    black: tuple[float, float, float],
) -> np.ndarray:
    """Return the augmented copy of `pixels`, shape (B, 3 S, H, W); the draws are those of `Draws`.

    Each spectrum of an image, three channels, has its own box to erase. NaN never covers another image.
    """
    count, channels, height, width = pixels.shape
    cropped = np.empty_like(pixels)
    for image, channel, y, x in product(range(count), range(channels), range(height), range(width)):
        from_y, from_x = y + corner[image, 0] - padding, x + corner[image, 1] - padding
        value = black[channel % 3]
        if 0 <= from_y < height and 0 <= from_x < width:
            value = pixels[image, channel, from_y, width - 1 - from_x if flip[image] else from_x]
        cropped[image, channel, y, x] = value
    result = cropped.copy()
    values = iter(noise.tolist())
    for image, channel in product(range(count), range(channels)):
        for y, x in places(occluded[image]):
            value = cropped[occluder[image], channel, y, x] if count > 1 else np.nan
            result[image, channel, y, x] = black[channel % 3] if np.isnan(value) else value
        for y, x in places(erased[image * channels // 3 + channel // 3]):
            result[image, channel, y, x] = next(values)
    assert next(values, None) is None, "more noise was drawn than there are erased values"
    return result


def places(box: np.ndarray) -> list[tuple[int, int]]:
    """Return the (row, column) pairs of a box: top, left, height, width."""
    top, left, high, wide = box.tolist()
    return list(product(range(top, top + high), range(left, left + wide)))
