"""Image files -> unit-length vectors, in the order they were given.

Shapes: N files, B batch, D width of the descriptor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from scing_cli.core.batches import ImageLoader, normalise, resize_to_tensor, sequential
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder, descriptor
from scing_cli.core.errors import DataError, counted
from scing_cli.core.runtime import Reporter, autocast

Vectors = npt.NDArray[np.float32]


class Embedder:
    """An image encoder with all that turns a picture into a descriptor (Eq. 21, R10).

    Args:
        encoder: On `device`; used in eval mode without a graph.
        kind: `projected` (D) or `concat` ([CLS] after ln_post and projected).
        device: Where the encoder is.
        precision: Of the tower (R17).
        batch_size: Images encoded at a time.
        workers: Threads that decode.
    """

    def __init__(
        self, encoder: ImageEncoder, *, kind: str, device: torch.device, precision: str, batch_size: int, workers: int
    ) -> None:
        self.encoder = encoder.eval()
        self.kind = kind
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.workers = workers

    @property
    def width(self) -> int:
        """Numbers in one descriptor."""
        return self.encoder.embed_dim + (self.encoder.width if self.kind == "concat" else 0)

    def files(
        self,
        files: Sequence[Path],
        *,
        cameras: Sequence[str] | None = None,
        unit: bool = True,
        reporter: Reporter,
        text: str,
    ) -> Vectors:
        """Embed image files.

        Args:
            files: N paths.
            cameras: N names, for an encoder that knows cameras (R15); None where they are not those of its training.
            unit: Whether the vectors are made unit length.
            reporter: Shows progress under the name `text`; told how many images go without a camera vector.
            text: What is being embedded.

        Returns:
            (N, D) float32, in the order of `files`.

        Raises:
            ImageError: If a file cannot be decoded.
            DataError: If a vector is not finite; the message names the files.
        """
        vectors = np.empty((len(files), self.width), np.float32)
        places = self._camera_places(cameras, len(files), reporter)
        with reporter.progress(text, len(files)) as advance:
            for rows, pixels in image_batches(
                files, sequential(len(files), self.batch_size), self.encoder.geometry, workers=self.workers
            ):
                own = None if places is None else places[rows]
                vectors[rows] = self.pixels(pixels, cameras=own, unit=unit).cpu().numpy()
                advance(len(rows))
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            names = ", ".join(str(files[row]) for row in broken[:5])
            raise DataError(
                f"{len(broken)} vectors are not finite, of {names}.", "Use --precision fp32, or train anew."
            )
        return vectors

    def images(self, images: Iterable[Image.Image]) -> Vectors:
        """Embed decoded RGB images: (N, D) float32, unit length."""
        geometry = self.encoder.geometry
        tensors = [resize_to_tensor(image, geometry.height, geometry.width, geometry.interpolation) for image in images]
        parts = [self.pixels(torch.stack(list(part))).cpu().numpy() for part in _chunks(tensors, self.batch_size)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def _camera_places(self, cameras: Sequence[str] | None, count: int, reporter: Reporter) -> Tensor | None:
        """Return each image's camera for the encoder, and say how many go without one; None where it knows none."""
        if not self.encoder.cameras:
            return None
        places = self.encoder.camera_places(cameras or [""] * count)
        without = int((places < 0).sum())
        if without:
            images = counted(without, "image is", "images are")
            reporter.warn(f"{images} of no camera that the model was trained with: no camera vector is added.")
        return places

    @torch.no_grad()
    def pixels(self, pixels: Tensor, *, cameras: Tensor | None = None, unit: bool = True) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W).

        Args:
            pixels: On any device.
            cameras: (B,) from the encoder's `camera_places`; None for no known camera.
            unit: Whether the vectors are made unit length.

        Returns:
            (B, D) float32 on the device.
        """
        geometry = self.encoder.geometry
        normal = normalise(pixels.to(self.device), geometry.mean, geometry.std)
        with autocast(self.device, self.precision):
            features = self.encoder(normal, cameras)
        return descriptor(features, self.kind, unit=unit)


def image_batches(
    files: Sequence[Path], plan: Iterable[Sequence[int]], geometry: Geometry, *, workers: int
) -> Iterable[tuple[list[int], Tensor]]:
    """Return the loader's batches at an encoder's size: rows and uint8 pixels (B, 3, H, W)."""
    loader = ImageLoader(
        files, height=geometry.height, width=geometry.width, interpolation=geometry.interpolation, workers=workers
    )
    return loader.batches(plan)


def _chunks(items: Sequence[Tensor], size: int) -> Iterable[Sequence[Tensor]]:
    return (items[start : start + size] for start in range(0, len(items), size))
