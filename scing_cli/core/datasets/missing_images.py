"""Leave out the images of a list that are not on disk, and count them by folder."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets.caption_lists import names_in
from scing_cli.core.datasets.wrapping import LOOKED_INTO, look_into
from scing_cli.core.errors import DataError, agreeing, counted, share, spelled
from scing_cli.core.manifest import Sample

SHOWN = 10  # most folders that a message lists
PLACES = ("", "imgs", "images")
"""Folders in which the images may be instead, below the root and below each of its folders."""


def without_missing(
    root: Path, source: Path, samples: Sequence[Sample], *, folder: str
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Return the rows whose files exist, and a warning that counts the others by folder.

    Args:
        root: The data set's folder.
        source: The list that names the images.
        samples: At least one row.
        folder: The folder of the images, below the root; empty for the root itself.

    Raises:
        DataError: If no file exists; the message says where the images should be.
    """
    there = _Folders(root)
    found = tuple(row for row in samples if there.has(row.path))
    if not found:
        example = samples[0].path
        raise DataError(
            f"None of the {counted(len(samples), 'image')} that {spelled(source)} names is there, such as "
            f"{spelled(root / example)}.",
            _remedy(root, source, example, folder),
        )
    if len(found) == len(samples):
        return found, ()
    folders = Counter(_folder_of(row, folder) for row in samples)
    folders_found = Counter(_folder_of(row, folder) for row in found)
    missing = share(len(samples) - len(found), len(samples), "image", "is", "are")
    warning = (
        f"{missing} missing of those that {spelled(source.name)} names: {_listed(folders, folders - folders_found)}. "
        f"The {counted(len(found), 'other')} {agreeing(len(found), 'is', 'are')} used: figures of such data cannot be "
        "compared with published ones."
    )
    return found, (warning,)


def _folder_of(row: Sample, folder: str) -> str:
    """Return the first folder of an image below the folder of all images; this one where there is none between."""
    inside = row.path.removeprefix(f"{folder}/") if folder else row.path
    return inside.split("/")[0] if "/" in inside else folder


def _listed(total: Counter[str], lost: Counter[str]) -> str:
    """Return the number of missing images of each folder, the most first."""
    counts = [f"{spelled(name)} {number:,} of {total[name]:,}" for name, number in lost.most_common()]
    more = f" and {counted(len(counts) - SHOWN, 'more folder')}" if len(counts) > SHOWN else ""
    return ", ".join(counts[:SHOWN]) + more


def _remedy(root: Path, source: Path, example: str, folder: str) -> str:
    """Return where the images should be, and what to move if they are near."""
    inside = example.removeprefix(f"{folder}/") if folder else example
    should = f"They should be in {spelled((root / example).parent)}."
    near = [root, *_folders_in(root), root.parent, *_folders_in(root.parent)]
    for place in (other / name for other in near for name in PLACES):
        if place != root / folder and os.path.lexists(place / inside):
            return f"{should} There are such files in {spelled(place)}: {_move(place, root, source.name, folder)}."
    return f"{should} Unpack or link them there, or move {spelled(source.name)} next to their folder."


def _folders_in(folder: Path) -> list[Path]:
    return [folder / name for name in look_into(folder).folders[:LOOKED_INTO]]


def _move(place: Path, root: Path, name: str, folder: str) -> str:
    if place == root and root.name != folder:
        return f"move its folders and images into a folder {folder}"
    if place.name == folder or not folder:
        return f"move {spelled(name)} to {spelled(place.parent if folder else place)}"
    return f"rename it to {spelled(root / folder)}"


class _Folders:
    """The names in the folders below a root; each folder is listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        folder, name = posixpath.split(path)
        if folder not in self._names:
            self._names[folder] = names_in(self._root / folder)
        return name in self._names[folder]
