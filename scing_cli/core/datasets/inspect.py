"""A closer look at a data set: does every image decode, and how much is in each part?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.published import PartCount
from scing_cli.core.errors import ImageError
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter

AHEAD = 32  # images in flight per thread: an interrupted check stops soon


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
    with contextlib.ExitStack() as stack:
        advance = stack.enter_context(reporter.progress("Opening images", len(paths)))
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)  # Ctrl-C waits for the images being decoded, no more
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
