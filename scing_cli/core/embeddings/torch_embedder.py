"""Embedding with torch: on any device, in float32 or bf16.

Shapes: B batch, D width of the descriptor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from scing_cli.core.batches import Pixels, normalise
from scing_cli.core.embeddings import Embedder, Places, Vectors
from scing_cli.core.encoders.image import ImageEncoder, descriptor
from scing_cli.core.runtime import autocast, coming_back, to_device

AHEAD = 2  # batches that a device has been given beyond the one that is waited for


class TorchEmbedder(Embedder):
    """An image tower that torch runs.

    Args:
        encoder: On `device`; used in eval mode without a graph.
        kind: As for `Embedder`, and so are the others.
        device: Where the encoder is.
        precision: See there.
        batch_size: See there.
        workers: See there.
    """

    engine = "torch"

    def __init__(
        self, encoder: ImageEncoder, *, kind: str, device: torch.device, precision: str, batch_size: int, workers: int
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
        )
        self.encoder = encoder.eval()
        self.device = device

    def stream(
        self, batches: Iterable[tuple[list[int], Pixels, Places | None]], *, unit: bool = True
    ) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches in order; see `Embedder.stream`. A GPU's results come back beside the next batches' work."""
        waiting: deque[tuple[list[int], Callable[[], Tensor]]] = deque()
        for rows, pixels, places in batches:
            cameras = None if places is None else to_device(places, self.device)
            vectors = self.tensors(torch.from_numpy(pixels), cameras=cameras, unit=unit)
            waiting.append((rows, coming_back(vectors)))
            if len(waiting) > (0 if self.device.type == "cpu" else AHEAD):
                yield _brought(*waiting.popleft())
        while waiting:
            yield _brought(*waiting.popleft())

    @torch.no_grad()
    def tensors(self, pixels: Tensor, *, cameras: Tensor | None = None, unit: bool = True) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W).

        Args:
            pixels: On any device.
            cameras: (B,) places of the cameras' vectors, -1 for none; None for no known camera.
            unit: Whether the vectors are made unit length.

        Returns:
            (B, D) float32 on the device.
        """
        normal = normalise(to_device(pixels, self.device), self.geometry.mean, self.geometry.std)
        with autocast(self.device, self.precision):
            features = self.encoder(normal, cameras)
        return descriptor(features, self.kind, unit=unit)


def _brought(rows: list[int], wait: Callable[[], Tensor]) -> tuple[list[int], Vectors]:
    """Wait for a batch's vectors."""
    brought: Vectors = wait().numpy()
    return rows, brought
