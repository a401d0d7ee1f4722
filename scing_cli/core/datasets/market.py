"""Market-1501's layout, which DukeMTMC-reID and Occluded-Duke share.

Three folders, `bounding_box_train`, `query` and `bounding_box_test`; a file is called `0001_c1s1_001051_00.jpg` or
`0005_c2_f0046985.jpg`: identity, then camera. Identity -1 marks junk: counted and left out. Identity 0 marks
distractors: people without a number, who stay in the gallery and never stand in training or among the queries. A
`captions.csv` in the root is joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.captions import join_captions
from scing_cli.core.datasets.dataset import DataSet, Dropped, display_name, is_text
from scing_cli.core.datasets.listing import Listing, list_folder
from scing_cli.core.manifest import Manifest, Sample

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(-?[0-9]+)_c([0-9]+)")


def read(root: Path) -> DataSet:
    """Read a folder whose three marker folders are there; they may be empty.

    Args:
        root: The folder that holds the marker folders.

    Returns:
        Rows of training, query and gallery in this order, each sorted by file name.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    listings = {split: list_folder(root / folder) for split, folder in FOLDERS.items()}
    entries = [entry for split, listing in listings.items() for entry in _entries(split, listing)]
    samples = tuple(entry for entry in entries if isinstance(entry, Sample))
    dropped = tuple(entry for entry in entries if isinstance(entry, Dropped))
    samples, notes = join_captions(root, samples)
    return DataSet(
        manifest=Manifest(root, samples, display_name(root)),
        layout="market1501",
        junk=sum(entry is None for entry in entries),
        dropped=dropped,
        notes=(*notes, *_folder_notes(listings)),
    )


def _entries(split: str, listing: Listing) -> Iterator[Sample | Dropped | None]:
    """Yield what each file of one folder is; None for junk."""
    for name in listing.images:
        path = f"{FOLDERS[split]}/{name}"
        fields = NAME.match(name)
        if not is_text(name):
            yield Dropped(path.encode(errors="surrogateescape").decode(errors="replace"), "its name is not UTF-8")
        elif fields is None or int(fields[1]) < -1:
            yield Dropped(path, "its name does not begin as IDENTITY_cCAMERA, such as 0001_c1")
        elif int(fields[1]) == -1:
            yield None
        elif int(fields[1]) == 0 and split != "gallery":
            yield Dropped(path, f"identity {fields[1]} marks distractors, which belong in the gallery alone")
        else:
            yield Sample(path=path, identity=fields[1], camera=fields[2], split=split)


def _folder_notes(listings: dict[str, Listing]) -> Iterator[str]:
    for split, listing in listings.items():
        if listing.folders:
            count = "a folder" if len(listing.folders) == 1 else f"{len(listing.folders)} folders"
            yield f"{FOLDERS[split]} holds {count} ({listing.folders[0]}), not read: this layout keeps its images flat."
