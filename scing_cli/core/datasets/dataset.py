"""The result of every reader, and helper functions that the readers share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.errors import DataError
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Manifest, Sample, display_name, is_text

SHOWN_FAULTS = 10
NO_TEXT = "its name is not UTF-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """A file that is not in the manifest or cannot be read, with the reason.

    Args:
        path: POSIX path relative to the data set's root.
        reason: Why the file is not used, as the predicate of a sentence about it.
    """

    path: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as it was found on disk.

    Args:
        manifest: The rows.
        layout: The name of the layout, a key of `LAYOUTS`.
        junk: The number of files that the data set itself marks as junk; they are not rows.
        dropped: Files left out for another reason.
        notes: Notes for the user about the reading, one sentence each.
        warnings: Likewise, about what would make figures wrong.
        passed: Entries of its folders that are neither images nor folders to enter.
    """

    manifest: Manifest
    layout: str
    junk: int = 0
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    passed: tuple[PassedOver, ...] = ()

    def with_rows(self, samples: tuple[Sample, ...], notes: tuple[str, ...] = ()) -> DataSet:
        """Return the data set with other rows and additional notes."""
        manifest = dataclasses.replace(self.manifest, samples=samples)
        return dataclasses.replace(self, manifest=manifest, notes=(*self.notes, *notes))


Entry = Sample | Dropped | None
"""The result for one file: a row, a dropped file, or None for junk."""


def gather(root: Path, entries: Iterable[Entry]) -> DataSet:
    """Return the data set of these entries, without a layout; files whose names are not UTF-8 are dropped."""
    samples: list[Sample] = []
    dropped: list[Dropped] = []
    junk = 0
    for entry in entries:
        if entry is None:
            junk += 1
        elif not is_text(entry.path):  # Python marks the invalid bytes by surrogates, which no message can contain
            dropped.append(Dropped(entry.path.encode(errors="surrogateescape").decode(errors="replace"), NO_TEXT))
        elif isinstance(entry, Dropped):
            dropped.append(entry)
        else:
            samples.append(entry)
    return DataSet(Manifest(root, tuple(samples), display_name(root)), "", junk, tuple(dropped))


def gather_folders(root: Path, parts: Parts, entries_of: Callable[[Path, str, str], Iterable[Entry]]) -> DataSet:
    """Return the data set of all parts' folders; `entries_of(root, folder, split)` yields the entries of one folder."""
    pairs = ((folder, split) for split, folders in parts.items() for folder in folders)
    return gather(root, (entry for folder, split in pairs for entry in entries_of(root, folder, split)))


def folder_levels(path: str, folder: str) -> list[str]:
    """Return the folders between a part's folder and a file, and the file's name.

    >>> folder_levels("query/anna/1.jpg", "query"), folder_levels("anna/1.jpg", ".")
    (['anna', '1.jpg'], ['anna', '1.jpg'])
    """
    return (path if folder == "." else path.removeprefix(f"{folder}/")).split("/")


def raise_faults(source: Path, faults: Sequence[tuple[int, str]], remedy: str, *, unit: str = "line") -> None:
    """Raise one DataError that lists the first faults of a file with their numbers; return if there are none.

    Args:
        source: The file.
        faults: The number of the line, or of another unit, and what is wrong with it.
        remedy: What to do next.
        unit: What the numbers count.
    """
    if not faults:
        return
    shown = [f"  {unit} {number}: {what}" for number, what in sorted(faults)[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        shown.append(f"  ... and {len(faults) - SHOWN_FAULTS} more")
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise DataError(f"{source} has {count}:\n" + "\n".join(shown), remedy)
