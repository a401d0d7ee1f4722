"""Enter folders that merely hold another folder of data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from scing_cli.core.datasets.caption_file import CAPTIONS
from scing_cli.core.datasets.folder_names import is_holder, is_part, named_cameras
from scing_cli.core.datasets.listing import Listing, list_folder, walk_images
from scing_cli.core.errors import DataError

LOOKED_INTO = 100  # most folders searched per level
DEPTH = 4  # levels searched for markers
LABELS = (".csv", ".json", ".mat", ".pkl", ".xml")
"""Suffixes of files that describe the images next to them."""


def wrapped_folders(path: Path) -> Iterator[Path]:
    """Yield a folder, the only folder in it that has images, the only one in that, and so on.

    Folders with images of their own, or with parts of a data set, hold data: they are the last.

    Args:
        path: The first folder.

    Raises:
        DataError: If a folder cannot be listed.
    """
    for _ in range(DEPTH + 1):
        yield path
        listing = list_folder(path)
        holding = _holding(path, listing)
        if listing.images or CAPTIONS in listing.others or any(map(is_part, listing.folders)) or len(holding) != 1:
            return
        path = path / holding[0]


def people_root(path: Path) -> Path:
    """Return the folder whose subfolders may be people: the given one, or one that it merely wraps.

    A single folder that has several folders inside is not one person, unless these are the person's cameras. A folder
    next to a file of labels is not entered: the labels would be lost.

    Args:
        path: The folder.

    Raises:
        DataError: If a folder cannot be listed.
    """
    last = path
    for folder in itertools.islice(wrapped_folders(path), 1, None):
        inside = look_into(folder)
        if _labels(look_into(folder.parent)) or inside.images or named_cameras([folder.name]):
            break
        held = _holding(folder, inside)
        of_one = folder.parent == path and bool(named_cameras(held)) and not _are_deep(folder, held)
        if is_holder(folder.name) or (len(held) > 1 and not of_one):
            last = folder
    return last


def holds_images(root: Path, name: str) -> bool:
    """Return whether a folder in `root` has an image, at any depth."""
    try:
        return next(walk_images(root, name), None) is not None
    except DataError:  # it cannot be listed; whether that matters is decided when the data is read
        return False


def look_into(folder: Path) -> Listing:
    """List a folder; one that cannot be listed counts as empty."""
    try:
        return list_folder(folder)
    except DataError:
        return Listing((), (), ())


def _holding(path: Path, listing: Listing) -> list[str]:
    """Return the first two folders that have images."""
    return list(itertools.islice((name for name in listing.folders if holds_images(path, name)), 2))


def _are_deep(folder: Path, names: Sequence[str]) -> bool:
    """Return whether a folder's subfolders have folders inside."""
    return any(look_into(folder / name).folders for name in names)


def _labels(listing: Listing) -> bool:
    return any(name.lower().endswith(LABELS) for name in listing.others)
