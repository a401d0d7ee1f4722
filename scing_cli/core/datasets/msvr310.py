"""Reader for MSVR310: vehicles in vis, ni and th, with the same file name in all three.

`query3/0002/vis/0002_s002_v0_000.jpg` is the visible image of identity 0002 in scene 002, seen from direction 0.
Rankings leave out the gallery rows of the query's identity and scene, so there is no camera; directions are no cameras.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Entry, gather
from scing_cli.core.datasets.listing import list_folder
from scing_cli.core.datasets.observations import (
    VEHICLE,
    group,
    images_of,
    lacking_notes,
    not_named,
    observation,
)
from scing_cli.core.layouts import Parts
from scing_cli.core.sample import SCENE

NAME = re.compile("([0-9]+)_s([0-9]+)_v([0-9]+)")
VIEW = "view"


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of the identities in each part.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by identity and file name; the direction is in the column `view`.

    Raises:
        DataError: If a folder cannot be listed.
    """
    places = ((split, folder) for split, folders in parts.items() for folder in folders)
    entries = (
        entry
        for split, folder in places
        for identity in list_folder(root / folder).folders
        for entry in _entries(root, f"{folder}/{identity}", split)
    )
    data = gather(root, entries)
    return dataclasses.replace(data, warnings=tuple(lacking_notes(data.manifest.samples)))


def _entries(root: Path, folder: str, split: str) -> Iterator[Entry]:
    seen, dropped = images_of(root, folder)
    observations, twice = group(seen)
    yield from (*dropped, *twice)
    owner = folder.rpartition("/")[2]
    for key, images in observations.items():
        fields = NAME.match(key)
        if fields is None:
            yield from not_named(images, "its name does not start with IDENTITY_sSCENE_vVIEW, such as 0002_s002_v0")
        elif owner.isdecimal() and int(owner) != int(fields[1]):
            yield from not_named(images, f"its name says identity {fields[1]}, its folder {owner}")
        else:
            further = {SCENE: fields[2], VIEW: fields[3], **VEHICLE}
            yield observation(images, identity=fields[1], split=split, extra=further)
