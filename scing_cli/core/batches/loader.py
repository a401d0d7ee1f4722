"""Image files -> batches of uint8 pixels, decoded ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scing_cli.core.batches.pixels import Pixels, resize
from scing_cli.core.errors import UNREADABLE_REMEDY, ImageError, SettingError
from scing_cli.core.imagefile import read_image
from scing_cli.core.runtime import staying

MOST = 8  # items of a job: one that runs is waited for
JOBS = 4  # for each thread: handing one over holds Python's lock


def sequential(count: int, batch_size: int) -> list[list[int]]:
    """Return the rows 0 .. count-1 in order, cut into batches; the last one may be smaller but is never empty.

    >>> sequential(5, 2)
    [[0, 1], [2, 3], [4]]
    """
    return [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]


def shares(count: int, workers: int) -> list[slice]:
    """Cut so many items into jobs for a pool of threads: some for each thread, none of more than `MOST` items.

    >>> shares(9, 1)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """
    size = min(max(1, count // (JOBS * workers)), MOST)
    return [slice(start, start + size) for start in range(0, count, size)]


class _Pending(NamedTuple):
    rows: list[int]
    pixels: Pixels
    jobs: list[Future[None]]


class ImageLoader:
    """Decodes and resizes batches of image files in a pool of threads, some batches ahead of the consumer.

    Pillow decodes and resizes without holding Python's lock. All else holds it, which bounds all threads together:
    `tests/benchmarks/reading.py` times that alone.

    Args:
        files: The image files; a plan names them by their places here.
        height: In pixels.
        width: In pixels.
        interpolation: A key of `INTERPOLATIONS`.
        workers: Threads that decode.
        ahead: How many batches are decoded beyond the one that is being used; bounds the memory.

    Raises:
        SettingError: If `workers` or `ahead` is below 1.
    """

    def __init__(
        self, files: Sequence[Path], *, height: int, width: int, interpolation: str, workers: int, ahead: int = 4
    ) -> None:
        if workers < 1 or ahead < 1:
            raise SettingError(f"{workers} workers that decode {ahead} batches ahead: both take at least 1.")
        self.files = files
        self.height = height
        self.width = width
        self.interpolation = interpolation
        self.workers = workers
        self.ahead = ahead

    def batches(self, batch_rows: Iterable[Sequence[int]]) -> Iterator[tuple[list[int], Pixels]]:
        """Decode a plan's batches, in its order.

        Closing the iterator early, or an error, drops what is waiting and ends the threads.

        Args:
            batch_rows: The rows of each batch, as `sequential` or `identity_batches` gives them.

        Yields:
            The rows, and their pixels: shape (B, 3, height, width), uint8.

        Raises:
            ImageError: When a batch holds a file that cannot be decoded; names the file.
        """
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        waiting: deque[_Pending] = deque()
        try:
            for rows in batch_rows:
                waiting.append(self._start(pool, rows))
                if len(waiting) > self.ahead:
                    yield _finished(waiting.popleft())
            while waiting:
                yield _finished(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, pool: ThreadPoolExecutor, rows: Sequence[int]) -> _Pending:
        pixels = np.empty((len(rows), 3, self.height, self.width), np.uint8)
        parts = shares(len(rows), self.workers)
        jobs = [pool.submit(self._decode_some, rows[part], pixels[part]) for part in parts]
        return _Pending(list(rows), pixels, jobs)

    def _decode_some(self, rows: Sequence[int], places: Pixels) -> None:
        with staying():
            for row, place in zip(rows, places, strict=True):
                self._decode(self.files[row], place)

    def _decode(self, file: Path, place: Pixels) -> None:
        resize(read_image(file), self.height, self.width, self.interpolation, into=place)


def _finished(pending: _Pending) -> tuple[list[int], Pixels]:
    try:
        for job in pending.jobs:
            job.result()
    except ImageError as error:
        raise ImageError(error.what, UNREADABLE_REMEDY) from error
    return pending.rows, pending.pixels
