"""Embeds images with torch, on any device, in float32 or bf16.

Shapes: B batch, S spectra, 1 for ordinary images, D width of the descriptor.
"""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from scing_cli.core.batches import PixelBatch, normalise
from scing_cli.core.devices import coming_back, to_device
from scing_cli.core.embeddings import Embedder, Missing, Vectors
from scing_cli.core.encoders.image import descriptor
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.runtime import autocast

AHEAD = 2  # batches queued on a device in addition to the one whose result is awaited


class TorchEmbedder(Embedder):
    """Embeds with an image tower in torch.

    Args:
        encoder: The image tower, on `device`; it is set to evaluation mode.
        kind: As for `Embedder`.
        device: The encoder's device.
        precision: As for `Embedder`.
        batch_size: As for `Embedder`.
        workers: As for `Embedder`.
        others: Further devices, which get a copy of the encoder and every n-th batch, once there are several batches.
    """

    engine = "torch"

    def __init__(
        self,
        encoder: AnyImageEncoder,
        *,
        kind: str,
        device: torch.device,
        precision: str,
        batch_size: int,
        workers: int,
        others: Sequence[torch.device] = (),
    ) -> None:
        super().__init__(
            geometry=encoder.geometry,
            cameras=encoder.cameras,
            embed_dim=encoder.embed_dim,
            tower_width=encoder.width,
            kind=kind,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
            class_dim=encoder.class_dim,
        )
        self.encoder = encoder.eval()
        self.spectra = encoder.spectra
        self.device = device
        self.others = tuple(others)

    def stream(self, batches: Iterable[PixelBatch], *, unit: bool = True) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches as `Embedder.stream` describes."""
        # A GPU's results are copied back while it works on the next batches.
        waiting: deque[tuple[list[int], Callable[[], Tensor]]] = deque()
        towers, without = [(self.encoder, self.device)], list(self.others)
        for number, (rows, pixels, camera, missing) in enumerate(batches):
            if without and number == len(towers):  # copies of this moment's weights, once there are several batches
                device = without.pop(0)
                with contextlib.suppress(torch.OutOfMemoryError):  # another program uses it
                    towers.append((copy.deepcopy(self.encoder).to(device).eval(), device))
            tower, device = towers[number % len(towers)]
            cameras = None if camera is None else to_device(camera, device)
            values = torch.from_numpy(pixels)
            if tower is self.encoder:
                vectors = self.tensors(values, cameras=cameras, missing=missing, unit=unit)
            else:
                vectors = self._vectors(tower, device, values, cameras, missing, unit=unit)
            waiting.append((rows, coming_back(vectors)))
            if len(waiting) > (0 if self.device.type == "cpu" else AHEAD * len(towers)):
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())

    def tensors(
        self, pixels: Tensor, *, cameras: Tensor | None = None, missing: Missing | None = None, unit: bool = True
    ) -> Tensor:
        """Embed a batch of pixels.

        Args:
            pixels: Shape (B, 3 S, H, W), uint8, on any device.
            cameras: Shape (B,): rows of the camera vectors, -1 for none; None if no camera is known.
            missing: Shape (B, S): the spectra that an observation lacks; None if it lacks none.
            unit: Whether the vectors are normalized to unit length.

        Returns:
            (B, D) float32 on the device.
        """
        return self._vectors(self.encoder, self.device, pixels, cameras, missing, unit=unit)

    @torch.no_grad()
    def _vectors(
        self,
        tower: AnyImageEncoder,
        device: torch.device,
        pixels: Tensor,
        cameras: Tensor | None,
        missing: Missing | None,
        *,
        unit: bool,
    ) -> Tensor:
        normal = normalise(to_device(pixels, device), self.geometry.mean, self.geometry.std, missing)
        with autocast(device, self.precision):
            features = tower(normal, cameras)
        return descriptor(features, self.kind, unit=unit)


def _finished(rows: list[int], wait: Callable[[], Tensor]) -> tuple[list[int], Vectors]:
    """Wait for a batch's vectors."""
    vectors: Vectors = wait().numpy()
    return rows, vectors
