"""Build the image augmentation of a training stage from its settings."""

from __future__ import annotations

from scing_cli.core.batches import black_value
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.settings import Schedule

PADDING, FULL_HEIGHT = 10, 256  # pixels: R14 pads by 10 at a height of 256; other heights in proportion


def augmentation_of(settings: Schedule, geometry: Geometry, *, occlusion: float) -> Augmentation:
    """Return flip, crop, erasing and occlusion with the probabilities of the settings."""
    return Augmentation(
        flip=settings.flip,
        erase=settings.erase,
        crop=settings.crop,
        occlusion=occlusion,
        padding=round(PADDING * geometry.height / FULL_HEIGHT),
        black=black_value(geometry.mean, geometry.std),
        independent=settings.independent_augmentation,
    )
