"""One image -> a uint8 tensor of a given size; a batch of them -> normalised floats (R11).

Shapes: B batch, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scing_cli.core.errors import DataError, SettingError

INTERPOLATIONS: Mapping[str, Image.Resampling] = MappingProxyType(
    {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
)


def resize_to_tensor(image: Image.Image, height: int, width: int, interpolation: str = "bicubic") -> Tensor:
    """Resize one image, antialiased and without keeping its aspect, as torchvision's Resize does with Pillow images.

    Only Pillow and numpy work here, on the calling thread: many threads may call it without torch's own threads waking.

    Args:
        image: Mode RGB, as `read_image` gives it.
        height: In pixels.
        width: In pixels.
        interpolation: A key of `INTERPOLATIONS`.

    Returns:
        Shape (3, height, width), uint8.

    Raises:
        SettingError: If the interpolation is unknown.
        DataError: If the image is not RGB.
    """
    if interpolation not in INTERPOLATIONS:
        raise SettingError(f"Interpolation {interpolation!r} is unknown.", f"Known: {', '.join(INTERPOLATIONS)}.")
    if image.mode != "RGB":
        raise DataError(
            f"An image of mode {image.mode} cannot be used as it is.", "Read it with read_image, which gives RGB."
        )
    resized = image.resize((width, height), INTERPOLATIONS[interpolation])
    return torch.from_numpy(np.array(resized).transpose(2, 0, 1).copy())  # (H, W, 3) -> (3, H, W)


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale bytes to [0, 1], subtract the mean and divide by the standard deviation of each channel (R11).

    Args:
        pixels: Shape (B, 3, H, W), uint8, on any device.
        mean: One value per channel, in [0, 1].
        std: One value per channel.

    Returns:
        Shape (B, 3, H, W), float32, on the same device.
    """
    centre, spread = (torch.tensor(tuple(values), device=pixels.device).view(1, 3, 1, 1) for values in (mean, std))
    return pixels.to(torch.float32).div_(255).sub_(centre).div_(spread)


def black_value(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float, float]:
    """Return what a black pixel becomes under `normalise`.

    >>> black_value((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (-1.0, -1.0, -1.0)
    """
    red, green, blue = (-centre / spread for centre, spread in zip(mean, std, strict=True))
    return red, green, blue
