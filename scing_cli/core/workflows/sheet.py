"""Which images a contact sheet of a data set shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from PIL import Image

from scing_cli.core.errors import DataError, ImageError
from scing_cli.core.figures.sheet import CELL, SheetLine, contact_sheet
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import draw_seed

PEOPLE = 6  # of each part
COLUMNS = 8


def data_sheet(manifest: Manifest, *, seed: int) -> Image.Image:
    """Draw some identities of training and of the test, an image by each camera.

    Queries and gallery make one line. Without cameras the columns are numbers. Which people and images are shown is
    drawn from the seed; rows without an identity stand alone, in a line each.

    Args:
        manifest: The rows.
        seed: What the choice is a function of.

    Raises:
        DataError: If there is no row.
    """
    if not len(manifest):
        raise DataError(f"{manifest.name} has no image that a sheet could show.", "Leave --sheet out.")
    dice = random.Random(draw_seed(seed, "sheet"))  # noqa: S311 - a choice of pictures, no secret
    cameras = sorted(manifest.cameras(), key=lambda name: (len(name), name))
    shown = cameras[:COLUMNS]
    columns = [f"camera {name}" if name.isdecimal() else name for name in shown] or [
        str(number) for number in range(1, COLUMNS + 1)
    ]
    lines = [
        SheetLine(label, [_picture(manifest, sample) for sample in _choose(rows, shown, len(columns), dice)])
        for label, rows in _people(manifest, dice)
    ]
    left_out = f", the first {COLUMNS} of {len(cameras)} cameras" if len(cameras) > COLUMNS else ""
    return contact_sheet(f"{manifest.name}: {len(manifest):,} images{left_out}", columns, lines)


def _people(manifest: Manifest, dice: random.Random) -> Iterator[tuple[list[str], list[Sample]]]:
    """Yield some people of each side, with what to call them and all their rows."""
    sides = {"training": ("train",), "validation": ("val",), "test": ("query", "gallery"), "no split": ("",)}
    for side, splits in sides.items():
        rows: dict[str, list[Sample]] = {}
        for sample in manifest:
            if sample.split in splits:
                rows.setdefault(sample.identity, []).append(sample)
        known = sorted(rows.keys() - {""})
        for identity in sorted(dice.sample(known, min(PEOPLE, len(known)))):
            parts = [f"{split} {sum(row.split == split for row in rows[identity])}" for split in splits if split]
            yield [identity, side, ", ".join(parts)], rows[identity]
        if "" in rows:
            yield ["not known", side, f"{len(rows['']):,} images"], rows[""]


def _choose(rows: list[Sample], cameras: list[str], count: int, dice: random.Random) -> list[Sample | None]:
    """Return one row per camera, or some rows where no camera is known; queries come first."""
    mixed = sorted(dice.sample(rows, len(rows)), key=lambda row: row.split != "query")
    if not cameras:
        return [*mixed[:count], *[None] * (count - len(mixed))]
    first = {row.camera: row for row in reversed(mixed)}
    return [first.get(camera) for camera in cameras]


def _picture(manifest: Manifest, sample: Sample | None) -> Image.Image | None:
    if sample is None:
        return None
    try:
        image = read_image(manifest.file(sample))
    except ImageError:  # it was readable a moment ago
        return None
    image.thumbnail((4 * CELL[0], 4 * CELL[1]))
    return image
