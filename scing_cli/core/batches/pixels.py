"""One image -> uint8 pixels of a given size; a batch of them -> normalised floats (R11).

All of it works without torch, and a batch may be an array or a tensor: whatever runs the image encoder, pixels reach it
by this code.

Shapes: B batch, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.runtime import to_device

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
Batch = TypeVar("Batch", npt.NDArray[Any], "torch.Tensor")

INTERPOLATIONS: Mapping[str, Image.Resampling] = MappingProxyType(
    {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
)


def resize(
    image: Image.Image, height: int, width: int, interpolation: str = "bicubic", *, into: Pixels | None = None
) -> Pixels:
    """Resize one image, antialiased and without keeping its aspect, as torchvision's Resize does with Pillow images.

    Works on the calling thread alone, and may be called from many.

    Args:
        image: Mode RGB, as `read_image` gives it.
        height: In pixels.
        width: In pixels.
        interpolation: A key of `INTERPOLATIONS`.
        into: Shape (3, height, width), uint8, to fill and return.

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
    raw = resized.tobytes("raw", "RGBX")  # as they lie in Pillow's memory: sorting out the X here would hold the lock
    pixels = np.empty((3, height, width), np.uint8) if into is None else into
    pixels[...] = np.frombuffer(raw, np.uint8).reshape(height, width, 4)[..., :3].transpose(2, 0, 1)
    return pixels


def normalise(pixels: Batch, mean: Sequence[float], std: Sequence[float]) -> Batch:
    """Scale bytes to [0, 1], subtract the mean and divide by the standard deviation of each channel (R11).

    Args:
        pixels: Shape (B, 3, H, W), uint8: an array, or a tensor on any device.
        mean: One value per channel, in [0, 1].
        std: One value per channel.

    Returns:
        Shape (B, 3, H, W), float32, of the same kind, on the same device; an array's bits are those of a CPU tensor.
    """
    centre, spread = (np.array(each, np.float32).reshape(1, 3, 1, 1) for each in (mean, std))
    if isinstance(pixels, np.ndarray):
        values: Any = pixels.astype(np.float32)
        shift, scale = centre, spread
    else:
        values = pixels.float()
        shift, scale = (to_device(each, values.device) for each in (centre, spread))
    values /= 255
    values -= shift
    values /= scale
    result: Batch = values
    return result


def black_value(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float, float]:
    """Return what a black pixel becomes under `normalise`.

    >>> black_value((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (-1.0, -1.0, -1.0)
    """
    red, green, blue = (-centre / spread for centre, spread in zip(mean, std, strict=True))
    return red, green, blue
