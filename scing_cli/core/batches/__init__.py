"""Manifest rows -> batches of pixels: which rows stand together, decoding ahead, augmenting on the device.

`identity_batches` or `random_batches` (training) or `sequential` (everything else) plans the rows; `ImageLoader` turns
the plan into uint8 arrays; `normalise` works on whole batches, arrays or tensors. None of this needs torch;
`augment.Augmentation`, which works on tensors wherever they lie, does.
"""

from scing_cli.core.batches.loader import ImageLoader, sequential, shares
from scing_cli.core.batches.pixels import INTERPOLATIONS, Pixels, black_value, normalise, resize
from scing_cli.core.batches.sampler import identity_batches, random_batches

__all__ = [
    "INTERPOLATIONS",
    "ImageLoader",
    "Pixels",
    "black_value",
    "identity_batches",
    "normalise",
    "random_batches",
    "resize",
    "sequential",
    "shares",
]
