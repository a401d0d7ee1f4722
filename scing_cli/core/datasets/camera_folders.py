"""Reader for the user's own folders: one per camera, in it one per person.

`door/anna/1.jpg` and `yard/anna/2.jpg` show anna at two cameras. Images in deeper folders are read too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry
from scing_cli.core.datasets.folders import Placed, placed, read_placed
from scing_cli.core.errors import counted
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Sample


def read(root: Path, parts: Parts) -> DataSet:
    """Read all images below the folders of each part.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by path within each folder.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    return read_placed(root, parts, map(_entry, placed(root, parts)), _seen)


def _entry(file: Placed) -> Entry:
    if len(file.levels) < 3:
        return Dropped(file.path, "it is not in a person's folder inside a camera's folder")
    return Sample(file.path, identity=file.levels[1], camera=file.levels[0], split=file.split)


def _seen(samples: tuple[Sample, ...]) -> Iterator[str]:
    if samples:
        cameras, people = ({getattr(row, field) for row in samples} for field in ("camera", "identity"))
        read_as = f"{counted(len(cameras), 'folder is read as a camera', 'folders are read as cameras')}, and"
        yield (
            f"{read_as} the folders inside as {counted(len(people), 'person', 'people')}: "
            "the same name at two cameras is the same person."
        )
