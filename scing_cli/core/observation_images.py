"""Reads the images of an observation: files, or parts of a strip that shows all spectra side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.errors import ImageError, spelled
from scing_cli.core.imagefile import read_image
from scing_cli.core.spectra import CROPS, SPECTRA, View


def read_view(view: View) -> Image.Image:
    """Decode one image of an observation.

    Returns:
        What `read_image` returns; of a strip, a third of its width.

    Raises:
        ImageError: Like `read_image`, or if a strip cannot be divided into images of one width.
    """
    return _part(read_image(view.file), view)


def read_views(views: Sequence[View | None]) -> list[Image.Image | None]:
    """Decode the images of an observation, each file once; None stays None.

    Raises:
        ImageError: Like `read_view`.
    """
    files = dict.fromkeys(view.file for view in views if view is not None)
    images = {file: read_image(file) for file in files}
    return [None if view is None else _part(images[view.file], view) for view in views]


def check_strip(path: Path, width: int) -> None:
    """Check that a strip of this width has an image of the same width for each spectrum.

    Raises:
        ImageError: If it has not.
    """
    if width % len(SPECTRA):
        raise ImageError(
            f"{spelled(path)} is {width} pixels wide, which cannot be divided into {len(SPECTRA)} images of one width.",
            f"The row's column {CROPS} says that it shows {len(SPECTRA)} images side by side: correct one of the two.",
        )


def _part(image: Image.Image, view: View) -> Image.Image:
    """Return the part of a strip that a view shows; the whole image for a view without a part."""
    if view.part is None:
        return image
    check_strip(view.file, image.width)
    width = image.width // len(SPECTRA)
    return image.crop((view.part * width, 0, (view.part + 1) * width, image.height))
