"""Which images a contact sheet of a data set shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from PIL import Image

from scing_cli.core.errors import DataError, ImageError, counted
from scing_cli.core.figures.contact_sheet import CELL, SheetLine, contact_sheet
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import draw_seed

PEOPLE = 4  # of each part
COLUMNS = 16  # of cameras
UNNAMED = 8  # columns without


def data_sheet(manifest: Manifest, *, seed: int) -> Image.Image:
    """Draw some identities of training and of the test, an image by each camera.

    A person of the test has a line of queries and one of gallery images. Without cameras, or with more than fit, the
    columns are numbers. Which people and images are shown is drawn from the seed; images of unknown people make a line.

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
    """Yield some people of each side: what to call a line, and the rows it is chosen from."""
    sides = (("train",), ("val",), ("query", "gallery"), ("",))
    for splits in sides:
        rows: dict[str, dict[str, list[Sample]]] = {}
        for sample in manifest:
            if sample.split in splits:
                rows.setdefault(sample.identity, {}).setdefault(sample.split, []).append(sample)
        known = sorted(rows.keys() - {""})
        for identity in [*sorted(dice.sample(known, min(PEOPLE, len(known)))), *([""] if "" in rows else [])]:
            for split in splits:
                own = rows[identity].get(split, [])
                if own:
                    yield [identity or "not known", split or "no split", counted(len(own), "image")], own


def _choose(rows: list[Sample], cameras: list[str], dice: random.Random) -> list[Sample | None]:
    """Return one row per camera; where there are no columns of cameras some rows, of as many cameras as can be."""
    mixed = dice.sample(rows, len(rows))
    first = {row.camera: row for row in reversed(mixed)}
    if cameras:
        return [first.get(camera) for camera in cameras]
    ahead = list(first.values())
    some = [*ahead, *(row for row in mixed if row not in ahead)][:UNNAMED]
    return [*some, *[None] * (UNNAMED - len(some))]


def _picture(manifest: Manifest, sample: Sample | None) -> Image.Image | None:
    if sample is None:
        return None
    try:
        image = read_image(manifest.file(sample))
    except ImageError:  # it was readable a moment ago
        return None
    image.thumbnail((4 * CELL[0], 4 * CELL[1]))
    return image
