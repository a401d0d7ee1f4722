"""Choose the images of a data set's contact sheet, and draw it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from PIL import Image

from scing_cli.core.errors import DataError, ImageError, counted
from scing_cli.core.figures.contact_sheet import CELL, SheetLine, contact_sheet
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.observation_images import read_view
from scing_cli.core.runtime import draw_seed
from scing_cli.core.spectra import SPECTRA, VISIBLE, View

PEOPLE = 4  # per part
COLUMNS = 16  # most cameras that get a column each
UNNAMED = 8  # columns without cameras
WIDE = (120, 60)  # width and height of images that are wider than high, pixels


def data_sheet(manifest: Manifest, *, seed: int) -> Image.Image:
    """Draw some identities of training and test, with one image per camera.

    A test person has one line of queries and one of gallery images. Images of unknown people share a line. Without
    cameras, or with more than `COLUMNS`, the columns are numbered. The spectra of an observation are side by side, in
    half as many columns.

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
    spectra = tuple(SPECTRA) if manifest.spectra() else ()
    unnamed = UNNAMED // 2 if spectra else UNNAMED
    if len(cameras) > (COLUMNS // 2 if spectra else COLUMNS):
        cameras = []
    columns = [f"camera {name}" if name.isdecimal() else name for name in cameras]
    lines = [
        SheetLine(
            label,
            [
                picture
                for sample in _choose(rows, cameras, dice, unnamed)
                for picture in _pictures(manifest, sample, spectra)
            ],
        )
        for label, rows in _people(manifest, dice)
    ]
    headings = columns or [str(number) for number in range(1, unnamed + 1)]
    title = f"{manifest.name}: {counted(len(manifest), 'image')}"
    if not spectra:
        return contact_sheet(title, headings, lines)
    shown = [picture for line in lines for picture in line.images if picture is not None]
    wide = 2 * sum(picture.width > picture.height for picture in shown) > len(shown)
    title = f"{manifest.name}: {counted(len(manifest), 'observation')} ({', '.join(map(_named, SPECTRA))})"
    return contact_sheet(title, headings, lines, spectra=spectra, cell=WIDE if wide else CELL)


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


def _named(spectrum: str) -> str:
    return f"{spectrum}: {SPECTRA[spectrum]}"


def _choose(rows: list[Sample], cameras: list[str], dice: random.Random, unnamed: int) -> list[Sample | None]:
    """Return one row per camera; without camera columns, some rows from as many cameras as possible."""
    mixed = dice.sample(rows, len(rows))
    first = {row.camera: row for row in reversed(mixed)}  # reversed: the first row of a camera is kept
    if cameras:
        return [first.get(camera) for camera in cameras]
    preferred = list(first.values())
    chosen = [*preferred, *(row for row in mixed if row not in preferred)][:unnamed]
    return [*chosen, *[None] * (unnamed - len(chosen))]


def _pictures(manifest: Manifest, sample: Sample | None, spectra: Sequence[str]) -> Iterator[Image.Image | None]:
    """Yield the image of each spectrum, or the only one of data of ordinary images; None where there is none."""
    images = {} if sample is None else sample.images
    for spectrum in spectra or (VISIBLE,):
        path, part = images.get(spectrum, ("", None))
        yield _picture(View(manifest.root / path, part)) if path else None


def _picture(view: View) -> Image.Image | None:
    try:
        image = read_view(view)
    except ImageError:  # the file changed since it was inspected
        return None
    image.thumbnail((4 * CELL[0], 4 * CELL[1]))
    return image
