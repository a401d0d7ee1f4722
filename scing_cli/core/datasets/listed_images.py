"""Reader for JSON lists of images with captions, as of CUHK-PEDES, ICFG-PEDES, RSTPReid and UFine6926.

An entry is an object with the image, the person's number, the captions and the part: train, val, or test, whose images
are the gallery and whose captions are the queries.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scing_cli.core.datasets.caption_entry import CaptionEntry, check_entry
from scing_cli.core.datasets.caption_file import MOST_CAPTIONS
from scing_cli.core.datasets.dataset import DataSet, Dropped, gather, raise_faults
from scing_cli.core.datasets.disk_names import samples_on_disk
from scing_cli.core.datasets.foreign_paths import why_foreign
from scing_cli.core.datasets.missing_images import without_missing
from scing_cli.core.errors import DataError, agreeing, counted, one_line, spelled
from scing_cli.core.manifest import Sample
from scing_cli.core.safe_reading import check_ordinary, json_items, read_limited

SPLIT_OF: Mapping[str, str] = MappingProxyType({"train": "train", "val": "val", "test": "gallery"})
MOST_FAULTS = 1_000  # after which reading stops
AGAIN = "Copy it again from where the data came from."
CSV = "A CSV can describe any data: columns path, identity, split, caption, caption_2."
SMALLER = f"Leave out fields that are not read, such as processed_tokens. {CSV}"
OUT = "its path leads out of the folder"


@dataclasses.dataclass(frozen=True, slots=True)
class ImageList:
    """What the JSON list of a data set looks like.

    Args:
        schema: The fields of an entry.
        folder: The folder that paths are relative to, below the root; empty for the root itself.
        others: The part of entries whose split is none of `SPLIT_OF`; empty if there must be none.
        camera: A pattern for the beginning of file names, whose group is the camera.
    """

    schema: type[CaptionEntry]
    folder: str = "imgs"
    others: str = ""
    camera: str = ""


def read_list(root: Path, source: Path, kind: ImageList) -> DataSet:
    """Read the entries of a list, in its order; images that are missing are left out and counted.

    Args:
        root: The data set's folder.
        source: The list.
        kind: What it looks like.

    Raises:
        DataError: If the list cannot be read or has faulty entries, which are listed, or if no image is there.
    """
    rows, dropped, notes = _rows(source, kind)
    samples, spelling = samples_on_disk(root, rows)
    data = gather(root, (*samples, *dropped))
    if not rows:
        raise DataError(f"{spelled(source)} names no image{_such(dropped)}.", AGAIN)
    found, warnings = without_missing(root, source, data.manifest.samples, folder=kind.folder)
    return dataclasses.replace(data.with_rows(found, (*notes, *spelling)), warnings=warnings)


def items_of(source: Path) -> Iterator[Any]:
    """Yield the entries of a list.

    Raises:
        DataError: If it is not a JSON list in UTF-8, or is larger than `safe_reading.MOST`.
    """
    try:
        yield from json_items(_content(source))
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text.", AGAIN) from error
    except ValueError as error:
        raise DataError(
            f"{source} cannot be read as a list of images with captions: {one_line(error)}.", f"{AGAIN} {CSV}"
        ) from error


def _content(source: Path) -> bytes:
    check_ordinary(source)
    try:
        return read_limited(source)
    except ValueError as error:
        raise DataError(f"{source} is too large: {error}.", SMALLER) from error


def _rows(source: Path, kind: ImageList) -> tuple[tuple[Sample, ...], list[Dropped], list[str]]:
    """Return the rows, those whose paths lead elsewhere, and notes."""
    faults: list[tuple[int, str]] = []
    dropped: list[Dropped] = []
    first: dict[str, tuple[int, Sample]] = {}
    repeated = joined = blank = 0
    for number, item in enumerate(items_of(source), start=1):
        entry = check_entry(item, kind.schema)
        split = entry if isinstance(entry, str) else SPLIT_OF.get(entry.split.strip().lower(), kind.others)
        if isinstance(entry, str) or not split:
            faults.append((number, entry if isinstance(entry, str) else _unknown_split(entry)))
            if len(faults) == MOST_FAULTS:
                break
            continue
        path = _slashes(entry.path)
        if reason := why_foreign(entry.path) or ("" if _stays(path) else OUT):
            dropped.append(Dropped(entry.path, reason))
            continue
        row = _row(entry, posixpath.join(kind.folder, path), split, kind)
        earlier, same = first.setdefault(row.path, (number, row))
        if earlier == number:
            blank += len(entry.captions) - len(row.captions)
            continue
        together = _joined(same, row)
        if isinstance(together, str):
            faults.append((number, f"{spelled(entry.path)!r} is in entry {earlier} already, {together}"))
        else:
            first[row.path] = earlier, together
            repeated += together == same
            joined += together != same
    stopped = "Reading stopped there. " if len(faults) == MOST_FAULTS else ""
    raise_faults(source, faults, f"{stopped}Correct these entries, or copy the file again. {CSV}", unit="entry")
    return tuple(row for _, row in first.values()), dropped, list(_notes(repeated, joined, blank))


def _row(entry: CaptionEntry, path: str, split: str, kind: ImageList) -> Sample:
    camera = re.match(kind.camera, posixpath.basename(path)) if kind.camera else None
    row = Sample(path, entry.identity, camera[1] if camera else "", split)
    return row.with_captions([text for text in entry.captions if text.strip()])


def _joined(row: Sample, other: Sample) -> Sample | str:
    """Return a row with the captions of another entry of its image too, or why they cannot be one row."""
    if (row.identity, row.split) != (other.identity, other.split):
        return "with another id or split"
    texts = (*row.captions, *(text for text in dict.fromkeys(other.captions) if text not in row.captions))
    if len(texts) > MOST_CAPTIONS:
        return f"and has more than {MOST_CAPTIONS} captions with it"
    return row.with_captions(texts) if len(texts) > len(row.captions) else row


def _unknown_split(entry: CaptionEntry) -> str:
    return f"the split {spelled(entry.split)!r} is none of {', '.join(SPLIT_OF)}"


def _slashes(path: str) -> str:
    r"""Return a path with / instead of \\, without empty parts and dots."""
    return posixpath.normpath(path.replace("\\", "/"))


def _stays(path: str) -> bool:
    return not posixpath.isabs(path) and path.partition("/")[0] not in ("..", ".")


def _such(dropped: list[Dropped]) -> str:
    if not dropped:
        return ""
    return f": {counted(len(dropped), 'path')}, such as {spelled(dropped[0].path)}: {dropped[0].reason}"


def _notes(repeated: int, joined: int, blank: int) -> Iterator[str]:
    if repeated:
        yield f"{counted(repeated, 'repeated entry is', 'repeated entries are')} counted once."
    if joined:
        have = counted(joined, "repeated entry has", "repeated entries have")
        yield f"{have} other captions of its image: all of them are used."
    if blank:
        yield f"{counted(blank, 'empty caption')} {agreeing(blank, 'is', 'are')} left out."
