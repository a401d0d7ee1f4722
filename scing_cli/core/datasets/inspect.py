"""Inspect a data set: decode every image, and count the identities, images and cameras of each part."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from scing_cli.core.artifacts import DecodedImages, file_digest
from scing_cli.core.datasets.captioned_counts import CAPTIONED, compare_captioned
from scing_cli.core.datasets.copies import copies
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.published_counts import Comparison, PartCount, compare
from scing_cli.core.datasets.reading import trained_on_val
from scing_cli.core.errors import ImageError, spelled
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import SPLITS, Manifest, Sample
from scing_cli.core.observation_images import check_strip
from scing_cli.core.runtime import Reporter

AHEAD = 32  # images queued per thread; few, so that an interrupted check stops soon


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The minimum, lower median and maximum of some numbers."""

    least: int
    middle: int
    most: int

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Spread | None:
        """Return the spread of numbers, or None if there are none."""
        ordered = sorted(numbers)
        return cls(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]) if ordered else None


@dataclasses.dataclass(frozen=True, slots=True)
class Inspection:
    """The result of opening every file.

    Args:
        unreadable: One entry per file that cannot be decoded, in manifest order.
        widths: Widths of the upright images, in pixels; None if no image can be read.
        heights: Their heights, likewise.
        identical: Groups of paths whose files have the same bytes, in manifest order.
    """

    unreadable: tuple[Dropped, ...]
    widths: Spread | None
    heights: Spread | None
    identical: tuple[tuple[str, ...], ...]


def inspect_images(manifest: Manifest, *, workers: int, reporter: Reporter) -> Inspection:
    """Decode every image in full.

    Args:
        manifest: The rows; a file that several rows share is opened once. Images of all spectra are decoded.
        workers: Threads that decode.
        reporter: Receives progress.
    """
    paths = list(dict.fromkeys(path for sample in manifest for path in sample.paths))
    strips = {path for sample in manifest for path, part in sample.images.values() if part is not None}
    unreadable: list[Dropped] = []
    sizes: list[tuple[int, int]] = []
    digests: dict[str, str] = {}
    window = workers * AHEAD
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(reporter.progress("Opening images", len(paths)))
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)  # Ctrl-C waits only for images that are being decoded
        for start in range(0, len(paths), window):
            some = paths[start : start + window]
            opened = pool.map(_open, (manifest.root / path for path in some), (path in strips for path in some))
            for path, found in zip(some, opened, strict=True):
                if isinstance(found, str):
                    unreadable.append(Dropped(path, found))
                else:
                    sizes.append(found[:2])
                    digests[path] = found[2]
                advance(1)
    DecodedImages().add(manifest.root / path for path in digests)
    widths, heights = (Spread.of(size[side] for size in sizes) for side in (0, 1))
    return Inspection(tuple(unreadable), widths, heights, tuple(copies(digests)))


def _open(file: Path, strip: bool) -> str | tuple[int, int, str]:
    """Return width, height and digest of an image, or why it cannot be read, or cut if it is a strip."""
    try:
        image = read_image(file)
        if strip:
            check_strip(file, image.width)
        return image.width, image.height, file_digest(file)
    except ImageError as error:
        return error.what.removeprefix(f"{spelled(file)} ").removesuffix(".")
    except OSError as error:  # it was deleted after decoding
        return f"cannot be read: {error.strerror}"


def count_distractors(manifest: Manifest) -> PartCount:
    """Count the gallery rows of people without a query, including unknown people."""
    queried = {sample.identity for sample in manifest if sample.split == "query"} - {""}
    rows = [sample for sample in manifest if sample.split == "gallery" and sample.identity not in queried]
    return _count(rows)


def cameras_per_identity(manifest: Manifest) -> dict[str, Spread]:
    """Return, for each split with known cameras, the spread of the number of cameras per identity."""
    seen: dict[str, dict[str, set[str]]] = {}
    for sample in manifest:
        if sample.split and sample.identity and sample.camera:
            seen.setdefault(sample.split, {}).setdefault(sample.identity, set()).add(sample.camera)
    spreads = {split: Spread.of(map(len, people.values())) for split, people in seen.items()}
    return {split: spreads[split] for split in SPLITS if spreads.get(split) is not None}  # type: ignore[misc]


def count_suffixes(manifest: Manifest) -> dict[str, int]:
    """Count the image files of each suffix, in lower case, the most frequent first."""
    counts = Counter(PurePosixPath(path).suffix.lower() for path in {path for row in manifest for path in row.paths})
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def count_parts(manifest: Manifest) -> dict[str, PartCount]:
    """Count identities, images, cameras and captions of train, val (where there is one), query and gallery.

    Rows without a split are not counted. A part without rows counts zero.
    """
    return dict(_counts(manifest))


def count_rows(manifest: Manifest, split: str) -> PartCount:
    """Count identities, images, cameras and captions of a split; the empty split selects rows without one."""
    return _count([sample for sample in manifest if sample.split == split])


def compare_counts(manifest: Manifest, *, layout: str) -> Comparison | None:
    """Compare the counts of a data set with the published ones; None if no published data set is close."""
    if any(published.layout == layout for published in CAPTIONED.values()):
        return compare_captioned(count_parts(manifest), _count(list(manifest)), layout=layout)
    return compare(count_parts(trained_on_val(manifest)), layout=layout)


def _count(rows: Sequence[Sample]) -> PartCount:
    people, cameras = ({getattr(row, field) for row in rows} - {""} for field in ("identity", "camera"))
    return PartCount(len(people), len(rows), len(cameras), sum(len(row.captions) for row in rows))


def _counts(manifest: Manifest) -> Iterator[tuple[str, PartCount]]:
    present = manifest.splits()
    for split in ("train", "val", "query", "gallery"):
        if split in present or split != "val":
            yield split, count_rows(manifest, split)
