"""Markers of a layout beyond the names of its folders: folders of spectra inside, and images that are strips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets.image_names import names_match
from scing_cli.core.datasets.wrapping import look_into
from scing_cli.core.errors import ImageError
from scing_cli.core.imagefile import image_size
from scing_cli.core.layouts import Variant

STRIP = 3  # times wider than high: several pictures side by side
LOOKED_AT = 3  # images whose sizes are looked at, and folders that are looked into


def has_spectra(folder: Path, variant: Variant) -> bool:
    """Return whether a folder, or one of the first folders inside, has a folder of a spectrum with the right names."""
    inside = [folder / name for name in look_into(folder).folders[:LOOKED_AT]]
    return any(_has_one(place, variant) for place in (folder, *inside))


def _has_one(place: Path, variant: Variant) -> bool:
    known = {name.lower() for name in variant.spectra}
    found = [place / name for name in look_into(place).folders if name.lower() in known]
    return any(not variant.names or names_match(look_into(each).images, variant.names) for each in found)


def strip_in(root: Path, folders: Sequence[str]) -> tuple[int, int, Path] | None:
    """Return width, height and path of the first image, if the first ones are strips of several; None otherwise.

    Files that cannot be read are left to later steps.
    """
    places = [root / folder for folder in folders]
    files = [folder / name for folder in places for name in look_into(folder).images[:LOOKED_AT]][:LOOKED_AT]
    sizes = []
    for file in files:
        try:
            sizes.append((*image_size(file), file))
        except ImageError:
            continue
    return sizes[0] if sizes and all(width >= STRIP * height for width, height, _ in sizes) else None
