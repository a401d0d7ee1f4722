"""Reader for the user's own folders: one per person, optionally with one per camera inside; or unlabelled images.

`anna/1.jpg` shows anna, `anna/door/1.jpg` shows her at the camera door. Images in deeper folders
are read too, but only the first two levels are labels. The names may be any text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.caption_file import join_captions
from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, folder_levels, gather_folders
from scing_cli.core.datasets.listing import list_folder, walk_images
from scing_cli.core.datasets.market import NAME
from scing_cli.core.errors import counted
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import SPLITS, Sample, is_junk


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
    data = gather_folders(root, parts, _entries)
    samples, notes = join_captions(root, data.manifest.samples)
    return data.with_rows(samples, (*notes, *_people(samples), *not_read(root, parts), *_names(samples)))


def _entries(root: Path, folder: str, split: str) -> Iterator[Entry]:
    for path in walk_images(root, folder):
        names = folder_levels(path, folder)
        if not split:
            yield Sample(path)
        elif len(names) == 1:
            yield Dropped(path, "it is not in a person's folder")
        else:
            yield Sample(path, identity=names[0], camera=names[1] if len(names) > 2 else "", split=split)


def _people(samples: tuple[Sample, ...]) -> Iterator[str]:
    known = [sample for sample in samples if not is_junk(sample.identity)]
    people = {sample.identity for sample in known} - {""}
    cameras = {sample.camera for sample in known} - {""}
    if people:
        seen = f", and their subfolders as {counted(len(cameras), 'camera')}" if cameras else ""
        yield f"{counted(len(people), 'folder is read as a person', 'folders are read as one person each')}{seen}."
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


def _names(samples: tuple[Sample, ...]) -> Iterator[str]:
    """Yield a note if file names look like Market-1501's; this layout does not read their cameras."""
    without = [sample.path for sample in samples if sample.identity and not sample.camera]
    alike = sum(NAME.match(path.rpartition("/")[2]) is not None for path in without)
    if alike > len(samples) / 2:
        yield (
            "The files are named IDENTITY_cCAMERA as in Market-1501, but this layout reads cameras from folders. "
            "Without cameras, the evaluation leaves out no gallery image. A CSV can name the cameras."
        )
