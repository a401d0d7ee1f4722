"""Keep an index in order: drop the rows whose files are missing, and write many files as two."""

from __future__ import annotations

import os
from pathlib import Path

from scing_cli.core.errors import DataError, IndexFileError, counted, spelled
from scing_cli.core.index import Gallery, as_location
from scing_cli.core.paths import StrPath
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.embed_report import EmbedReport, report_of

MOST_NAMES = 1 << 20  # of files that are known at a time, about 100 bytes each; those of one folder may be more


def keep_index(
    index: StrPath, *, prune: bool = False, compact: bool = False, reporter: Reporter = LIBRARY_REPORTER
) -> EmbedReport:
    """Change an index without opening a model.

    Args:
        index: The index: a file, or an address.
        prune: Drop the rows whose files are missing.
        compact: Write the index as two files, without the rows that were removed from it.
        reporter: Receives notes.

    Raises:
        IndexFileError: If there is no such index, or it cannot be written.
    """
    location = as_location(index, reporter)
    if compact:
        location.check_compact()
    location.check_writable()
    if not location.exists():
        raise IndexFileError(f"There is no index {location}.", f"Make one: scing embed --output {location}.")
    with location.lock():
        opened = location.open_to_change()
        unsettled = has_other_rows(opened, reporter)
        gone = drop_missing(opened, reporter) if prune else 0
        if gone or unsettled or (compact and opened.is_split):
            location.write(opened, compact=compact)
    return report_of(location, opened, opened.stamp.made_by(), added=0, replaced=0, skipped=len(opened), removed=gone)


def has_other_rows(gallery: Gallery, reporter: Reporter) -> bool:
    """Return whether a gallery has not the number of rows that its stamp counts; warn of rows that are gone."""
    lost = gallery.stamp.count - len(gallery)
    if lost > 0:
        reporter.warn(f"Another program has removed {counted(lost, 'row')} of {gallery.name}.")
    return lost != 0


def drop_missing(index: Gallery, reporter: Reporter) -> int:
    """Remove the rows whose files are missing, of an observation all of them, and return their number.

    Raises:
        DataError: If a folder cannot be read, or if all files are missing, as when a disk is not mounted.
    """
    folders, parents, gone, first = Folders(), set[str](), list[int](), ""
    for row in index.table:
        if all(map(folders.lack, row.places)):
            gone.append(row.id)
            parents.add(os.path.dirname(row.path))  # noqa: PTH120 - of millions
            first = first or row.path
    if gone and len(gone) == len(index):
        raise DataError(
            f"Every image of the index is missing, for example {spelled(first)}: nothing was removed.",
            "Is their disk mounted? Was their folder renamed? If they were deleted, delete the index file itself.",
        )
    lost = sorted(folder for folder in map(Path, parents) if not folder.is_dir())
    if lost:
        reporter.warn(f"{counted(len(lost), 'whole folder is', 'whole folders are')} missing, for example {lost[0]}.")
    index.remove(gone)
    return len(gone)


class Folders:
    """Tells whether files are missing; each folder is listed once, which is much faster than a look at each file.

    Of more than `MOST_NAMES` names, those of the folder that was used least recently are forgotten. From then on, each
    file of that folder is looked at.
    """

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}  # the last one was asked for last
        self._forgotten = set[str]()
        self._count = 0  # of names, with those of the folders

    def lack(self, file: str) -> bool:
        """Return whether a file is missing.

        Raises:
            DataError: If that cannot be known.
        """
        folder, name = os.path.split(file)
        # A name that is not listed may still be there: by another spelling, or in a folder that cannot be listed.
        return name not in self._listed(folder) and _is_missing(Path(file))

    def _listed(self, folder: str) -> frozenset[str]:
        """Return the names that are known to be in a folder; none if they are forgotten."""
        if folder in self._forgotten:
            return frozenset()
        if folder in self._names:
            self._names[folder] = self._names.pop(folder)  # now the last one
            return self._names[folder]
        names = self._names[folder] = _names(folder)
        self._count += 1 + len(names)
        while self._count > MOST_NAMES and len(self._names) > 1:
            oldest = next(iter(self._names))
            self._count -= 1 + len(self._names.pop(oldest))
            self._forgotten.add(oldest)
        return names


def _names(folder: str) -> frozenset[str]:
    """Return the names of what is in a folder, without links, which may lead nowhere."""
    try:
        with os.scandir(folder) as found:
            return frozenset(entry.name for entry in found if not entry.is_symlink())
    except OSError:
        return frozenset()


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise DataError(
            f"{spelled(file)} cannot be accessed: {error.strerror}.", "Nothing was removed: the file may still exist."
        ) from error
    return False
