"""The augmentation that a stage's settings ask for, at an encoder's size."""

from __future__ import annotations

from scing_cli.core.batches import black_value
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.settings import Schedule

PADDING, FULL_HEIGHT = 10, 256  # R14's 10 pixels belong to images 256 pixels high


def augmentation_of(settings: Schedule, geometry: Geometry, *, occlusion: float) -> Augmentation:
    """Return flip, crop, erase and occlusion with the settings' probabilities."""
    return Augmentation(
        flip=settings.flip,
        erase=settings.erase,
        crop=settings.crop,
        occlusion=occlusion,
        padding=round(PADDING * geometry.height / FULL_HEIGHT),
        black=black_value(geometry.mean, geometry.std),
    )
