"""Images as library users have them: files, PIL images, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.errors import DataError, ImageError, counted
from scing_cli.core.imagefile import upright_rgb
from scing_cli.core.paths import StrPath
from scing_cli.core.spectra import VISIBLE, Observation, Source, View, in_words

Picture = StrPath | Image.Image | npt.NDArray[Any] | Observation
"""One image: a file, a PIL image of any mode, an array (H, W, 3) RGB or (H, W) grey of uint8; or an observation."""
Pictures = Picture | Iterable[Picture]
"""One image or several; an array (N, H, W, 3) is N of them."""


def as_pictures(images: Pictures) -> list[Source | Image.Image]:
    """Return one image or several as a list of files, observations and RGB images."""
    if isinstance(images, np.ndarray):
        return [_decoded(image) for image in (images if images.ndim == 4 else [images])]
    if isinstance(images, str | os.PathLike | Image.Image | Observation):
        return [_decoded(images)]
    return [_decoded(image) for image in images]


def check_readable(images: Sequence[Source | Image.Image], spectra: Sequence[str], name: str) -> None:
    """Check that a model reads what observations show, and files and images, which show the visible.

    Args:
        images: From `as_pictures`.
        spectra: The model's spectra; none for a model of ordinary images.
        name: The model's name.

    Raises:
        DataError: If it does not.
    """
    read = tuple(spectra) or (VISIBLE,)
    for image in images:
        if isinstance(image, Observation):
            if len(image.views) != len(read):
                count = counted(len(image.views), "image")
                raise DataError(
                    f"An observation has {count}; {name} reads {len(read)}: {in_words(read)}.",
                    "Give one for each spectrum, in this order, and None where there is none.",
                )
        elif VISIBLE not in read:
            raise DataError(
                f"{name} reads {in_words(read)} images, no visible ones.", "Give observations: scing_cli.Observation."
            )


def _decoded(image: Picture) -> Source | Image.Image:
    if isinstance(image, Observation):
        return Observation(tuple(None if view is None else View(Path(view.file), view.part) for view in image.views))
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
