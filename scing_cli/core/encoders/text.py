"""CLIP's text tower, computed only up to the end token.

Legend: B batch, T tokens of a text, d width of a token, D width of the joint embedding.
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

    Attention is causal, so tokens after the end token cannot change its feature and are not computed. The result equals
    open_clip's `encode_text`. The weights are not initialized; `clip.load_clip` fills them.

    Args:
        width: d.
        layers: Number of residual attention blocks.
        heads: Number of attention heads per block; it must divide d.
        embed_dim: D.
        context_length: Maximum number of tokens of a text.
        vocab_size: Number of tokens in the vocabulary.
        mlp_ratio: Hidden width of the blocks' MLPs, as a multiple of d.
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
        self.config = {"layers": layers, "heads": heads, "quick_gelu": quick_gelu}
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
        """Return the token embeddings of ids of shape (B, T): (B, T, d), without position embeddings."""
        found: Tensor = self.token_embedding(ids)
        return found

    def forward(self, embeddings: Tensor, end: int | Sequence[int], *, run: RunBlock | None = None) -> Tensor:
        """Encode texts up to their end tokens.

        Args:
            embeddings: Shape (B, T, d), without position embeddings; tokens after a text's `end` have no effect.
            end: Position of the end token, counted from 0: one for all texts, or one per text.
            run: Runs the blocks before the last one; None for `run_block`.

        Returns:
            Shape (B, D), not of unit length.

        Raises:
            SettingError: If a text is longer than the tower's context.
            ValueError: If an `end` lies outside the embeddings, or the number of ends is not the number of texts.
        """
        return self._features(embeddings, end, last_block, run)

    def dense(self, embeddings: Tensor, end: int | Sequence[int]) -> Tensor:
        """Encode as `forward` does, but compute the last block for every token; slower, with the same result."""
        return self._features(embeddings, end, dense_block)

    def _features(
        self, embeddings: Tensor, end: int | Sequence[int], last: LastBlock, run: RunBlock | None = None
    ) -> Tensor:
        ends = self._checked(embeddings, end)
        length = max(ends) + 1
        tokens = embeddings[:, :length] + self.positional_embedding[:length].to(embeddings.dtype)
        positions = ends[0] if len(set(ends)) == 1 else torch.tensor(ends, device=tokens.device)
        read = read_blocks(self.transformer.resblocks, tokens, positions, last, causal=True, run=run)
        normal: Tensor = self.ln_final(read.final)  # (B, d)
        return normal @ self.text_projection

    def _checked(self, embeddings: Tensor, end: int | Sequence[int]) -> list[int]:
        """Return the position of the end token, of all texts or of each, after checking it."""
        ends = [end] if isinstance(end, int) else list(end)
        if not isinstance(end, int) and len(ends) != len(embeddings):
            raise ValueError(f"{len(ends)} ends for embeddings of shape {tuple(embeddings.shape)}")
        first, last = min(ends), max(ends)
        if last >= self.context_length:
            raise SettingError(
                f"A text of {last + 1} tokens is too long: the text tower takes at most {self.context_length}.",
                "Use fewer --tokens.",
            )
        if not 0 <= first <= last < embeddings.shape[1]:
            wrong = first if first < 0 else last
            raise ValueError(f"end {wrong} lies outside embeddings of shape {tuple(embeddings.shape)}")
        return ends
