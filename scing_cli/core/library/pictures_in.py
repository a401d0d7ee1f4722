"""Images as library users have them: files, PIL images, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.errors import DataError, ImageError
from scing_cli.core.imagefile import upright_rgb
from scing_cli.core.paths import StrPath

Picture = StrPath | Image.Image | npt.NDArray[Any]
"""One image: a file, a PIL image of any mode, or an array (H, W, 3) RGB or (H, W) grey of uint8."""
Pictures = Picture | Iterable[Picture]
"""One image or several; an array (N, H, W, 3) is N of them."""


def as_pictures(images: Pictures) -> list[Path | Image.Image]:
    """Return one image or several as a list of files and RGB images."""
    if isinstance(images, np.ndarray):
        return [_decoded(image) for image in (images if images.ndim == 4 else [images])]
    if isinstance(images, str | os.PathLike | Image.Image):
        return [_decoded(images)]
    return [_decoded(image) for image in images]


def _decoded(image: Picture) -> Path | Image.Image:
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise DataError(
                f"An array of shape {image.shape} and type {image.dtype} is not an image.",
                "Give uint8 arrays, (H, W, 3) in RGB order or (H, W) in grey.",
            )
        image = Image.fromarray(image)
    try:
        return upright_rgb(image)
    except (OSError, ValueError) as error:
        raise ImageError(f"An image cannot be converted to RGB: {error}.") from error
