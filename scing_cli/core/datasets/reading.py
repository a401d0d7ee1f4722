"""Read a data set in any layout: `read_data`."""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from collections.abc import Iterator

from scing_cli.core.datasets.caption_file import CAPTIONS
from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.datasets.detection import locate
from scing_cli.core.datasets.listing import list_folder, passed_over, system_part
from scing_cli.core.datasets.location import Location
from scing_cli.core.datasets.missing_values import missing_notes
from scing_cli.core.datasets.passed_over import count_passed
from scing_cli.core.datasets.spelling import spelling_notes
from scing_cli.core.datasets.unknown_layout import table_names
from scing_cli.core.errors import counted, spelled
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import SPLITS, UNREADABLE, Manifest, Sample, is_junk
from scing_cli.core.paths import StrPath, as_path


def read_data(
    path: StrPath, *, layout: str = "auto", include_val: bool = False, keep_unreadable: bool = False
) -> DataSet:
    """Read a folder in a known layout, or a CSV file, without opening an image.

    Args:
        path: The data set's folder, a folder that contains it, or the file.
        layout: A name of `LAYOUTS`, or `auto` to detect it by its markers.
        include_val: Whether rows of the split `val` are used for training too, as is common for MSMT17.
        keep_unreadable: Whether to keep rows that a manifest marks as unreadable, without the mark, for a caller that
            opens all images again. Otherwise they are dropped, each with its reason.

    Returns:
        The manifest, whose root is absolute, and the dropped files. Rows of identity -1 are junk and left out, files of
        the system are passed over.

    Raises:
        DataError: If the path is missing, its layout is unknown, or the reader finds it faulty.
    """
    path = as_path(path).absolute()
    location = locate(path, layout=layout)
    data: DataSet = importlib.import_module(LAYOUTS[location.layout].module).read(location.root, location.parts)
    data = _without_junk(_without_system_files(_without_marks(data, keep=keep_unreadable)))
    unused: tuple[str, ...] = ()
    if include_val:
        if "val" not in data.manifest.splits():
            unused = ("--include-val has no effect: there is no split val.",)
        data = dataclasses.replace(data, manifest=trained_on_val(data.manifest))
    missing = missing_notes(data.manifest, several=location.layout == "csv")
    moved = () if location.root == path else (f"Read from {location.root}.",)
    folders = [folder for folders in location.parts.values() for folder in folders]
    return dataclasses.replace(
        data,
        layout=location.layout,
        notes=(*moved, *data.notes, *_unread_table(location), *unused, *overlaps(data.manifest)),
        warnings=(*data.warnings, *spelling_notes(data.manifest), *missing),
        passed=(*passed_over(location.root, folders, known=(CAPTIONS,)), *data.passed) if folders else data.passed,
    )


def _unread_table(location: Location) -> Iterator[str]:
    """Yield a note on a CSV next to folders of people."""
    if location.layout == "identity-folders":
        for name in table_names(list_folder(location.root))[:1]:
            table = spelled(location.root / name)
            yield f"{spelled(name)} next to the folders is not read; --data {table} reads it instead of the folders."


def trained_on_val(manifest: Manifest) -> Manifest:
    """Return the rows, with the split `train` instead of `val`."""
    rows = (dataclasses.replace(row, split="train") if row.split == "val" else row for row in manifest)
    return dataclasses.replace(manifest, samples=tuple(rows))


def _without_system_files(data: DataSet) -> DataSet:
    """Drop the rows of a list that name files of the system, such as thumbnails of a network drive."""
    found = {sample: entry for sample in data.manifest for path in sample.paths if (entry := system_part(path))}
    if not found:
        return data
    passed = found.values()
    rows = tuple(sample for sample in data.manifest if sample not in found)
    return dataclasses.replace(data.with_rows(rows), passed=(*data.passed, *count_passed(passed)))


def _without_junk(data: DataSet) -> DataSet:
    rows = tuple(sample for sample in data.manifest if not is_junk(sample.identity))
    junk = len(data.manifest) - len(rows)
    return dataclasses.replace(data.with_rows(rows), junk=data.junk + junk) if junk else data


def _without_marks(data: DataSet, *, keep: bool) -> DataSet:
    """Drop the rows that are marked as unreadable, or keep them; the mark is removed."""
    rows: list[Sample] = []
    dropped: list[Dropped] = []
    lost: Counter[str] = Counter()
    for sample in data.manifest:
        reason = dict(sample.extra).get(UNREADABLE)
        if reason is None:
            rows.append(sample)
        elif reason and not keep:
            dropped.append(Dropped(sample.path, reason))
            lost[sample.split or "no split"] += 1
        else:
            extra = tuple(field for field in sample.extra if field[0] != UNREADABLE)
            rows.append(dataclasses.replace(sample, extra=extra))
    where = ", ".join(f"{split} {count:,}" for split, count in lost.items())
    notes = (f"Rows marked as unreadable are left out: {where}.",) if lost else ()
    cleaned = data.with_rows(tuple(rows), notes)
    return dataclasses.replace(cleaned, dropped=(*data.dropped, *dropped))


def overlaps(manifest: Manifest) -> Iterator[str]:
    """Yield notes on identities that are both in training and in the validation or the test."""
    known: dict[str, set[str]] = {split: set() for split in SPLITS}
    for sample in manifest:
        if sample.split and sample.identity:
            known[sample.split].add(sample.identity)
    shared = known["train"] & known["query"]
    if shared:
        people = counted(len(shared), "identity is", "identities are")
        yield f"{people} in train and in query: their scores are not those of unseen people."
    validated = known["train"] & known["val"]
    if validated:
        people = counted(len(validated), "identity is", "identities are")
        yield f"{people} in train and in val: scores of train-visual --validate are not those of unseen people."
    distractors = (known["train"] & known["gallery"]) - shared
    if distractors:
        people = counted(len(distractors), "identity is", "identities are")
        yield f"{people} in train and in gallery, but not among the queries."
