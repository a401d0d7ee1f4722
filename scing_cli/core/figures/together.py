"""The images of an observation as one picture: upright ones side by side, wide ones one below the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from PIL import Image

from scing_cli.core.figures.montage_style import FILL, Layout, Style

GAP = 2  # pixels between two images


def together(images: Sequence[Image.Image | None]) -> Image.Image | None:
    """Draw the images of one observation together, in their order.

    Args:
        images: Of any sizes; they are scaled to the size of the first one. None for an image that cannot be read, whose
            place is grey.

    Returns:
        An RGB picture; None if no image is there.
    """
    first = next((image for image in images if image is not None), None)
    if first is None or len(images) == 1:
        return first
    width, height = first.size
    upright = height >= width
    step = (width + GAP, 0) if upright else (0, height + GAP)
    size = (width + step[0] * (len(images) - 1), height + step[1] * (len(images) - 1))
    picture = Image.new("RGB", size, FILL)
    for number, image in enumerate(images):
        if image is not None:
            own = image if image.size == first.size else image.resize(first.size, Image.Resampling.LANCZOS)
            picture.paste(own.convert("RGB"), (step[0] * number, step[1] * number))
    return picture


def layout_of(pictures: Iterable[Image.Image | None], layout: Layout | None = None, *, hits: Sequence[int]) -> Layout:
    """Return sizes whose cells are as wide as pictures of several upright images need.

    Args:
        pictures: What `together` drew.
        layout: The sizes for ordinary images; None for those that fit the number of lines.
        hits: How many hits each query has.
    """
    layout = layout or Layout()
    across = max((round(2 * picture.width / picture.height) for picture in pictures if picture is not None), default=1)
    if across < 2:
        return layout
    per_line = max(2 * layout.per_line // across, 1)
    wide = dataclasses.replace(layout, per_line=per_line)
    style = layout.style or Style.fitting(sum(wide.lines(count) for count in hits))
    return dataclasses.replace(
        wide, style=dataclasses.replace(style, width=style.width * across // 2, height=style.height // 2)
    )
