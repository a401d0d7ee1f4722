"""The door to all layouts: `read_data`."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.datasets.places import locate
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import SPLITS, UNREADABLE, Manifest, Sample


def read_data(path: Path, *, layout: str = "auto", include_val: bool = False, keep_unreadable: bool = False) -> DataSet:
    """Read a folder in a known layout, or a CSV file, without opening an image.

    Args:
        path: The folder, or one that holds it; or the file.
        layout: A name of `LAYOUTS`, or `auto`: what the markers say.
        include_val: Whether rows of the split `val` are for training too, as some do with MSMT17.
        keep_unreadable: Whether rows that a manifest marks as unreadable are rows like others, their mark removed, for
            somebody who opens the images anew; otherwise they are left out, each with its reason.

    Returns:
        The manifest, whose root is absolute, and what the reader left out.

    Raises:
        DataError: If the path is missing, its layout is unknown, or the reader finds it faulty.
    """
    place = locate(path.absolute(), layout=layout)
    data: DataSet = importlib.import_module(LAYOUTS[place.layout].module).read(place.root, place.parts)
    data = _without_marks(data, keep=keep_unreadable)
    if include_val:
        rows = (dataclasses.replace(row, split="train") if row.split == "val" else row for row in data.manifest)
        data = data.with_rows(tuple(rows))
    elsewhere = () if place.root == path.absolute() else (f"Read from {place.root}.",)
    notes = (*elsewhere, *data.notes, *_overlaps(data.manifest))
    return dataclasses.replace(data, layout=place.layout, notes=notes)


def _without_marks(data: DataSet, *, keep: bool) -> DataSet:
    """Leave out the rows that are marked as unreadable, or keep them; the mark itself goes."""
    rows: list[Sample] = []
    dropped: list[Dropped] = []
    for sample in data.manifest:
        reason = dict(sample.extra).get(UNREADABLE)
        if reason is None:
            rows.append(sample)
        elif reason and not keep:
            dropped.append(Dropped(sample.path, reason))
        else:
            extra = tuple(field for field in sample.extra if field[0] != UNREADABLE)
            rows.append(dataclasses.replace(sample, extra=extra))
    return dataclasses.replace(data.with_rows(tuple(rows)), dropped=(*data.dropped, *dropped))


def _overlaps(manifest: Manifest) -> Iterator[str]:
    """Note identities that stand both in training and in the test."""
    people: dict[str, set[str]] = {split: set() for split in SPLITS}
    for sample in manifest:
        if sample.split and sample.identity:
            people[sample.split].add(sample.identity)
    shared = people["train"] & people["query"]
    if shared:
        yield (f"{len(shared)} identities stand in train and in query: their scores are not those of unknown people.")
    beside = (people["train"] & people["gallery"]) - shared
    if beside:
        yield f"{len(beside)} identities stand in train and in gallery, none of them among the queries."
