"""Resizes images to uint8 pixels and normalises batches of them (R11).

None of this needs torch. A batch can be an array or a tensor, so all image encoders share this code.

Shapes: B batch, S spectra, 1 for ordinary images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.devices import to_device
from scing_cli.core.errors import DataError, SettingError

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
    """Resize one image with antialiasing, ignoring its aspect ratio, as torchvision's Resize does with Pillow images.

    It is thread-safe and uses only the calling thread.

    Args:
        image: An image of mode RGB, for example from `read_image`.
        height: Height of the result, in pixels.
        width: Width of the result, in pixels.
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
            f"An image of mode {image.mode} cannot be used directly.", "Read it with read_image, which returns RGB."
        )
    resized = image.resize((width, height), INTERPOLATIONS[interpolation])
    # RGBX is the layout in Pillow's memory; converting to RGB in Pillow would hold the GIL.
    raw = resized.tobytes("raw", "RGBX")
    pixels = np.empty((3, height, width), np.uint8) if into is None else into
    pixels[...] = np.frombuffer(raw, np.uint8).reshape(height, width, 4)[..., :3].transpose(2, 0, 1)
    return pixels


def normalise(
    pixels: Batch, mean: Sequence[float], std: Sequence[float], missing: npt.NDArray[np.bool_] | None = None
) -> Batch:
    """Scale bytes to [0, 1], subtract the mean and divide by the standard deviation of each channel (R11).

    Args:
        pixels: Shape (B, 3 S, H, W), uint8: an array, or a tensor on any device.
        mean: One value per channel of an image, in [0, 1].
        std: One value per channel of an image.
        missing: Shape (B, S): the spectra that an observation lacks; None if it lacks none.

    Returns:
        Shape (B, 3 S, H, W), float32: an array or a tensor on the same device, as given; NaN in missing spectra. Arrays
        and CPU tensors get bit-identical values.
    """
    centre, spread = (
        np.tile(np.array(each, np.float32), pixels.shape[1] // 3).reshape(1, -1, 1, 1) for each in (mean, std)
    )
    if isinstance(pixels, np.ndarray):
        values: Any = pixels.astype(np.float32)
        shift, scale = centre, spread
    else:
        values = pixels.float()
        shift, scale = (to_device(each, values.device) for each in (centre, spread))
    values /= 255
    values -= shift
    values /= scale
    if missing is not None and missing.any():
        rows, spectra = np.nonzero(missing)
        values.reshape(len(pixels), -1, 3, *pixels.shape[2:])[rows, spectra] = np.nan
    result: Batch = values
    return result


def black_value(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float, float]:
    """Return the value of a black pixel after `normalise`, per channel.

    >>> black_value((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    (-1.0, -1.0, -1.0)
    """
    red, green, blue = (-centre / spread for centre, spread in zip(mean, std, strict=True))
    return red, green, blue
