"""The hits of a search as a table for other programs: CSV, UTF-8, one row per hit."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import SettingError
from scing_cli.core.workflows.montage import Found

COLUMNS = ("query", "rank", "score", "identity", "camera", "path")
STDOUT = Path("-")


def check_hits_file(target: Path, *, as_json: bool) -> None:
    """Refuse, before any work, a table that cannot be written.

    Args:
        target: The file; `-` is standard output.
        as_json: Whether standard output is taken by one JSON object.

    Raises:
        SettingError: If it is a folder, is there and no such table, or standard output is taken.
    """
    if target == STDOUT:
        if as_json:
            raise SettingError("--csv -: standard output is taken by --json.", "Name a file, or leave --json out.")
        return
    if target.is_dir():
        raise SettingError(f"--csv {target} is a folder.", "Name a file in it.")
    if target.exists() and not _is_ours(target):
        raise SettingError(f"--csv {target} is there already, and is no table of hits.", "Name another file.")


def _is_ours(target: Path) -> bool:
    try:
        with target.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), None) == list(COLUMNS)
    except (OSError, ValueError, csv.Error):
        return False


def write_hits(target: Path, results: Sequence[Found]) -> None:
    """Write one row per hit, in the order of photos and ranks; scores are cosines.

    Args:
        target: The file; `-` is standard output.
        results: What was found.
    """
    if target == STDOUT:
        _write(sys.stdout, results)
        return
    with (
        replacing(target) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        _write(file, results)


def _write(file: TextIO, results: Sequence[Found]) -> None:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(_rows(results))


def _rows(results: Sequence[Found]) -> Iterable[Sequence[object]]:
    for found in results:
        for rank, hit in enumerate(found.hits, 1):
            yield found.query, rank, repr(hit.score), hit.row.identity, hit.row.camera, hit.row.path
