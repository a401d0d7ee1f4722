"""Embedding with torch: on any device, in float32 or bf16.

Shapes: B batch, D width of the descriptor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from scing_cli.core.batches import Pixels, normalise
from scing_cli.core.embeddings import Embedder, Places, Vectors
from scing_cli.core.encoders.image import ImageEncoder, descriptor
from scing_cli.core.runtime import autocast


class TowerEmbedder(Embedder):
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
        """Embed batches, one at a time; see `Embedder.stream`."""
        for rows, pixels, places in batches:
            cameras = None if places is None else torch.from_numpy(places).to(self.device)
            vectors: Vectors = self.tensors(torch.from_numpy(pixels), cameras=cameras, unit=unit).cpu().numpy()
            yield rows, vectors

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
        normal = normalise(pixels.to(self.device), self.geometry.mean, self.geometry.std)
        with autocast(self.device, self.precision):
            features = self.encoder(normal, cameras)
        return descriptor(features, self.kind, unit=unit)
