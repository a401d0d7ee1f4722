"""The rows of an index that show what a manifest shows: the same files, or observations under another image of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.index import Row, Rows, file_keys
from scing_cli.core.spectra import same_observations

Own = tuple[Path, Sequence[Path]]  # the image that names a row of a manifest, and all of its images


class FormerRows:
    """Finds the rows of an index. What concerns the whole index is read once.

    Args:
        table: The rows.
    """

    def __init__(self, table: Rows) -> None:
        self._table = table

    @functools.cached_property
    def observed(self) -> list[Row]:
        """The rows that are observations."""
        return list(self._table.observations())

    @functools.cached_property
    def _folders(self) -> dict[str, list[str]]:
        """The folders as the rows name them, by the folder without links."""
        folders: dict[str, list[str]] = {}
        for folder in self._table.folders():
            folders.setdefault(os.path.realpath(folder), []).append(folder)
        return folders

    def of(self, manifest: Sequence[Own]) -> list[list[Row]]:
        """Return for each row of a manifest the rows of the index that show the same.

        These have its file. An observation may be named by another of its images than before, because one was added or
        taken away: then the rows of `same_observations` that no file names any more are its own. If there are
        observations, this must be the whole manifest.

        Args:
            manifest: The rows.
        """
        keys = file_keys(file for file, _ in manifest)
        places = [(key, *os.path.split(key)) for key in keys]
        paths = {stored + name: key for key, folder, name in places for stored in self._folders.get(folder, ())}
        named: dict[str, list[Row]] = {}
        for row in self._table.at(paths):
            named.setdefault(paths[row.path], []).append(row)
        former, present = [named.get(key, []) for key in keys], set(keys)
        observed_keys = file_keys(Path(row.path) for row in self.observed)
        lost = [row for key, row in zip(observed_keys, self.observed, strict=True) if key not in present]
        new = [number for number, own in enumerate(former) if not own] if lost else []
        images = [file_keys(manifest[number][1]) for number in new]
        for number, own in zip(new, same_observations(images, [file_keys(row.files) for row in lost]), strict=True):
            former[number] = [lost[place] for place in own]
        return former
