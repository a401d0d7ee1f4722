"""Check that a manifest may be written: the file must not exist yet, or be a manifest of the same data."""

from __future__ import annotations

import os
from pathlib import Path

from scing_cli.core.datasets.table import Table, read_table
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.manifest import COLUMNS, Manifest

REMEDY = "Choose another file with --output, or move this one away."


def check_overwrite(target: Path, manifest: Manifest, *, folder: bool) -> None:
    """Raise if a manifest would replace a file that is not an unchanged manifest of the same data.

    The existing header must start with the manifest's columns, and its rows must name images of this data. For a folder
    layout, rows of deleted images are accepted; rows with another identity, camera or split were edited by the user,
    and are not. For a CSV, which may have been corrected since, only the paths are compared.

    Args:
        target: The file to be written.
        manifest: The data as it is read now; without rows, any path below its root is accepted.
        folder: Whether the data is a folder in a known layout, not a CSV.

    Raises:
        DataError: If the file must not be replaced; the message says why, and names `--output`.
    """
    if not target.exists():
        return
    if not target.is_file():
        raise DataError(f"{spelled(target)} is not a file.", "Choose a file with --output.")
    try:
        table = read_table(target, needed=COLUMNS)
    except DataError as error:
        raise DataError(f"{spelled(target)} already exists and is not overwritten: {error.what}", REMEDY) from error
    reason = _foreign(table, target.parent.resolve(), manifest, folder=folder)
    if reason:
        what = f"already exists and is not a manifest of {spelled(manifest.name)}"
        raise DataError(f"{spelled(target)} {what}: {reason}.", REMEDY)


def _foreign(table: Table, base: Path, manifest: Manifest, *, folder: bool) -> str:
    """Return why a table is not a manifest of this data; empty if it is."""
    if table.header[: len(COLUMNS)] != COLUMNS:
        return f"its columns do not start with {', '.join(COLUMNS)}"
    for line, what in table.faults:
        return f"line {line}: {what}"
    root = manifest.root.resolve()
    known: dict[str, set[tuple[str, ...]]] = {}
    for sample in manifest:
        fields = (sample.identity, sample.camera, sample.split)
        known.setdefault(_absolute(root, sample.path), set()).add(fields)
    for line, row in table.rows:
        image = _absolute(base, row["path"])
        labels = (row["identity"], row["camera"], row["split"])
        if image not in known and not (folder and Path(image).is_relative_to(root)):
            return f"line {line} names {row['path']!r}, which is not in {spelled(manifest.root)}"
        if folder and labels not in known.get(image, {labels}):
            other = "another identity, camera or split, as another division of the people does"
            return f"line {line} gives {row['path']!r} {other}"
    return ""


def _absolute(base: Path, path: str) -> str:
    # Links are not resolved: that would take system calls for every row.
    return os.path.normpath(base / path)
