"""A closer look at a data set: does every image decode, and do the counts fit a published data set?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.errors import ImageError
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter

AHEAD = 32  # images in flight per thread: an interrupted check stops soon


@dataclasses.dataclass(frozen=True, slots=True)
class PartCount:
    """How much one part of a data set holds.

    Args:
        identities: Known identities; the distractors' 0000 counts as one, as in published counts.
        images: Rows.
        cameras: Known cameras.
    """

    identities: int
    images: int
    cameras: int


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """Counts of a data set as published.

    Args:
        parts: Counts by split; a part whose count was not found is left out.
        source: Where the counts come from, and how sure they are.
    """

    parts: Mapping[str, PartCount]
    source: str


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "Market-1501": Published(
            {
                "train": PartCount(751, 12_936, 6),
                "query": PartCount(750, 3_368, 6),
                "gallery": PartCount(751, 15_913, 6),
            },
            "loaders of the data set; the gallery is 15,913 of 19,732 files without junk, 0000 counts as an identity",
        ),
        "DukeMTMC-reID": Published(
            {
                "train": PartCount(702, 16_522, 8),
                "query": PartCount(702, 2_228, 8),
                "gallery": PartCount(1_110, 17_661, 8),
            },
            "loaders of the data set; 408 of the gallery's identities are distractors",
        ),
        "Occluded-Duke": Published(
            {
                "train": PartCount(702, 15_618, 8),
                "query": PartCount(519, 2_210, 8),
                "gallery": PartCount(1_110, 17_661, 8),
            },
            "images: its paper; identities: widely quoted, not found in a source; cameras: DukeMTMC's",
        ),
    }
)


def verify_images(manifest: Manifest, *, workers: int, reporter: Reporter) -> tuple[Dropped, ...]:
    """Decode every image in full and return those that cannot be read.

    Args:
        manifest: The rows; a file that several rows share is opened once.
        workers: Threads that decode.
        reporter: Where the progress is shown.

    Returns:
        One entry per unreadable file, in manifest order.
    """
    paths = list(dict.fromkeys(sample.path for sample in manifest))
    unreadable: list[Dropped] = []
    window = workers * AHEAD
    with reporter.progress("Opening images", len(paths)) as advance, ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), window):
            some = paths[start : start + window]
            for path, reason in zip(some, pool.map(_fault, (manifest.root / path for path in some)), strict=True):
                if reason is not None:
                    unreadable.append(Dropped(path, reason))
                advance(1)
    return tuple(unreadable)


def _fault(file: Path) -> str | None:
    try:
        read_image(file)
    except ImageError as error:
        return error.what.removeprefix(f"{file} ").removesuffix(".")
    return None


def count_parts(manifest: Manifest) -> dict[str, PartCount]:
    """Count identities, images and cameras of train, val (where there is one), query and gallery.

    Rows without a split are in no part; a part without rows counts zero.
    """
    return dict(_counts(manifest))


def _counts(manifest: Manifest) -> Iterator[tuple[str, PartCount]]:
    present = manifest.splits()
    for split in ("train", "val", "query", "gallery"):
        if split in present:
            part = manifest.part(split)
            yield split, PartCount(len(part.identities()), len(part), len(part.cameras()))
        elif split != "val":
            yield split, PartCount(0, 0, 0)


def fitting(parts: Mapping[str, PartCount]) -> tuple[str | None, Mapping[str, PartCount]]:
    """Return the published data set whose training and query images are as many, and its counts by part.

    Its other counts may differ: that is worth a warning, no more.

    >>> fitting({"train": PartCount(3, 12_936, 6), "query": PartCount(3, 3_368, 6)})[0]
    'Market-1501'
    >>> fitting({"train": PartCount(3, 9, 2), "query": PartCount(3, 3, 2)})
    (None, {})
    """
    for name, published in PUBLISHED.items():
        if all(split in parts and parts[split].images == published.parts[split].images for split in ("train", "query")):
            return name, published.parts
    return None, {}
