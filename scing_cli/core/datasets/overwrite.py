"""May a manifest be written here? Only where there is no file yet, or a manifest of the same data."""

from __future__ import annotations

import os
from pathlib import Path

from scing_cli.core.datasets.table import Table, read_table
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.manifest import COLUMNS, Manifest

REMEDY = "Name another file with --output, or move this one away."


def check_overwrite(target: Path, manifest: Manifest, *, folder: bool) -> None:
    """Refuse to write over a file that `write_manifest` would not have written for this data.

    Its header must begin with the manifest's columns, and its rows must name images of this data. Of a folder, whose
    file names say everything, rows of images that have gone since are its own too, while a row with another identity,
    camera or split has been edited by somebody. A CSV may have been mended since, so only paths count there.

    Args:
        target: The file to be written.
        manifest: The data as it is read now; without rows, any path below its root is taken for its own.
        folder: Whether the data is a folder in a known layout, not a CSV.

    Raises:
        DataError: Naming the file, why it is not replaced, and `--output`.
    """
    if not target.exists():
        return
    if not target.is_file():
        raise DataError(f"{spelled(target)} is no file.", "Name a file with --output.")
    try:
        table = read_table(target, needed=COLUMNS)
    except DataError as error:
        raise DataError(f"{spelled(target)} is there already and is not overwritten: {error.what}", REMEDY) from error
    reason = _foreign(table, target.parent.resolve(), manifest, folder=folder)
    if reason:
        what = f"is there already and is no manifest of {spelled(manifest.name)}"
        raise DataError(f"{spelled(target)} {what}: {reason}.", REMEDY)


def _foreign(table: Table, base: Path, manifest: Manifest, *, folder: bool) -> str:
    """Return what shows that a table was not written for this data; empty where nothing does."""
    if table.header[: len(COLUMNS)] != COLUMNS:
        return f"its columns do not begin with {', '.join(COLUMNS)}"
    for line, what in table.faults:
        return f"line {line}: {what}"
    root = manifest.root.resolve()
    known: dict[str, set[tuple[str, ...]]] = {}
    for sample in manifest:
        fields = (sample.identity, sample.camera, sample.split)
        known.setdefault(_place(root, sample.path), set()).add(fields)
    for line, row in table.rows:
        place = _place(base, row["path"])
        labels = (row["identity"], row["camera"], row["split"])
        if place not in known and not (folder and Path(place).is_relative_to(root)):
            return f"line {line} names {row['path']!r}, which is not in {spelled(manifest.root)}"
        if folder and labels not in known.get(place, {labels}):
            return f"line {line} gives {row['path']!r} another identity, camera or split"
    return ""


def _place(base: Path, path: str) -> str:
    return os.path.normpath(base / path)
