"""Choose the images of a data set's contact sheet, and draw it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from PIL import Image

from scing_cli.core.errors import DataError, ImageError, counted
from scing_cli.core.figures.contact_sheet import CELL, SheetLine, contact_sheet
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import draw_seed

PEOPLE = 4  # per part
COLUMNS = 16  # most cameras that get a column each
UNNAMED = 8  # columns without cameras


def data_sheet(manifest: Manifest, *, seed: int) -> Image.Image:
    """Draw some identities of training and test, with one image per camera.

    A test person has one line of queries and one of gallery images. Images of unknown people share a line. Without
    cameras, or with more than `COLUMNS`, the columns are numbered.

    Args:
        manifest: The rows.
        seed: Determines the people and images shown.

    Raises:
        DataError: If there is no row.
    """
    if not len(manifest):
        raise DataError(f"{manifest.name} has no image to show on a sheet.", "Leave out --sheet.")
    dice = random.Random(draw_seed(seed, "sheet"))  # noqa: S311 - a choice of images, not a secret
    cameras = sorted(manifest.cameras(), key=lambda name: (len(name), name))  # camera 2 before camera 10
    if len(cameras) > COLUMNS:
        cameras = []
    columns = [f"camera {name}" if name.isdecimal() else name for name in cameras]
    lines = [
        SheetLine(label, [_picture(manifest, sample) for sample in _choose(rows, cameras, dice)])
        for label, rows in _people(manifest, dice)
    ]
    headings = columns or [str(number) for number in range(1, UNNAMED + 1)]
    return contact_sheet(f"{manifest.name}: {counted(len(manifest), 'image')}", headings, lines)


def _people(manifest: Manifest, dice: random.Random) -> Iterator[tuple[list[str], list[Sample]]]:
    """Yield the lines of the sheet: the label of a line, and the rows to choose its images from."""
    for splits in (("train",), ("val",), ("query", "gallery"), ("",)):
        rows: dict[str, dict[str, list[Sample]]] = {}
        for sample in manifest:
            if sample.split in splits:
                rows.setdefault(sample.identity, {}).setdefault(sample.split, []).append(sample)
        known = sorted(rows.keys() - {""})
        for identity in [*sorted(dice.sample(known, min(PEOPLE, len(known)))), *([""] if "" in rows else [])]:
            for split in splits:
                images = rows[identity].get(split, [])
                if images:
                    yield [identity or "not known", split or "no split", counted(len(images), "image")], images


def _choose(rows: list[Sample], cameras: list[str], dice: random.Random) -> list[Sample | None]:
    """Return one row per camera; without camera columns, some rows from as many cameras as possible."""
    mixed = dice.sample(rows, len(rows))
    first = {row.camera: row for row in reversed(mixed)}  # reversed: the first row of a camera is kept
    if cameras:
        return [first.get(camera) for camera in cameras]
    preferred = list(first.values())
    chosen = [*preferred, *(row for row in mixed if row not in preferred)][:UNNAMED]
    return [*chosen, *[None] * (UNNAMED - len(chosen))]


def _picture(manifest: Manifest, sample: Sample | None) -> Image.Image | None:
    if sample is None:
        return None
    try:
        image = read_image(manifest.file(sample))
    except ImageError:  # the file changed since it was inspected
        return None
    image.thumbnail((4 * CELL[0], 4 * CELL[1]))
    return image
