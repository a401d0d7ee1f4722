"""The images with which an exported model is compared to its encoder.

Shapes: B images, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scing_cli.core.artifacts import Run
from scing_cli.core.batches import Pixels, resize
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import image_batches
from scing_cli.core.embeddings.openvino_embedder import CROPS
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import DataError
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.gallery_images import GalleryChoice
from scing_cli.core.workflows.embed.listed_gallery import gallery_rows
from scing_cli.core.workflows.shared.run_data import run_manifest


class CropFiles(NamedTuple):
    """Image files for the comparison.

    Args:
        files: At most `CROPS` of them.
        given: Whether the user named them; then one of them must be readable.
    """

    files: Sequence[Path]
    given: bool


def find_crops(run: Run | None, gallery: GalleryChoice, reporter: Reporter) -> CropFiles:
    """Return images of the data that was named, else of the run's own; none if there are none.

    Raises:
        DataError: If the named data cannot be read.
    """
    if gallery.data is not None or gallery.images is not None:
        rows, _ = gallery_rows(None, gallery, reporter)
        return CropFiles(_spread(rows.files()), given=True)
    if run is None:
        return CropFiles((), given=False)
    try:
        return CropFiles(_spread(run_manifest(run).files()), given=False)
    except DataError:  # the images were moved or deleted
        return CropFiles((), given=False)


def crop_pixels(found: CropFiles, geometry: Geometry, *, workers: int, reporter: Reporter) -> Pixels:
    """Return images at an encoder's size, (B, 3, H, W) uint8: those that can be read, or else drawn people.

    Raises:
        ImageError: If the user named images and none can be read.
    """
    left_out = LeftOut()
    rows = [range(len(found.files))] if found.files else []
    batches = [batch.pixels for batch in image_batches(found.files, rows, geometry, workers=workers, left_out=left_out)]
    if batches:
        return np.concatenate(batches)
    if found.given:
        left_out.check_not_all(found.files)
    reporter.note("There are no images to compare with: drawn people are used. --data or --images names some.")
    return _drawn(geometry)


def _spread(files: Sequence[Path]) -> Sequence[Path]:
    """Return at most `CROPS` files from all over a list."""
    return files[:: max(1, len(files) // CROPS)][:CROPS]


def _drawn(geometry: Geometry) -> Pixels:
    from scing_cli.core.synthetic import draw_cameras, draw_people, render

    cameras = draw_cameras(CROPS, "export")
    images = [
        render(person, camera, "export", number)[0]
        for number, (person, camera) in enumerate(zip(draw_people(CROPS, "export"), cameras, strict=True))
    ]
    return np.stack([resize(each, geometry.height, geometry.width, geometry.interpolation) for each in images])
