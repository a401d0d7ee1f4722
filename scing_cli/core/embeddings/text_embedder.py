"""Embeds texts with a CLIP's text tower: as unit vectors in the space of its images.

Q texts, T tokens of the longest one, D width of the joint embedding.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scing_cli.core.embeddings import Vectors
from scing_cli.core.encoders.tokenizer import Tokens, tokens_of
from scing_cli.core.errors import DataError, spelled

if TYPE_CHECKING:
    import torch

    from scing_cli.core.encoders.text import TextEncoder

__all__ = ["TextEmbedder", "Tokens", "TorchTextEmbedder", "tokens_of"]

AT_ONCE = 64  # texts per batch
SHOWN = 60  # characters of a text that a message quotes


class TextEmbedder(abc.ABC):
    """Embeds texts.

    Args:
        width: D.
        context_length: Most tokens of a text, with its start and its end; the tower's deep prompts do not count.
    """

    def __init__(self, *, width: int, context_length: int) -> None:
        self.width = width
        self.context_length = context_length

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Returns:
            Shape (Q, D), float32, unit length.

        Raises:
            DataError: If a vector is not finite, or zero.
        """
        vectors = np.empty((len(texts), self.width), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            tokens = tokens_of(texts[start : start + AT_ONCE], self.context_length)
            vectors[start : start + AT_ONCE] = self.features(tokens)
        lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
        wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)).ravel())
        if len(wrong):
            raise DataError(
                f"The model gives no finite vector for {spelled(texts[wrong[0]][:SHOWN])!r}.",
                "Its weights are damaged, or they are not those of a CLIP.",
            )
        unit: Vectors = (vectors / lengths).astype(np.float32)
        return unit

    @abc.abstractmethod
    def features(self, tokens: Tokens) -> Vectors:
        """Return the text tower's output, shape (Q, D), float32, not of unit length."""


class TorchTextEmbedder(TextEmbedder):
    """Embeds with a text tower in torch.

    Args:
        tower: The text tower, in evaluation mode, on `device`.
        device: The tower's device; None for the CPU.
        precision: fp32 or bf16.
    """

    def __init__(self, tower: TextEncoder, *, device: torch.device | None = None, precision: str = "fp32") -> None:
        super().__init__(width=tower.embed_dim, context_length=tower.longest)
        self._tower = tower
        self._device = device
        self._precision = precision

    def features(self, tokens: Tokens) -> Vectors:
        """Return the text tower's output, shape (Q, D), float32, not of unit length."""
        import torch

        from scing_cli.core.runtime import autocast

        device = self._device or torch.device("cpu")
        with torch.inference_mode(), autocast(device, self._precision):
            embedded = self._tower.embed(torch.from_numpy(tokens.ids).to(device))
            found: Vectors = self._tower(embedded, tokens.ends.tolist()).float().cpu().numpy()
        return found
