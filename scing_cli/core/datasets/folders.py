"""Reader for the user's own folders: one per person, optionally with one per camera inside; or unlabelled images.

`anna/1.jpg` shows anna, `anna/door/1.jpg` shows her at the camera door. Images in deeper folders are read too.
`camera_levels.py` decides which folders are cameras, and whether the file names state the cameras instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scing_cli.core.datasets.camera_levels import Cameras, find_cameras
from scing_cli.core.datasets.caption_file import join_captions
from scing_cli.core.datasets.collection_names import copied_folders
from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, folder_levels, gather
from scing_cli.core.datasets.file_names import mixed_folders, other_identities, people_in_names
from scing_cli.core.datasets.folder_names import listed, may_be_several
from scing_cli.core.datasets.listing import list_folder, walk_images
from scing_cli.core.datasets.market import NAME
from scing_cli.core.errors import counted
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import SPLITS, Sample, is_junk


class Placed(NamedTuple):
    """An image in the folders of a part.

    Args:
        path: Its POSIX path relative to the data set's root.
        levels: The folders between the part's folder and the image, and its name.
        split: The split.
    """

    path: str
    levels: tuple[str, ...]
    split: str


def read(root: Path, parts: Parts) -> DataSet:
    """Read all images below the folders of each part; images of the empty part get no labels.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by path within each folder.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    files = placed(root, parts)
    people = [file.levels for file in files if file.split and len(file.levels) > 1]
    cameras = find_cameras(people)
    mixed = mixed_folders(people)
    data = read_placed(
        root, parts, (_entry(file, cameras) for file in files), lambda rows: _people(rows, cameras, mixed)
    )
    data = data.with_rows(data.manifest.samples, tuple(people_in_names(people)))
    copies = copied_folders(sorted({levels[0] for levels in people}))
    doubt = (f"{cameras.doubt[:1].upper()}{cameras.doubt[1:]}.",) if cameras.doubt else ()
    return dataclasses.replace(data, warnings=(*doubt, *copies, *other_identities(people)))


def placed(root: Path, parts: Parts) -> list[Placed]:
    """Return all images below the folders of each part, in the order of the parts, sorted within each folder.

    Raises:
        DataError: If a folder cannot be listed.
    """
    return [
        Placed(path, tuple(folder_levels(path, folder)), split)
        for split, folders in parts.items()
        for folder in folders
        for path in walk_images(root, folder)
    ]


def read_placed(
    root: Path, parts: Parts, entries: Iterable[Entry], read_as: Callable[[tuple[Sample, ...]], Iterator[str]]
) -> DataSet:
    """Return the data set of the user's own folders.

    Args:
        root: The data set's folder; a `captions.csv` in it is joined.
        parts: The folders of each split.
        entries: The entry of each image.
        read_as: Yields notes on how the rows were read.

    Raises:
        DataError: If the root cannot be listed, or `captions.csv` is faulty.
    """
    data = gather(root, entries)
    samples, notes = join_captions(root, data.manifest.samples)
    return data.with_rows(samples, (*notes, *read_as(samples), *not_read(root, parts)))


def _entry(file: Placed, cameras: Cameras) -> Entry:
    if not file.split:
        return Sample(file.path)
    if len(file.levels) == 1:
        return Dropped(file.path, "it is not in a person's folder")
    return Sample(file.path, identity=file.levels[0], camera=cameras.of(file.levels), split=file.split)


def _people(samples: tuple[Sample, ...], found: Cameras, mixed: Collection[str]) -> Iterator[str]:
    """Yield notes on what was read as people and as cameras."""
    known = [sample for sample in samples if not is_junk(sample.identity)]
    people = {sample.identity for sample in known} - {""}
    cameras = {sample.camera for sample in known} - {""}
    if people:
        seen = f", and their subfolders as {counted(len(cameras), 'camera')}" if cameras and found.folders else ""
        yield f"{counted(len(people), 'folder is read as a person', 'folders are read as one person each')}{seen}."
        yield from found.notes
        if several := sorted(name for name in people if name in mixed or may_be_several(name)):
            yield f"Some of them may hold images of several people: {listed(several)}."
        elif len(people) == 1:
            yield "If it holds images of several people, a CSV can name them."
    elif samples:
        yield "These images have no labels: they can be embedded and searched."
        if any("/" in sample.path for sample in samples):
            yield "If each folder is one person: --layout identity-folders."
        elif all(NAME.match(sample.path) for sample in samples):
            yield (
                "The files are named IDENTITY_cCAMERA as in Market-1501, but these names are not read here. "
                "They are in folders train, val, query, gallery."
            )


def not_read(root: Path, parts: Parts) -> Iterator[str]:
    """Yield a note that names the folders and images next to the parts' folders.

    Args:
        root: The data set's folder.
        parts: The folders of each split; nothing is left out if the root is one of them.
    """
    if "." in {folder for folders in parts.values() for folder in folders}:
        return
    listing = list_folder(root)
    others = [name for name in listing.folders if (name,) not in parts.values()]
    what = [*others, *([counted(len(listing.images), "image")] if listing.images else [])]
    if what:
        yield f"Not read: {', '.join(what)}; the splits are named {', '.join(SPLITS)}."
    if any(name.lower() == "test" for name in others):
        yield "A folder test is read as the gallery only next to a folder query (one image per person and camera)."
