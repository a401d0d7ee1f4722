"""Find the gallery's images where they are now, and count those whose files are gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.index import Row, sizes_of, with_files
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.search.queries import QueryHits


class MovedImages:
    """Finds images that were moved to another folder, without changing their arrangement.

    Args:
        folder: The folder that has the images now, at any level of their former path.

    Raises:
        DataError: If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = (folder.parent if folder.is_file() else folder).absolute()
        self._former: list[tuple[str, ...]] = []  # former folders that `folder` has taken the place of
        if not self._folder.is_dir():
            raise DataError(f"--data {spelled(folder)}: there is no such folder.", "Name the folder of the images.")

    def row(self, row: Row) -> Row:
        """Return a row with the present paths of its images; those that are not found are unchanged."""
        sizes = sizes_of(row.views) or {Path(row.path): row.size}
        present = {file: found for file, size in sizes.items() if (found := self._found(file, size)) is not None}
        path = present.get(Path(row.path), Path(row.path)).as_posix()
        return row._replace(path=path, views=with_files(row.views, present) if row.views else "")

    def _found(self, file: Path, size: int) -> Path | None:
        parts = file.parts
        known = [former for former in self._former if parts[: len(former)] == former]
        # the longest common path first: fewer files have it by chance
        others = [parts[:length] for length in range(1, len(parts)) if parts[:length] not in known]
        for former in (*known, *others):
            found = self._folder.joinpath(*parts[len(former) :])
            if _has_size(found, size):
                if former not in self._former:
                    self._former.append(former)
                return found
        return None


def _has_size(file: Path, size: int) -> bool:
    """Return whether a file has the size of a row's image: a namesake of another folder usually has not."""
    try:
        return file.stat().st_size == size
    except OSError:
        return False


def with_present_paths(results: Sequence[QueryHits], moved: MovedImages | None, reporter: Reporter) -> list[QueryHits]:
    """Return results with the present paths of the images, and warn about images whose files are gone.

    Args:
        results: The hits of each query.
        moved: Where the images are now; None if they were not moved.
        reporter: Receives the warning.
    """
    rows = {hit.row.id: hit.row for found in results for hit in found.hits}
    if moved is not None:
        rows = {number: moved.row(row) for number, row in rows.items()}
    gone = [row for row in rows.values() if not any(file.exists() for file in row.files)]
    if gone:
        which = f"{len(gone):,} of {counted(len(rows), 'image')} among the hits"
        verb = "is" if len(gone) == 1 else "are"
        reporter.warn(
            f"{which} {verb} gone, such as {spelled(gone[0].path)}; pictures leave their cells empty. If the images "
            "were moved, name their folder: --data DIR."
        )
    return [
        dataclasses.replace(found, hits=[dataclasses.replace(hit, row=rows[hit.row.id]) for hit in found.hits])
        for found in results
    ]
