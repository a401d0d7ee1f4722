"""Image files -> unit-length vectors, in the order they were given.

`Embedder` is what all that embed share, and needs no torch: `tower.TorchEmbedder` runs the image tower with torch,
`copied.OpenVinoEmbedder` its inference copy.

Shapes: N files, B batch, D width of the descriptor.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.batches import ImageLoader, Pixels, resize, sequential
from scing_cli.core.encoders.camera_embedding import camera_rows
from scing_cli.core.encoders.descriptors import check_descriptor
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.runtime import Reporter

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Take = Callable[[Sequence[int], Vectors], None]  # rows and their vectors, (B, D)


class Embedder(abc.ABC):
    """An image encoder with all that turns a picture into a descriptor (Eq. 21, R10).

    `engine` names what runs it, `width` is D.

    Args:
        geometry: Size and statistics of its pixels.
        cameras: Those it has a vector for (R15).
        embed_dim: Width of the projection.
        tower_width: Width of the class token.
        kind: `projected` (D) or `concat` ([CLS] after ln_post and projected).
        precision: Of the tower (R17): `fp32` or `bf16`.
        batch_size: Images encoded at a time.
        workers: Threads that decode.
    """

    engine: ClassVar[str]

    def __init__(
        self,
        *,
        geometry: Geometry,
        cameras: Sequence[str],
        embed_dim: int,
        tower_width: int,
        kind: str,
        precision: str,
        batch_size: int,
        workers: int,
    ) -> None:
        self.geometry = geometry
        self.cameras = tuple(cameras)
        self.kind = check_descriptor(kind)
        self.width = embed_dim + (tower_width if kind == "concat" else 0)
        self.precision = precision
        self.batch_size = batch_size
        self.workers = workers

    @abc.abstractmethod
    def stream(
        self, batches: Iterable[tuple[list[int], Pixels, Places | None]], *, unit: bool = True
    ) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches in their order.

        Args:
            batches: Rows; their pixels, (B, 3, H, W) uint8 of the geometry's size; places of their cameras, (B,), -1
                for none, or None where no camera is known.
            unit: Whether the vectors are made unit length.

        Yields:
            The rows, and their vectors: (B, D) float32.

        Raises:
            ImageError: What the batches raise.
        """

    def pixels(self, pixels: Pixels, *, unit: bool = True) -> Vectors:
        """Embed a batch of pixels of no known camera, (B, 3, H, W) uint8: (B, D) float32, unit length if `unit`."""
        ((_, vectors),) = self.stream([([], pixels, None)], unit=unit)
        return vectors

    def files(
        self,
        files: Sequence[Path],
        *,
        cameras: Sequence[str] | None = None,
        unit: bool = True,
        reporter: Reporter,
        text: str,
        take: Take | None = None,
        into: Vectors | None = None,
    ) -> Vectors:
        """Embed image files: some are decoded while others are encoded.

        Args:
            files: N paths.
            cameras: N names, for an encoder that knows cameras (R15); None where they are not those of its training.
            unit: Whether the vectors are made unit length.
            reporter: Shows progress under the name `text`; told how many images go without a camera vector.
            text: What is being embedded.
            take: Called with each batch's rows and vectors, in their order, as soon as they are there and finite.
            into: (N, D) float32 to fill and return.

        Returns:
            (N, D) float32, in the order of `files`.

        Raises:
            ImageError: If a file cannot be decoded.
            DataError: If a vector is not finite; the message names the files.
        """
        vectors = np.empty((len(files), self.width), np.float32) if into is None else into
        places = self._camera_places(cameras, len(files), reporter)
        loaded = image_batches(files, sequential(len(files), self.batch_size), self.geometry, workers=self.workers)
        batches = ((rows, pixels, None if places is None else places[rows]) for rows, pixels in loaded)
        with reporter.progress(text, len(files)) as advance:
            for rows, own in self.stream(batches, unit=unit):
                vectors[rows] = own
                if take is not None and np.isfinite(own).all():
                    take(rows, own)
                advance(len(rows))
        check_finite(vectors, files)
        return vectors

    def images(self, images: Iterable[Image.Image]) -> Vectors:
        """Embed decoded RGB images: (N, D) float32, unit length."""
        size = self.geometry
        arrays = [resize(image, size.height, size.width, size.interpolation) for image in images]
        parts = (arrays[start : start + self.batch_size] for start in range(0, len(arrays), self.batch_size))
        vectors = [own for _, own in self.stream(([], np.stack(part), None) for part in parts)]
        return np.concatenate(vectors) if vectors else np.empty((0, self.width), np.float32)

    def _camera_places(self, cameras: Sequence[str] | None, count: int, reporter: Reporter) -> Places | None:
        """Return each image's camera for the encoder, and say how many go without one; None where it knows none."""
        if not self.cameras:
            return None
        places = camera_rows(self.cameras, cameras or [""] * count)
        without = int((places < 0).sum())
        if without:
            images = counted(without, "image is", "images are")
            reporter.warn(f"{images} of no camera that the model was trained with: no camera vector is added.")
        return places


def check_finite(vectors: Vectors, files: Sequence[Path]) -> None:
    """Refuse vectors that are not finite, and name the files that they are of.

    Raises:
        DataError: Naming the first of them.
    """
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        names = ", ".join(spelled(files[row]) for row in broken[:5])
        raise DataError(f"{len(broken)} vectors are not finite, of {names}.", "Use --precision fp32, or train anew.")


def image_batches(
    files: Sequence[Path], batch_rows: Iterable[Sequence[int]], geometry: Geometry, *, workers: int
) -> Iterator[tuple[list[int], Pixels]]:
    """Return the loader's batches at an encoder's size: rows and uint8 pixels (B, 3, H, W)."""
    loader = ImageLoader(
        files, height=geometry.height, width=geometry.width, interpolation=geometry.interpolation, workers=workers
    )
    return loader.batches(batch_rows)
