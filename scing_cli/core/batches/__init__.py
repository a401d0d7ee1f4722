"""Batches of pixels: sampling of rows, decoding ahead of use, normalisation, augmentation on the device.

`identity_batches` and `random_batches` (training) or `sequential` (everything else) choose the rows of each batch.
`ImageLoader` loads them as uint8 arrays, and `normalise` converts whole batches. None of these needs torch;
`augment.Augmentation` works on tensors on any device.
"""

from scing_cli.core.batches.loader import (
    ImageLoader,
    PixelBatch,
    at_places,
    missing_spectra,
    resize_views,
    sequential,
    shares,
)
from scing_cli.core.batches.pixels import INTERPOLATIONS, Pixels, black_value, normalise, resize
from scing_cli.core.batches.sampler import identity_batches, random_batches

__all__ = [
    "INTERPOLATIONS",
    "ImageLoader",
    "PixelBatch",
    "Pixels",
    "at_places",
    "black_value",
    "identity_batches",
    "missing_spectra",
    "normalise",
    "random_batches",
    "resize",
    "resize_views",
    "sequential",
    "shares",
]
