"""Heat maps over images, and the ranked montage with heat on the regions that raise the score.

The image is drawn nearly grey, so that the colour of a coat is not mistaken for heat. Details stay visible under the
heat, whose colours become lighter and more yellow as it increases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.figures.montage import Key, MontageHit, ranked_montage
from scing_cli.core.figures.montage_style import Layout

FloatArray = npt.NDArray[np.floating]
# Colours at equal steps of strength, from the upper part of matplotlib's inferno (CC0).
RAMP = (
    (0.34, 0.06, 0.43),
    (0.58, 0.15, 0.40),
    (0.79, 0.25, 0.29),
    (0.93, 0.41, 0.15),
    (0.98, 0.63, 0.10),
    (0.97, 0.90, 0.45),
)
COVER = 0.75  # opacity of the greatest heat
RISE = 0.75  # exponent of the opacity; below 1, moderate heat is easier to see
COLOUR_KEPT = 0.12  # share of the image's colour that remains
TITLE = "What makes the nearest images alike"
LINES = (
    "little to much of the cosine with the query (in the query: with its hits)",
    "each image on a scale of its own",
)


def overlay(image: Image.Image, heat: FloatArray) -> Image.Image:
    """Draw heat over an image.

    Args:
        image: Any picture; it is not changed.
        heat: Shape (H, W'), values of at least 0. It is resized to the image and scaled by its maximum; zeros show no
            heat.

    Returns:
        An RGB picture of the size of the image.
    """
    top = float(heat.max())
    scaled = heat / top if top > 0 else heat
    small = Image.fromarray(scaled.astype(np.float32))
    strength = np.clip(np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)), 0, 1)  # (height, width)
    colour = np.asarray(image.convert("RGB"), dtype=np.float32) / 255  # (height, width, 3)
    grey = colour.mean(axis=2, keepdims=True)
    faded = grey + COLOUR_KEPT * (colour - grey)
    cover = COVER * (strength**RISE)[..., None]  # (height, width, 1)
    mixed = (1 - cover) * faded + cover * ramp(strength)
    return Image.fromarray(np.rint(255 * mixed).astype(np.uint8))


def ramp(strength: FloatArray) -> FloatArray:
    """Return the colours, shape (..., 3) in [0, 1], of strengths of any shape in [0, 1]."""
    positions = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(strength, positions, channel) for channel in zip(*RAMP, strict=True)], axis=-1)


def saliency_montage(
    queries: Sequence[tuple[Image.Image, str | Sequence[str]]],
    hits: Sequence[Sequence[MontageHit]],
    *,
    layout: Layout | None = None,
) -> Image.Image:
    """Draw queries and their ranked hits with a colour key. All pictures come from `overlay`.

    Args:
        queries: Each query's picture and its title, or several lines.
        hits: For each query its hits, best first.
        layout: Sizes; None for those that fit the number of hits.

    Raises:
        ValueError: If there is no query, or the number of rankings differs from the number of queries.
    """
    across = np.broadcast_to(np.linspace(0, 1, 96), (12, 96))
    strip = overlay(Image.new("RGB", (96, 12), (128, 128, 128)), across)
    return ranked_montage(queries, hits, title=TITLE, key=Key(strip, LINES), layout=layout)
