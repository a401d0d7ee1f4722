"""Drop the rows of an index whose files are missing."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.errors import DataError, IndexFileError, counted, spelled
from scing_cli.core.index import GalleryIndex, check_writable, write_lock
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.embed_report import EmbedReport, report_of


def prune_index(index: StrPath, *, reporter: Reporter) -> EmbedReport:
    """Drop the rows of an index whose files are missing, without opening a model.

    Raises:
        IndexFileError: If there is no such index, or it cannot be written.
    """
    index = as_path(index)
    check_writable(index)
    if not index.exists():
        raise IndexFileError(f"There is no index {index}.", f"Make one: scing embed --output {index}.")
    with write_lock(index):
        opened = GalleryIndex.read(index)
        gone = drop_missing(opened, reporter)
        if gone:
            opened.write(index, locked=True)
    return report_of(index, opened, opened.stamp.made_by(), added=0, replaced=0, skipped=len(opened), removed=gone)


def drop_missing(index: GalleryIndex, reporter: Reporter) -> int:
    """Remove the rows whose files are missing, of an observation all of them, and return their number.

    Raises:
        DataError: If a folder cannot be read, or if all files are missing, as when a disk is not mounted.
    """
    rows = index.rows()
    gone = [row for row in rows if all(map(_is_missing, row.files))]
    if rows and len(gone) == len(rows):
        raise DataError(
            f"Every image of the index is missing, for example {spelled(rows[0].path)}: nothing was removed.",
            "Is their disk mounted? Was their folder renamed? If they were deleted, delete the index file itself.",
        )
    folders = sorted(folder for folder in {Path(row.path).parent for row in gone} if not folder.is_dir())
    if folders:
        reporter.warn(
            f"{counted(len(folders), 'whole folder is', 'whole folders are')} missing, for example {folders[0]}."
        )
    index.remove([row.id for row in gone])
    return len(gone)


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
