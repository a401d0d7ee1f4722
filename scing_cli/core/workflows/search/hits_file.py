"""Write the hits of a search as a CSV table: UTF-8, one row per hit."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scing_cli.core.artifacts import csv_text, replacing
from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.paths import check_csv_name
from scing_cli.core.runtime import standard_output
from scing_cli.core.workflows.search.queries import QueryHits

COLUMNS = ("query", "rank", "score", "identity", "camera", "path")
STDOUT = Path("-")


def check_hits_file(target: Path, *, as_json: bool) -> None:
    """Check before the search that the table can be written.

    Args:
        target: The file; `-` is standard output.
        as_json: Whether standard output is used for the JSON result.

    Raises:
        SettingError: If it is a folder, exists and is not a table of hits, is not writable, or is standard output with
            `as_json`.
    """
    if target == STDOUT:
        if as_json:
            raise SettingError("--csv -: standard output is taken by --json.", "Name a file, or leave --json out.")
        return
    check_csv_name(target, "--csv")
    if target.is_dir():
        raise SettingError(f"--csv {target} is a folder.", "Name a file in it.")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise SettingError(f"--csv {target}: {parent} cannot be written.", "Name another file.")
    if target.exists() and target.stat().st_size and not _is_ours(target):
        raise SettingError(f"--csv {target} is there already, and is not a table of hits.", "Name another file.")


def _is_ours(target: Path) -> bool:
    try:
        with target.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), None) == list(COLUMNS)
    except (OSError, ValueError, csv.Error):
        return False


def write_hits(target: Path, results: Sequence[QueryHits]) -> None:
    """Write one row per hit, in the order of photos and ranks; scores are cosines.

    Args:
        target: The file; `-` is standard output. On a terminal, control characters in names are escaped; a file or a
            pipe gets the names unchanged.
        results: The hits of each photo.
    """
    if target == STDOUT:
        rows: Iterable[Sequence[object]] = _rows(results)
        if sys.stdout.isatty():
            rows = (tuple(map(spelled, row)) for row in rows)
        text = csv_text([COLUMNS, *rows])
        with standard_output():
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
            sys.stdout.buffer.flush()
        return
    with replacing(target) as temporary:
        temporary.write_text(
            csv_text([COLUMNS, *_rows(results)]), encoding="utf-8", errors="surrogateescape", newline=""
        )


def _rows(results: Sequence[QueryHits]) -> Iterable[Sequence[object]]:
    # Names that a spreadsheet reads as formulas are not changed: the file could not be found by another name.
    for found in results:
        for rank, hit in enumerate(found.hits, 1):
            yield found.label, rank, repr(hit.score), hit.row.identity, hit.row.camera, hit.row.path
