"""Folders of one's own: a folder per person, a folder per camera in it if there are cameras; or mere images.

`anna/1.jpg` shows anna, `anna/door/1.jpg` shows her at the camera door, and what lies deeper counts as at the first
two. The names may be any text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.captions import join_captions
from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, gather
from scing_cli.core.datasets.listing import walk_images
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Sample


def read(root: Path, parts: Parts) -> DataSet:
    """Read all images below the folders of each part; those of the empty part get no labels.

    Args:
        root: The folder that holds the parts' folders.
        parts: Which are those.

    Returns:
        Rows in the parts' order, each folder's sorted by path.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    entries: list[Entry] = []
    for split, folders in parts.items():
        for folder in folders:
            entries += _entries(root, folder, split)
    data = gather(root, entries)
    samples, notes = join_captions(root, data.manifest.samples)
    return data.with_rows(samples, (*notes, *_people(samples)))


def _entries(root: Path, folder: str, split: str) -> Iterator[Entry]:
    for path in walk_images(root, folder):
        names = path.split("/") if folder == "." else path.removeprefix(f"{folder}/").split("/")
        if not split:
            yield Sample(path)
        elif len(names) == 1:
            yield Dropped(path, "it lies in no person's folder")
        else:
            yield Sample(path, identity=names[0], camera=names[1] if len(names) > 2 else "", split=split)


def _people(samples: tuple[Sample, ...]) -> Iterator[str]:
    people = {sample.identity for sample in samples} - {""}
    cameras = {sample.camera for sample in samples} - {""}
    if people:
        seen = f", each folder in it for one of {len(cameras)} cameras" if cameras else ""
        yield f"Each of {len(people)} folders is taken for one person{seen}."
    elif samples:
        yield "These images have no labels: they can be embedded and searched."
