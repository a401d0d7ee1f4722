"""CLIP's text tower, run only as far as the end token.

Legend: B batch, T places of a text, d width of a token, D width of the joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip.transformer import LayerNorm
from torch import Tensor, nn

from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.image import build_transformer
from scing_cli.core.encoders.last_block import LastBlock, dense_block, last_block, read_blocks
from scing_cli.core.errors import SettingError


class TextEncoder(nn.Module):
    """A causal transformer whose end token is projected into the joint space (Eq. 11).

    No place looks at a later one, so the places after the end token cannot change its feature: they are not computed.
    The result is open_clip's `encode_text` over all places. Weights are unset until they are loaded: see
    `clip.load_clip`.

    Args:
        width: d.
        layers: Residual attention blocks.
        heads: Attention heads of each; they divide d.
        embed_dim: D.
        context_length: Most places a text may have.
        vocab_size: Tokens in the word table.
        mlp_ratio: Hidden width of the blocks' MLPs over d.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x).
    """

    def __init__(
        self,
        *,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int,
        context_length: int = 77,
        vocab_size: int = 49408,
        mlp_ratio: float = 4.0,
        quick_gelu: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed_dim = embed_dim
        self.context_length = context_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, width))
        self.transformer = build_transformer(
            width=width,
            layers=layers,
            heads=heads,
            mlp_ratio=mlp_ratio,
            quick_gelu=quick_gelu,
        )
        self.ln_final: nn.LayerNorm = LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, embed_dim))

    def embed(self, ids: Tensor) -> Tensor:
        """Look token ids of shape (B, T) up in the word table: (B, T, d), without positions."""
        found: Tensor = self.token_embedding(ids)
        return found

    def forward(self, embeddings: Tensor, end: int | Sequence[int], *, run: RunBlock | None = None) -> Tensor:
        """Encode texts up to their end tokens.

        Args:
            embeddings: Shape (B, T, d), without positions; places after a text's `end` do not change its feature.
            end: Place of the end token, counted from 0: one for all texts, or one per text.
            run: How the blocks before the last are run; None for `run_block`.

        Returns:
            Shape (B, D), not of unit length.

        Raises:
            SettingError: If a text is longer than the tower's context.
            ValueError: If an `end` lies outside the embeddings, or there is not one per text.
        """
        return self._features(embeddings, end, last_block, run)

    def dense(self, embeddings: Tensor, end: int | Sequence[int]) -> Tensor:
        """Encode as `forward` does, computing the last block at every place: the slow way with the same result."""
        return self._features(embeddings, end, dense_block)

    def _features(
        self, embeddings: Tensor, end: int | Sequence[int], last: LastBlock, run: RunBlock | None = None
    ) -> Tensor:
        ends = self._checked(embeddings, end)
        length = max(ends) + 1
        tokens = embeddings[:, :length] + self.positional_embedding[:length].to(embeddings.dtype)
        places = ends[0] if len(set(ends)) == 1 else torch.tensor(ends, device=tokens.device)
        read = read_blocks(self.transformer.resblocks, tokens, places, last, causal=True, run=run)
        normal: Tensor = self.ln_final(read.final)  # (B, d)
        return normal @ self.text_projection

    def _checked(self, embeddings: Tensor, end: int | Sequence[int]) -> list[int]:
        """Return the end place of all texts, or of each, after a check that they fit."""
        ends = [end] if isinstance(end, int) else list(end)
        if not isinstance(end, int) and len(ends) != len(embeddings):
            raise ValueError(f"{len(ends)} ends for embeddings of shape {tuple(embeddings.shape)}")
        first, last = min(ends), max(ends)
        if last >= self.context_length:
            raise SettingError(
                f"A text of {last + 1} places does not fit the text tower's {self.context_length}.",
                "Use fewer --tokens.",
            )
        if not 0 <= first <= last < embeddings.shape[1]:
            wrong = first if first < 0 else last
            raise ValueError(f"end {wrong} lies outside embeddings of shape {tuple(embeddings.shape)}")
        return ends
