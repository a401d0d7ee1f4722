"""Embeds images as unit-length vectors.

`Embedder` is the base class and does not need torch. `torch_embedder.TorchEmbedder` runs the image tower with torch,
`openvino_embedder.OpenVinoEmbedder` its OpenVINO model, `graph_embedder.GraphEmbedder` an encoder that is a graph file.

Shapes: N files, B batch, S spectra, 1 for ordinary images, D width of the descriptor.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.batches import ImageLoader, PixelBatch, Pixels, at_places, resize, sequential
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.encoders.camera_embedding import camera_rows
from scing_cli.core.encoders.geometry import CLASS, Geometry, check_class, check_descriptor
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import VISIBLE, Source, file_of

Vectors = npt.NDArray[np.float32]
CameraRows = npt.NDArray[np.int64]  # rows of camera vectors, -1 for none
Missing = npt.NDArray[np.bool_]  # (B, S): which spectra an observation lacks
Take = Callable[[Sequence[int], Vectors], None]  # rows and their vectors, (B, D)


class Embedder(abc.ABC):
    """Base class for image encoders that compute descriptors (Eq. 21, R10).

    `engine` is the name of the library that runs the encoder, `width` is D, `spectra` the names of the spectra that the
    encoder reads of each observation; none for an encoder of ordinary images.

    Args:
        geometry: Size and statistics of the pixels.
        cameras: Cameras that have a vector (R15).
        embed_dim: Width of the projection.
        tower_width: Width of the class token.
        kind: `projected`; `concat` ([CLS] after ln_post, joined with the projection); or `class`.
        precision: Precision of the tower (R17): `fp32` or `bf16`.
        batch_size: Number of images per batch.
        workers: Number of threads that decode images.
        class_dim: Width of the descriptor `class`; 0 for an encoder without one.

    Raises:
        SettingError: If the encoder does not have this kind of descriptor.
    """

    engine: str
    spectra: tuple[str, ...] = ()
    unusable, remedy = "not finite", "Use --precision fp32, or train again."  # of vectors that cannot be compared

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
        class_dim: int = 0,
    ) -> None:
        self.geometry = geometry
        self.cameras = tuple(cameras)
        self.kind = check_descriptor(kind)
        check_class(kind, class_dim)
        self.width = {"concat": embed_dim + tower_width, CLASS: class_dim}.get(kind, embed_dim)
        self.precision = precision
        self.batch_size = batch_size
        self.workers = workers

    @abc.abstractmethod
    def stream(self, batches: Iterable[PixelBatch], *, unit: bool = True) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches and yield the results in the same order.

        Args:
            batches: Pixels of the geometry's size, with rows of the camera vectors if cameras are known.
            unit: Whether the vectors are normalized to unit length.

        Yields:
            The row numbers, and their vectors: (B, D) float32.

        Raises:
            ImageError: If `batches` raises it.
        """

    def pixels(self, pixels: Pixels, *, missing: Missing | None = None, unit: bool = True) -> Vectors:
        """Embed pixels without a camera, (B, 3 S, H, W) uint8: (B, D) float32, of unit length if `unit`."""
        ((_, vectors),) = self.stream([PixelBatch([], pixels, missing=missing)], unit=unit)
        return vectors

    def files(
        self,
        files: Sequence[Source],
        *,
        cameras: Sequence[str] | None = None,
        unit: bool = True,
        reporter: Reporter,
        text: str,
        take: Take | None = None,
        left_out: LeftOut | None = None,
        places: Sequence[int] | None = None,
    ) -> Vectors:
        """Embed image files or observations; decoding and encoding run in parallel.

        Args:
            files: N paths, or observations of the encoder's spectra.
            cameras: N names, for an encoder with camera vectors (R15); None if its training had other cameras.
            unit: Whether the vectors are normalized to unit length.
            reporter: Shows the progress, and the number of images without a camera vector.
            text: Title of the progress bar.
            take: Called with each batch's row numbers and vectors, in order, if all vectors are finite.
            left_out: Receives the files that cannot be decoded, whose vectors are zero; None to raise for the first. An
                observation is left out as a whole, under the name of its first file.
            places: N ascending numbers: files are in one batch as they would be if none of the places were missing,
                because the last bits of a vector may depend on its batch. None for batches without gaps.

        Returns:
            (N, D) float32, in the order of `files`.

        Raises:
            ImageError: If a file cannot be decoded, unless it is left out.
            DataError: If a vector is not finite; the message lists the files.
        """
        vectors = np.empty((len(files), self.width), np.float32)
        camera = self._camera_rows(cameras, len(files), reporter)
        loaded = image_batches(
            files,
            sequential(len(files), self.batch_size) if places is None else at_places(places, self.batch_size),
            self.geometry,
            workers=self.workers,
            left_out=left_out,
            spectra=self.spectra,
        )
        batches = (each if camera is None else each._replace(cameras=camera[each.rows]) for each in loaded)
        with reporter.progress(text, len(files)) as advance:
            for rows, found in self.stream(batches, unit=unit):
                vectors[rows] = found
                if take is not None and np.isfinite(found).all():
                    take(rows, found)
                advance(len(rows))
            missing = [row for row, file in enumerate(files) if file_of(file) in left_out] if left_out else []
            if missing:
                vectors[missing] = 0.0
                advance(len(missing))
        self.check_finite(vectors, files)
        return vectors

    def check_finite(self, vectors: Vectors, files: Sequence[Source]) -> None:
        """Check that all vectors are finite.

        Raises:
            DataError: If some are not; the message lists their first files.
        """
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            names = ", ".join(spelled(file_of(files[row])) for row in broken[:5])
            vectors_are = counted(len(broken), "vector is", "vectors are")
            raise DataError(f"{vectors_are} {self.unusable}, of {names}.", self.remedy)

    def images(self, images: Iterable[Image.Image]) -> Vectors:
        """Embed decoded RGB images: (N, D) float32, unit length.

        For an encoder of several spectra they are visible images; the others are missing.

        Raises:
            ValueError: If the encoder reads several spectra without the visible one.
        """
        size, count = self.geometry, max(1, len(self.spectra))
        own = self.spectra.index(VISIBLE) if count > 1 else 0
        arrays = [resize(image, size.height, size.width, size.interpolation) for image in images]
        parts = (np.stack(arrays[start : start + self.batch_size]) for start in range(0, len(arrays), self.batch_size))
        vectors = [found for _, found in self.stream(_one_spectrum(part, own, count) for part in parts)]
        return np.concatenate(vectors) if vectors else np.empty((0, self.width), np.float32)

    def _camera_rows(self, cameras: Sequence[str] | None, count: int, reporter: Reporter) -> CameraRows | None:
        """Return the row of each image's camera vector and report how many have none; None without camera vectors."""
        if not self.cameras:
            return None
        rows = camera_rows(self.cameras, cameras or [""] * count)
        without = int((rows < 0).sum())
        if without:
            images = counted(without, "image is", "images are")
            reporter.warn(f"{images} not from a camera of the model's training: no camera vector is added.")
        return rows


def _one_spectrum(pixels: Pixels, own: int, count: int) -> PixelBatch:
    """Return images, (B, 3, H, W), as observations of which only one of `count` spectra is there."""
    if count == 1:
        return PixelBatch([], pixels)
    whole = np.zeros((len(pixels), count, *pixels.shape[1:]), np.uint8)
    whole[:, own] = pixels
    missing = np.ones((len(pixels), count), bool)
    missing[:, own] = False
    return PixelBatch([], whole.reshape(len(pixels), -1, *pixels.shape[2:]), missing=missing)


def image_batches(
    files: Sequence[Source],
    batch_rows: Iterable[Sequence[int]],
    geometry: Geometry,
    *,
    workers: int,
    left_out: LeftOut | None = None,
    spectra: tuple[str, ...] = (),
) -> Iterator[PixelBatch]:
    """Load batches of files, or of observations of some spectra, at an encoder's size; see `ImageLoader`."""
    loader = ImageLoader(
        files,
        height=geometry.height,
        width=geometry.width,
        interpolation=geometry.interpolation,
        workers=workers,
        spectra=spectra,
    )
    return loader.batches(batch_rows, left_out=left_out)
