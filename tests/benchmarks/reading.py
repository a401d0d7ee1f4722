"""Reading JPEG files to pixels and digests in threads, against the usual way; Python's global lock is the limit.

python tests/benchmarks/reading.py [--quick] [--repeats 5] [--images 2000] [--workers 16]

The usual way: a job for each file, opened by Pillow by its name, converted, resized, turned to (3, H, W) by NumPy and
stacked; digests by hashlib of an open file. Ours: `ImageLoader`, and what `scing embed` does before. Both give the same
bytes. `lock alone` is the same work where decoding and resizing, which do not hold the lock, are sleeps of their length,
so that few cores do for many threads: a rate that no number of cores lifts, as far as these can run what is left. One
JSON line each.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import measuring
import numpy as np
from PIL import Image

from scing_cli.core.batches import ImageLoader, Pixels, sequential
from scing_cli.core.index import entry_of
from scing_cli.core.runtime import Silent
from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.shared.vectors import in_threads

BATCH, HEIGHT, WIDTH = 256, 256, 128
PEOPLE = 48  # drawn; eight JPEG files of each are copied to as many as are needed


def usual_pixels(files: list[Path], workers: int, take: Callable[[Pixels], object]) -> None:
    def decode(file: Path) -> Pixels:
        with Image.open(file) as image:
            resized = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        return np.asarray(resized).transpose(2, 0, 1).copy()

    with ThreadPoolExecutor(workers) as pool:
        decoded = pool.map(decode, files)
        for rows in sequential(len(files), BATCH):
            take(np.stack([next(decoded) for _ in rows]))


def our_pixels(files: list[Path], workers: int, take: Callable[[Pixels], object]) -> None:
    loader = ImageLoader(files, height=HEIGHT, width=WIDTH, interpolation="bicubic", workers=workers)
    for _, pixels, *_ in loader.batches(sequential(len(files), BATCH)):
        take(pixels)


def usual_digests(files: list[Path], workers: int) -> list[str]:
    def digest(file: Path) -> str:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(digest, files))


def our_digests(files: list[Path], workers: int) -> list[str]:
    return [entry.digest for entry in in_threads(entry_of, files, workers=workers, reporter=Silent(), text="")]


class Asleep:
    """Stands for Pillow's decoder: takes its time, gives nothing."""

    pulls_fd = False

    def __init__(self, length: float) -> None:
        self.length = length

    def setimage(self, *_: object) -> None:
        pass

    def decode(self, _: bytes) -> tuple[int, int]:
        time.sleep(self.length)
        return -1, 0

    def cleanup(self) -> None:
        pass


@contextlib.contextmanager
def sleeping(files: list[Path]) -> Iterator[dict[str, float]]:
    """Replace decoding and resizing by sleeps of their length; give these lengths in microseconds."""
    lengths: dict[str, list[float]] = {"decode": [], "resize": []}
    for file in files[:200]:
        with Image.open(file) as image:
            lengths["decode"].append(measuring.seconds(image.load))
            rgb = image.convert("RGB")
        lengths["resize"].append(measuring.seconds(lambda rgb=rgb: rgb.resize((WIDTH, HEIGHT))))
    decode, resize = (statistics.median(each) for each in lengths.values())
    ready = Image.new("RGB", (WIDTH, HEIGHT))

    def decoder(*_: object) -> Asleep:
        return Asleep(decode)

    def resized(image: Image.Image, *_: Any, **__: Any) -> Image.Image:
        image.load()
        time.sleep(resize)
        return image._new(ready.im)

    with (
        mock.patch.object(Image, "_getdecoder", decoder),
        mock.patch.object(Image.Image, "resize", resized),
    ):
        yield {"decode": round(1e6 * decode, 1), "resize": round(1e6 * resize, 1)}


def drawn(place: Path, people: int, count: int) -> list[Path]:
    """Write JPEG files of people, as large as Market-1501's (128x64)."""
    write_world(place / "drawn", identities=people, test_identities=1, cameras=4, images_per_camera=2, seed=1)
    crops = [file.read_bytes() for file in sorted((place / "drawn" / "bounding_box_train").iterdir())]
    files = [place / f"{number:06}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(crops[number % len(crops)])
    return files


def compare(files: list[Path], given: argparse.Namespace) -> None:
    usual, ours = [], []
    usual_pixels(files[: 2 * BATCH], 2, usual.append)
    our_pixels(files[: 2 * BATCH], 2, ours.append)
    if not np.array_equal(np.concatenate(usual), np.concatenate(ours)):
        raise SystemExit("The pixels differ.")
    if usual_digests(files, 2) != our_digests(files, 2):
        raise SystemExit("The digests differ.")

    def timed(name: str, usual: Callable[..., object], ours: Callable[..., object], *more: Any, **told: Any) -> None:
        times = measuring.in_turns(
            lambda: usual(files, given.workers, *more), lambda: ours(files, given.workers, *more), given.repeats
        )
        measuring.line(f"{name}, {given.workers} threads", *times, work=len(files), **told)

    timed(f"{len(files)} JPEG files to pixels", usual_pixels, our_pixels, len)
    timed(f"digests of {len(files)} files", usual_digests, our_digests)
    with sleeping(files) as lengths:
        timed(f"{len(files)} JPEG files, lock alone", usual_pixels, our_pixels, len, asleep=lengths)


def main() -> None:
    parser = measuring.options(__doc__, repeats=5)
    parser.add_argument("--images", type=int, help="files (2000; 24 with --quick)")
    parser.add_argument("--workers", type=int, default=16, help="threads that decode (16)")
    given = measuring.settle(parser.parse_args())
    shared = Path("/dev/shm")  # in memory, where there is such a place
    with tempfile.TemporaryDirectory(prefix="scing-reading-", dir=shared if shared.is_dir() else None) as place:
        people = 2 if given.quick else PEOPLE
        compare(drawn(Path(place), people, given.images or (24 if given.quick else 2000)), given)


if __name__ == "__main__":
    main()
