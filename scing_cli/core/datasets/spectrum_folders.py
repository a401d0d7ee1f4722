"""Reader for the user's own folders of several spectra: images of the same name below them are one observation.

The folder of a spectrum may be at any level: `RGB/train/anna/1.jpg`, `train/rgb/anna/1.jpg` and `train/anna/rgb/1.jpg`
are the visible image of one observation, and the thermal one is in `TI`, `tir` or `thermal` instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scing_cli.core.datasets.camera_levels import Cameras, find_cameras
from scing_cli.core.datasets.caption_file import join_captions
from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, gather
from scing_cli.core.datasets.folder_names import split_parts
from scing_cli.core.datasets.image_names import names_match
from scing_cli.core.datasets.listing import list_folder, walk_images
from scing_cli.core.datasets.market import NAME
from scing_cli.core.datasets.observations import (
    OUTSIDE,
    Seen,
    group,
    lacking_notes,
    not_named,
    observation,
    spectrum_of,
)
from scing_cli.core.datasets.rgbnt201 import NAME as CAM_NAME
from scing_cli.core.errors import spelled
from scing_cli.core.layouts import Parts
from scing_cli.core.spectra import SPECTRA


class Found(NamedTuple):
    """One observation: its split, the folders and the name that its images share, and the images."""

    split: str
    levels: tuple[str, ...]
    images: dict[str, str]


def read(root: Path, _parts: Parts) -> DataSet:
    """Read all images below the folders of spectra.

    Folders train, val, query and gallery, above or below those of the spectra, are the splits; without them, labelled
    images are for training. A folder below is a person's, with cameras as in the other folders of people. Without such
    folders, the file names may say identity and camera, as in Market-1501.

    Args:
        root: The data set's folder.
        _parts: Not needed: all folders are read, and say their splits.

    Returns:
        Rows in the order of the splits, sorted by name.

    Raises:
        DataError: If a folder cannot be listed, two name one split, or `captions.csv` is faulty.
    """
    seen, outside, folders = _seen(root)
    observations, twice = _observations(seen)
    people = [found.levels for found in observations if len(found.levels) > 1]
    cameras = find_cameras(people)
    by_name = not people and _named(observations)
    entries = (entry for found in observations for entry in _entries(found, cameras, bool(people), by_name))
    data = gather(root, (*outside, *twice, *entries))
    samples, notes = join_captions(root, data.manifest.samples)
    data = data.with_rows(samples, (*notes, *_notes(folders), *cameras.notes, *lacking_notes(samples)))
    doubt = (f"{cameras.doubt[:1].upper()}{cameras.doubt[1:]}.",) if cameras.doubt else ()
    return dataclasses.replace(data, warnings=doubt)


def is_of_spectra(folder: Path) -> bool:
    """Return whether a folder has folders of several spectra, or splits that have, and some of their images pair.

    Raises:
        DataError: If a folder cannot be listed.
    """
    names = list_folder(folder).folders
    splits = [name for folders in split_parts(names).values() for name in folders]
    if not all(_several(list_folder(folder / name).folders) for name in splits) if splits else not _several(names):
        return False
    return any(len(images) > 1 for _, _, images in _observations(_seen(folder)[0])[0])


def _several(names: Sequence[str]) -> bool:
    """Return whether folders are named by spectra, at least two of them, and each spectrum by one."""
    spectra = [spectrum for name in names if (spectrum := spectrum_of(name))]
    return len(spectra) > 1 and len(set(spectra)) == len(spectra)


def _seen(root: Path) -> tuple[list[Seen], list[Dropped], dict[str, str]]:
    """Return the images in folders of spectra, the other ones, and the spectrum of each name of a folder."""
    seen: list[Seen] = []
    dropped: list[Dropped] = []
    folders: dict[str, str] = {}
    for path in walk_images(root, "."):
        *above, name = path.split("/")
        place = next((place for place, folder in enumerate(above) if spectrum_of(folder)), None)
        if place is None:
            dropped.append(Dropped(path, OUTSIDE))
            continue
        spectrum = folders.setdefault(above[place], spectrum_of(above[place]))
        seen.append(Seen("/".join([*above[:place], *above[place + 1 :], name]), spectrum, path))
    return seen, dropped, folders


def _observations(seen: Sequence[Seen]) -> tuple[list[Found], list[Dropped]]:
    keys, twice = group(seen)
    firsts = {key.split("/")[0] for key in keys if "/" in key}
    split_of = {folder: split for split, folders in split_parts(sorted(firsts)).items() for folder in folders}
    found = []
    for key, images in keys.items():
        name = next(iter(images.values())).rpartition("/")[2]
        levels = (*key.split("/")[:-1], name)
        split = split_of.get(levels[0], "") if len(levels) > 1 else ""
        found.append(Found(split, levels[1:] if split else levels, images))
    order = ["", *split_of.values()]
    return sorted(found, key=lambda one: order.index(one.split)), twice


def _named(observations: Sequence[Found]) -> bool:
    """Return whether the file names say identity and camera."""
    return names_match([found.levels[-1] for found in observations], f"{NAME.pattern}|{CAM_NAME.pattern}")


def _entries(found: Found, cameras: Cameras, people: bool, by_name: bool) -> Iterator[Entry]:
    if people:
        if len(found.levels) == 1:
            yield from not_named(found.images, "it is not in a person's folder")
        else:
            camera = cameras.of(found.levels)
            yield observation(found.images, identity=found.levels[0], camera=camera, split=found.split or "train")
    elif by_name:
        fields = NAME.match(found.levels[-1]) or CAM_NAME.match(found.levels[-1])
        if fields is None:
            yield from not_named(found.images, "its name does not start with IDENTITY_cCAMERA, such as 0001_c1")
        else:
            yield observation(found.images, identity=fields[1], camera=fields[2], split=found.split or "train")
    else:
        yield observation(found.images, split=found.split)


def _notes(folders: dict[str, str]) -> Iterator[str]:
    """Yield a note on what the folders of spectra were read as."""
    read_as = ", ".join(f"{spelled(name)} as {SPECTRA[spectrum]}" for name, spectrum in sorted(folders.items()))
    if read_as:
        yield f"Folders of spectra: {read_as}. Images of one name are one observation."
