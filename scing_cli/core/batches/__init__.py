"""Manifest rows -> batches of pixels: which rows stand together, decoding ahead, augmenting on the device.

`identity_batches` or `random_batches` (training) or `sequential` (everything else) plans the rows; `ImageLoader` turns
the plan into uint8 tensors; `normalise` and `Augmentation` work on whole batches on whatever device they lie.
"""

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.batches.loader import ImageLoader, sequential
from scing_cli.core.batches.pixels import INTERPOLATIONS, black_value, normalise, resize_to_tensor
from scing_cli.core.batches.sampler import identity_batches, random_batches

__all__ = [
    "INTERPOLATIONS",
    "Augmentation",
    "ImageLoader",
    "black_value",
    "identity_batches",
    "normalise",
    "random_batches",
    "resize_to_tensor",
    "sequential",
]
