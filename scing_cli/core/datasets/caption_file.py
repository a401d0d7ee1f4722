"""Join captions to the rows of a folder layout, from a `captions.csv` in its root with the columns path and caption."""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import Path

from scing_cli.core.datasets.dataset import raise_faults
from scing_cli.core.datasets.disk_names import caseless
from scing_cli.core.datasets.table import read_table
from scing_cli.core.errors import counted
from scing_cli.core.manifest import Sample

CAPTIONS = "captions.csv"


def join_captions(root: Path, samples: tuple[Sample, ...]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Add to each sample the caption of its path in `captions.csv`, if this file exists.

    A path in the file may differ from that on disk in Unicode form and case.

    Args:
        root: The data set's folder; paths in the file are relative to it.
        samples: Rows without captions.

    Returns:
        The rows with captions, and a note if the file has captions for other paths.

    Raises:
        DataError: If the file lacks a column or has a faulty row; all faults are listed.
    """
    source = root / CAPTIONS
    if not source.exists():
        return samples, ()
    table = read_table(source, needed=("path", "caption"))
    faults = list(table.faults)
    captions: dict[str, str] = {}
    for line, row in table.rows:
        path = posixpath.normpath(row["path"])
        if not row["path"]:
            faults.append((line, "the path is empty"))
        elif path in captions:
            faults.append((line, f"{row['path']!r} has a caption already"))
        captions[path] = row["caption"]
    raise_faults(source, faults, "Correct these rows, or move the file away.")
    joined = _alike(tuple(dataclasses.replace(row, caption=captions.pop(row.path, "")) for row in samples), captions)
    if not captions:
        return joined, ()
    example = next(iter(captions))
    return joined, (f"{CAPTIONS} names {counted(len(captions), 'file')} not in the data, such as {example!r}.",)


def _alike(samples: tuple[Sample, ...], captions: dict[str, str]) -> tuple[Sample, ...]:
    """Give rows without a caption that of the only path spelled nearly alike; used captions are removed."""
    alike: dict[str, list[str]] = {}
    for path in captions:
        alike.setdefault(caseless(path), []).append(path)
    joined = []
    for sample in samples:
        paths = alike.pop(caseless(sample.path), []) if alike and not sample.caption else []
        caption = captions.pop(paths[0]) if len(paths) == 1 else sample.caption
        joined.append(dataclasses.replace(sample, caption=caption))
    return tuple(joined)
