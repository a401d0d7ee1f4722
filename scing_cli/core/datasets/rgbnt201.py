"""Reader for RGBNT201: persons in RGB, NI and TI, with the same file name in all three.

`train_171/RGB/000028_cam1_0_02.jpg` is the visible image of identity 000028 at camera 1. The test part is both the
queries and the gallery: each of its observations has a row in either split.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Entry, gather
from scing_cli.core.datasets.observations import group, images_of, lacking_notes, not_named, observation
from scing_cli.core.layouts import Parts

NAME = re.compile("([0-9]+)_cam([0-9]+)_")


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of the spectra in each part.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by file name within each.

    Raises:
        DataError: If a folder cannot be listed.
    """
    entries = [
        entry for split, folders in parts.items() for folder in folders for entry in _entries(root, folder, split)
    ]
    data = gather(root, dict.fromkeys(entries))
    return dataclasses.replace(data, warnings=tuple(lacking_notes(data.manifest.samples)))


def _entries(root: Path, folder: str, split: str) -> Iterator[Entry]:
    seen, outside = images_of(root, folder)
    observations, twice = group(seen)
    yield from (*outside, *twice)
    for key, images in observations.items():
        fields = NAME.match(key)
        if fields is None:
            yield from not_named(images, "its name does not start with IDENTITY_camCAMERA, such as 000028_cam1")
        else:
            yield observation(images, identity=fields[1], camera=fields[2], split=split)
