"""Reader for flat folders of files named IDENTITY_cCAMERA: Market-1501, DukeMTMC-reID, Occluded-Duke, Occluded-Market.

A file name such as `0001_c1s1_001051_00.jpg` or `0005_c2_f0046985.jpg` starts with the identity, then the camera.
Identity -1 marks junk, which is counted and left out. Identity 0 marks distractors, people without a number, if it is
only in Market-1501's gallery. Elsewhere it is a person: some data sets number people from 0. A `captions.csv` in the
root is joined.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.caption_file import join_captions
from scing_cli.core.datasets.dataset import DataSet, Dropped, Entry, gather
from scing_cli.core.datasets.listing import Listing, list_folder
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Sample

MARKET_GALLERY = ("bounding_box_test",)
"""The only folder in which identity 0 marks distractors."""
NAME = re.compile(r"(-?[0-9]+)_c([0-9]+)")


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of each part; a folder may be empty.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by file name within each folder.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    listings = {(split, folder): list_folder(root / folder) for split, folders in parts.items() for folder in folders}
    entries = [entry for where, listing in listings.items() for entry in _entries(*where, listing)]
    data = gather(root, entries)
    samples, notes = join_captions(root, data.manifest.samples)
    return data.with_rows(samples, (*notes, *_zero_note(samples, parts), *_folder_notes(listings)))


def _entries(split: str, folder: str, listing: Listing) -> Iterator[Entry]:
    """Yield the entry of each file of one folder; None for junk."""
    for name in listing.images:
        path = f"{folder}/{name}"
        fields = NAME.match(name)
        if fields is None or int(fields[1]) < -1:
            yield Dropped(path, "its name does not start with IDENTITY_cCAMERA, such as 0001_c1")
        elif int(fields[1]) == -1:
            yield None
        else:
            yield Sample(path=path, identity=fields[1], camera=fields[2], split=split)


def _zero_note(samples: tuple[Sample, ...], parts: Parts) -> Iterator[str]:
    """Yield which reading of identity 0 was taken, and how to have the other one."""
    count = Counter(sample.split for sample in samples if sample.identity.strip("0") == "")
    name = next((sample.identity for sample in samples if sample.identity.strip("0") == ""), "")
    elsewhere = [f"{split} ({number:,})" for split, number in count.items() if split != "gallery"]
    if elsewhere:
        yield (
            f"Identity {name} is read as a person, since it is in {' and '.join(elsewhere)}. In Market-1501 it marks "
            "distractors: if it does here, move its images out of every part but the gallery."
        )
    elif count and parts.get("gallery") != MARKET_GALLERY:
        yield f"Identity {name} is read as a person: it marks distractors only in Market-1501's layout."
    elif count:
        yield (
            f"Identity {name} is read as distractors, since it is only in the gallery ({count['gallery']:,}). "
            "Distractors are ranked as wrong images. If it is a person, put one of its images into the query folder."
        )


def _folder_notes(listings: dict[tuple[str, str], Listing]) -> Iterator[str]:
    for (_, folder), listing in listings.items():
        if listing.folders:
            count = "a folder" if len(listing.folders) == 1 else f"{len(listing.folders)} folders"
            yield f"{folder} contains {count} ({listing.folders[0]}), not read: this layout has no subfolders."
