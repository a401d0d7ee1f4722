"""Paths of a list that cannot be files of this machine (web addresses, paths of Windows), and `~` in paths."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.errors import DataError, counted, spelled

ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # two letters or more: C:/ is a drive
WINDOWS = re.compile(r"[a-z]:[\\/]|\\\\", re.IGNORECASE)
FILE = "it is a file: address; write the path alone, without file://"
DOWNLOAD = "it is a web address; download the image, and write the path of the file"
DRIVE = "it is a path of Windows; write it relative to the list's folder, separated by /"


def with_local_paths(data: DataSet, source: Path) -> DataSet:
    """Expand `~` in the rows of a list, and drop the rows whose paths cannot be files of this machine.

    A file that has such a name is used as it is.

    Args:
        data: The rows.
        source: The list, for messages.

    Raises:
        DataError: If no row is left.
    """
    root, rows, dropped = data.manifest.root, [], []
    expanded: list[str] = []
    for row in data.manifest:
        unknown = [path for path in row.paths if not os.path.lexists(root / path)]
        foreign = [Dropped(path, reason) for path in unknown if (reason := why_foreign(path))]
        if foreign:
            dropped.append(foreign[0])
            continue
        homes = [path for path in unknown if expand_home(path) != path]
        expanded += homes
        rows.append(row.with_paths(functools.partial(_expanded, homes)) if homes else row)
    if dropped and not rows:
        first = dropped[0]
        raise DataError(
            f"{spelled(source)} lists no file of this machine ({counted(len(dropped), 'path')}), such as "
            f"{spelled(first.path)}: {first.reason}."
        )
    unlike = data.with_rows(tuple(rows), tuple(_note(expanded)))
    return dataclasses.replace(unlike, dropped=(*data.dropped, *dropped))


def why_foreign(path: str) -> str:
    r"""Return why a path cannot be a file of this machine, with what to do; empty if it can.

    >>> why_foreign("s3://a/b.jpg") == DOWNLOAD, why_foreign(r"D:\a.jpg") == DRIVE, why_foreign("a/b.jpg")
    (True, True, '')
    """
    address = ADDRESS.match(path)
    if address:
        return FILE if address[1].lower() == "file" else DOWNLOAD
    return DRIVE if os.name != "nt" and WINDOWS.match(path) else ""


def expand_home(path: str) -> str:
    """Return a path with the home folder instead of `~` or `~NAME` at its start; unchanged if there is none."""
    return Path(os.path.expanduser(path)).as_posix() if path.startswith("~") else path  # noqa: PTH111 - never raises


def _expanded(homes: list[str], path: str) -> str:
    return expand_home(path) if path in homes else path


def _note(expanded: list[str]) -> Iterator[str]:
    if expanded:
        begin = counted(len(expanded), "path begins", "paths begin")
        yield f"{begin} with ~, such as {spelled(expanded[0])}: it is read as the home folder."
