"""Embeds image files, and does other work on many files in threads, with progress and limited memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from scing_cli.core.batches import Pixels, missing_spectra, resize_views, sequential, shares
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.devices import memory_advice
from scing_cli.core.embeddings import Embedder, Take, Vectors
from scing_cli.core.errors import ImageError
from scing_cli.core.imagefile import crop_box
from scing_cli.core.observation_images import read_views
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, file_of, views_of
from scing_cli.core.threads import staying

Item = TypeVar("Item")
Result = TypeVar("Result")
Box = tuple[int, int, int, int]
MEMORY_OPTIONS = "a smaller --batch-size, --precision bf16, --device cpu"


def embed_files(
    embedder: Embedder,
    files: Sequence[Source],
    *,
    cameras: Sequence[str] | None = None,
    box: Box | None = None,
    reporter: Reporter,
    text: str,
    take: Take | None = None,
    left_out: LeftOut | None = None,
    places: Sequence[int] | None = None,
) -> Vectors:
    """Embed image files or observations; at most a few batches of pixels are in memory.

    Args:
        embedder: The model.
        files: N image files or observations.
        cameras: N names, if they are cameras of the model's training (R15); only without `box`.
        box: X, Y, W, H of the person in every image, of an observation in each of its images, in pixels; None for the
            whole image.
        reporter: Shows the progress.
        text: Title of the progress bar.
        take: Called with each batch's row numbers and vectors as soon as they are ready; only without `box`.
        left_out: Receives the files that cannot be decoded, whose vectors are zero; None to raise for the first.
        places: As for `Embedder.files`; only without `box`.

    Returns:
        (N, D) float32, unit length, in the order of `files`.

    Raises:
        ImageError: If a file cannot be decoded, unless it is left out.
        DataError: If the box extends beyond an image, or a vector is not finite.
        ScingError: If memory runs out; the message names the options that help.
    """
    with memory_advice(MEMORY_OPTIONS):
        if box is None:
            return embedder.files(
                files,
                cameras=cameras,
                reporter=reporter,
                text=text,
                take=take,
                left_out=left_out,
                places=places,
            )
        return _boxed(embedder, files, box, left_out, reporter=reporter, text=text)


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, reporter: Reporter, text: str
) -> list[Result]:
    """Apply a function to every item in a pool of threads; an error or Ctrl-C cancels the waiting jobs.

    Args:
        function: A thread-safe function.
        items: Its arguments.
        workers: Number of threads.
        reporter: Shows the progress.
        text: Title of the progress bar.
    """

    def work(part: slice) -> list[Result]:
        with staying():
            return [function(item) for item in items[part]]

    results: list[Result] = []
    pool = ThreadPoolExecutor(workers)
    try:
        with reporter.progress(text, len(items)) as advance:
            for part in pool.map(work, shares(len(items), workers)):
                results += part
                advance(len(part))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _boxed(
    embedder: Embedder, files: Sequence[Source], box: Box, left_out: LeftOut | None, *, reporter: Reporter, text: str
) -> Vectors:
    """Embed the same box of every image, in all spectra of an observation."""
    geometry, spectra = embedder.geometry, embedder.spectra
    shape = (3 * max(1, len(spectra)), geometry.height, geometry.width)

    def cut(source: Source) -> Pixels | ImageError:
        try:
            images = [image and crop_box(image, box) for image in read_views(views_of(source, spectra))]
        except ImageError as error:
            return error
        pixels = np.empty(shape, np.uint8)
        resize_views(images, geometry.interpolation, into=pixels)
        return pixels

    vectors = np.zeros((len(files), embedder.width), np.float32)
    pool = ThreadPoolExecutor(embedder.workers)
    try:
        with reporter.progress(text, len(files)) as advance:
            for rows in sequential(len(files), embedder.batch_size):
                found = dict(zip(rows, pool.map(cut, [files[row] for row in rows]), strict=True))
                cuts = {row: pixels for row, pixels in found.items() if not isinstance(pixels, ImageError)}
                for row, error in found.items():
                    if isinstance(error, ImageError):
                        if left_out is None:
                            raise error
                        left_out.add(file_of(files[row]), error)
                if cuts:
                    missing = missing_spectra([files[row] for row in cuts], spectra)
                    vectors[list(cuts)] = embedder.pixels(np.stack(list(cuts.values())), missing=missing)
                advance(len(rows))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    embedder.check_finite(vectors, files)
    return vectors
