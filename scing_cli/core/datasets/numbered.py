"""Reader for files named IDENTITY_NUMBER, flat or in one folder per identity: Occluded-REID, P-DukeMTMC-reID.

`001/001_01.tif` and `query/001_01.jpg` show identity 001. There are no cameras: the second field of P-DukeMTMC's
`0012_3_f0061.jpg` is not one either. Rankings are therefore evaluated with the protocol no-camera, which leaves out no
gallery image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, folder_levels, gather_folders
from scing_cli.core.datasets.listing import walk_images
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Sample

NAME = re.compile(r"([0-9]+)_[0-9]")


def read(root: Path, parts: Parts) -> DataSet:
    """Read all images below the folders of each part.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by path within each folder.

    Raises:
        DataError: If a folder cannot be listed.
    """
    return gather_folders(root, parts, _entries)


def _entries(root: Path, folder: str, split: str) -> Iterator[Entry]:
    for path in walk_images(root, folder):
        *above, name = folder_levels(path, folder)
        fields = NAME.match(name)
        if fields is None:
            yield Dropped(path, "its name does not start with IDENTITY_NUMBER, such as 001_01")
        elif above and above[-1].isdecimal() and int(above[-1]) != int(fields[1]):
            yield Dropped(path, f"its name says identity {fields[1]}, its folder {above[-1]}")
        else:
            yield Sample(path=path, identity=fields[1], split=split)
