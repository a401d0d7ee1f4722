"""Join captions to the rows of a folder layout, from a `captions.csv` in its root with the columns path and caption."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.datasets.dataset import raise_faults
from scing_cli.core.datasets.disk_names import caseless
from scing_cli.core.datasets.table import read_table
from scing_cli.core.errors import counted
from scing_cli.core.manifest import Sample

CAPTIONS = "captions.csv"
MOST_CAPTIONS = 50  # of an image


def join_captions(root: Path, samples: tuple[Sample, ...]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Add to each sample the captions of its path in `captions.csv`, if this file exists.

    A path may be on several lines, and a line may have the columns caption, caption_2 and so on: all of them are its
    captions, in the order of the file. Equal texts of a path count once. A path in the file may differ from that on
    disk in Unicode form and case, and may have the separators of Windows.

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
    captions = _captions(source)
    joined = _alike(tuple(row.with_captions(captions.pop(row.path, ())) for row in samples), captions)
    if not captions:
        return joined, ()
    example = next(iter(captions))
    return joined, (f"{CAPTIONS} names {counted(len(captions), 'file')} not in the data, such as {example!r}.",)


def _captions(source: Path) -> dict[str, list[str]]:
    """Return the captions of each path; a path without any has an empty list."""
    table = read_table(source, needed=("path", "caption"))
    faults = list(table.faults)
    captions: dict[str, list[str]] = {}
    for line, row in table.rows:
        path = row["path"] if "/" in row["path"] else row["path"].replace("\\", "/")  # as written on Windows
        texts = captions.setdefault(posixpath.normpath(path), [])
        texts += [text for text in dict.fromkeys(_texts(row)) if text not in texts]
        if not row["path"]:
            faults.append((line, "the path is empty"))
        elif len(texts) > MOST_CAPTIONS:
            faults.append((line, f"{row['path']!r} has more than {MOST_CAPTIONS} captions"))
    raise_faults(source, faults, "Correct these rows, or move the file away.")
    return captions


def _texts(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return the captions of a line in the order of the numbers of their columns."""
    further = tuple((name, text) for name, text in row.items() if name != "caption")
    return Sample("", caption=row["caption"], extra=further).captions


def _alike(samples: tuple[Sample, ...], captions: dict[str, list[str]]) -> tuple[Sample, ...]:
    """Give rows without a caption those of the only path spelled nearly alike; used captions are removed."""
    alike: dict[str, list[str]] = {}
    for path in captions:
        alike.setdefault(caseless(path), []).append(path)
    joined = []
    for sample in samples:
        paths = alike.pop(caseless(sample.path), []) if alike and not sample.caption else []
        joined.append(sample.with_captions(captions.pop(paths[0])) if len(paths) == 1 else sample)
    return tuple(joined)
