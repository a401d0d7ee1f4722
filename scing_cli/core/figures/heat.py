"""The ranked montage with heat: on each image, the regions that raise its score.

The image itself is nearly grey, so that no colour of a coat is taken for heat; hot regions keep their drawing under a
ramp that gets lighter and more yellow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.figures.montage import Key, MontageHit, ranked_montage

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
COVER = 0.75  # of the image, where the heat is greatest
RISE = 0.75  # below 1: moderate heat is seen, and the faint one of a background is not
COLOUR_KEPT = 0.12  # of the image's own
TITLE = "What makes the nearest images alike"
LINES = (
    "little to much of the cosine with the query (in the query: with its hits)",
    "each image on a scale of its own",
)


def overlay(image: Image.Image, heat: FloatArray) -> Image.Image:
    """Lay heat over an image.

    Args:
        image: Any picture; it is left as it is.
        heat: Shape (H, W'), at least 0: spread over the whole image, its greatest value shown strongest; zeros show
            no heat.

    Returns:
        An RGB picture of the image's size.
    """
    top = float(heat.max())
    scaled = heat / top if top > 0 else heat
    small = Image.fromarray(scaled.astype(np.float32))
    strength = np.clip(np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)), 0, 1)  # (height, width)
    colour = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    grey = colour.mean(axis=2, keepdims=True)
    ground = grey + COLOUR_KEPT * (colour - grey)
    cover = COVER * (strength**RISE)[..., None]
    mixed = (1 - cover) * ground + cover * ramp(strength)
    return Image.fromarray(np.rint(255 * mixed).astype(np.uint8))


def ramp(strength: FloatArray) -> FloatArray:
    """Return colours: strengths in [0, 1] of any shape, (..., 3) in [0, 1]."""
    places = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(strength, places, channel) for channel in zip(*RAMP, strict=True)], axis=-1)


def saliency_montage(queries: Sequence[tuple[Image.Image, str]], hits: Sequence[Sequence[MontageHit]]) -> Image.Image:
    """Draw queries and their ranked hits, whose pictures come from `overlay`, with a key to the heat.

    Args:
        queries: As `ranked_montage` takes them.
        hits: As `ranked_montage` takes them.

    Raises:
        ValueError: As `ranked_montage`.
    """
    across = np.broadcast_to(np.linspace(0, 1, 96), (12, 96))
    strip = overlay(Image.new("RGB", (96, 12), (128, 128, 128)), across)
    return ranked_montage(queries, hits, title=TITLE, key=Key(strip, LINES))
