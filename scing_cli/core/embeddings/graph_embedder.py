"""Embeds images with an encoder that is a graph file (ONNX or OpenVINO IR): on the CPU, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from scing_cli.core.batches import PixelBatch
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.encoders.graph_files.graph_encoder import AT_ONCE, GraphEncoder, unit_length


class GraphEmbedder(Embedder):
    """Embeds with a graph.

    Args:
        encoder: The graph.
        batch_size: As for `Embedder`; at most `AT_ONCE`.
        workers: As for `Embedder`.
    """

    unusable = "zero or not finite"

    def __init__(self, encoder: GraphEncoder, *, batch_size: int, workers: int) -> None:
        super().__init__(
            geometry=encoder.file.preparation.geometry,
            cameras=(),
            embed_dim=encoder.width,
            tower_width=0,
            kind="projected",
            precision=encoder.precision,
            batch_size=min(batch_size, AT_ONCE),
            workers=workers,
        )
        self.engine = encoder.engine
        self.encoder = encoder
        lossy = "" if encoder.precision == "fp32" else "Use --precision fp32. Or: "
        self.remedy = (
            f"{lossy}{encoder.file.path.name} cannot describe such images: leave them out, or use another encoder."
        )

    def stream(self, batches: Iterable[PixelBatch], *, unit: bool = True) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches as `Embedder.stream` describes; a vector of zeros has no direction, so it becomes NaN."""
        for rows, vectors in self.encoder.stream((batch.rows, batch.pixels) for batch in batches):
            if unit:
                zero = ~vectors.any(axis=1, keepdims=True)
                yield rows, np.where(zero, np.float32(np.nan), unit_length(vectors))
            else:
                yield rows, vectors
