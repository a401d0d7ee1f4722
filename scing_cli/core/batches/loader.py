"""Loads batches of image files as uint8 pixels; threads decode them ahead of use."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.batches.pixels import Pixels, resize
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.errors import UNREADABLE_REMEDY, ImageError, SettingError
from scing_cli.core.observation_images import read_views
from scing_cli.core.spectra import Source, file_of, views_of
from scing_cli.core.threads import staying

MOST = 8  # items per job at most: when a pool is closed, it waits for running jobs
JOBS = 4  # jobs per thread: submitting a job holds the GIL, so jobs are not single items


class PixelBatch(NamedTuple):
    """Pixels of some rows.

    Args:
        rows: The row numbers.
        pixels: Shape (B, 3 S, H, W), uint8; zero in missing spectra.
        cameras: Shape (B,): rows of the camera vectors, -1 for none; None if no camera is known.
        missing: Shape (B, S): the spectra that an observation lacks; None if none is missing.
    """

    rows: list[int]
    pixels: Pixels
    cameras: npt.NDArray[np.int64] | None = None
    missing: npt.NDArray[np.bool_] | None = None


def sequential(count: int, batch_size: int) -> list[list[int]]:
    """Return the rows 0 .. count-1 in order, divided into batches; the last one may be smaller but is never empty.

    >>> sequential(5, 2)
    [[0, 1], [2, 3], [4]]
    """
    return [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]


def at_places(places: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return the rows of ascending places, divided into batches by their places; no batch is empty.

    >>> at_places([0, 1, 3, 4, 9], 2)
    [[0, 1], [2], [3], [4]]
    """
    batches = itertools.groupby(range(len(places)), lambda row: places[row] // batch_size)
    return [list(rows) for _, rows in batches]


def shares(count: int, workers: int) -> list[slice]:
    """Divide `count` items into jobs for a pool of threads: several per thread, with at most `MOST` items each.

    >>> shares(9, 1)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """
    size = min(max(1, count // (JOBS * workers)), MOST)
    return [slice(start, start + size) for start in range(0, count, size)]


def resize_views(images: Sequence[Image.Image | None], interpolation: str, *, into: Pixels) -> None:
    """Fill the pixels of an observation, (3 S, H, W), with its S images; with zeros where there is none."""
    height, width = into.shape[1:]
    for image, own in zip(images, into.reshape(-1, 3, height, width), strict=True):
        if image is None:
            own[...] = 0
        else:
            resize(image, height, width, interpolation, into=own)


def missing_spectra(sources: Sequence[Source], spectra: tuple[str, ...]) -> npt.NDArray[np.bool_] | None:
    """Return which spectra each of B sources lacks, (B, S); None if none is missing.

    Args:
        sources: Image files, or observations.
        spectra: The model's spectra; none for a model of ordinary images, where nothing can be missing.
    """
    if not spectra:
        return None
    lacking = [[view is None for view in views_of(source, spectra)] for source in sources]
    return np.array(lacking) if any(map(any, lacking)) else None


class _Pending(NamedTuple):
    rows: list[int]
    pixels: Pixels
    jobs: list[Future[dict[int, ImageError]]]


class ImageLoader:
    """Decodes and resizes batches of image files in a pool of threads, several batches ahead of the consumer.

    Args:
        files: The image files, or observations; row numbers are indices into this sequence.
        spectra: What a model of several spectra reads of each row; none for one image.
        height: Height of the pixels.
        width: Width of the pixels.
        interpolation: A key of `INTERPOLATIONS`.
        workers: Number of threads that decode images.
        ahead: Number of batches that are decoded ahead of the one in use; it limits the memory.

    Raises:
        SettingError: If `workers` or `ahead` is below 1.
    """

    # Pillow decodes and resizes without the GIL. Everything else holds it, which limits the throughput of all threads
    # together; `tests/benchmarks/reading.py` measures that part.

    def __init__(
        self,
        files: Sequence[Source],
        *,
        height: int,
        width: int,
        interpolation: str,
        workers: int,
        ahead: int = 4,
        spectra: tuple[str, ...] = (),
    ) -> None:
        if workers < 1 or ahead < 1:
            raise SettingError(f"{workers} workers that decode {ahead} batches ahead: both must be at least 1.")
        self.files = files
        self.height = height
        self.width = width
        self.interpolation = interpolation
        self.workers = workers
        self.ahead = ahead
        self.spectra = spectra

    @property
    def channels(self) -> int:
        """Channels of the pixels: 3 S."""
        return 3 * max(1, len(self.spectra))

    def batches(
        self,
        batch_rows: Iterable[Sequence[int]],
        *,
        left_out: LeftOut | None = None,
        others: Callable[[int], Iterable[int]] | None = None,
    ) -> Iterator[PixelBatch]:
        """Decode batches in the given order.

        If the iterator is closed early or an error occurs, waiting jobs are cancelled and the threads end.

        Args:
            batch_rows: The row numbers of each batch, for example from `sequential` or `identity_batches`.
            left_out: Receives the files that cannot be decoded; their rows are missing from the batches, and a batch
                without any other row is skipped. None to raise for the first one.
            others: Returns the rows whose pixels may take the place of those of a row that is left out, the first that
                can be decoded; then no row is missing.

        Yields:
            The rows, their pixels and what is missing, without cameras. A row that is replaced keeps its number.

        Raises:
            ImageError: If a file of a batch cannot be decoded, unless it is left out; the message gives the file. With
                `others`, if none of them can be decoded either.
        """
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        waiting: deque[_Pending] = deque()
        try:
            for rows in batch_rows:
                waiting.append(self._start(pool, rows))
                if len(waiting) > self.ahead:
                    yield from self._finished(waiting.popleft(), left_out, others)
            while waiting:
                yield from self._finished(waiting.popleft(), left_out, others)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, pool: ThreadPoolExecutor, rows: Sequence[int]) -> _Pending:
        pixels = np.empty((len(rows), self.channels, self.height, self.width), np.uint8)
        parts = shares(len(rows), self.workers)
        jobs = [pool.submit(self._decode_some, rows[part], pixels[part], part.start) for part in parts]
        return _Pending(list(rows), pixels, jobs)

    def _decode_some(self, rows: Sequence[int], pixels: Pixels, first: int) -> dict[int, ImageError]:
        """Decode some rows of a batch; return the errors by position in the batch, where `first` is the first row's."""
        errors = {}
        with staying():
            for place, (row, target) in enumerate(zip(rows, pixels, strict=True), first):
                try:
                    self._decode(self.files[row], target)
                except ImageError as error:
                    errors[place] = error
        return errors

    def _decode(self, source: Source, target: Pixels) -> None:
        resize_views(read_views(views_of(source, self.spectra)), self.interpolation, into=target)

    def _decode_other(self, rows: Iterable[int], target: Pixels, error: ImageError) -> int:
        """Decode the first row that can be decoded and return it; raise the error of the row that it replaces."""
        for row in rows:
            try:
                self._decode(self.files[row], target)
            except ImageError:
                continue
            return row
        raise ImageError(error.what, f"No other image of this person can be read. {UNREADABLE_REMEDY}") from error

    def _finished(
        self, pending: _Pending, left_out: LeftOut | None, others: Callable[[int], Iterable[int]] | None
    ) -> Iterator[PixelBatch]:
        """Wait for a batch and yield it without the rows that are left out; nothing if no row is left."""
        errors: dict[int, ImageError] = {}
        shown = list(pending.rows)  # the rows whose pixels these are
        for job in pending.jobs:
            errors |= job.result()
        for place, error in errors.items():
            if left_out is None:
                raise ImageError(error.what, UNREADABLE_REMEDY) from error
            left_out.add(file_of(self.files[pending.rows[place]]), error)
            if others is not None:
                shown[place] = self._decode_other(others(pending.rows[place]), pending.pixels[place], error)
        if not errors or others is not None:
            lacking = missing_spectra([self.files[row] for row in shown], self.spectra)
            yield PixelBatch(pending.rows, pending.pixels, missing=lacking)
        elif len(errors) < len(pending.rows):
            kept = [place for place in range(len(pending.rows)) if place not in errors]
            rows = [pending.rows[place] for place in kept]
            lacking = missing_spectra([self.files[row] for row in rows], self.spectra)
            yield PixelBatch(rows, pending.pixels[kept], missing=lacking)
