"""CLIP's text tower, computed only up to the end token.

Legend: B batch, T tokens of a text, d width of a token, D width of the joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from open_clip.transformer import LayerNorm
from torch import Tensor, nn

from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.deep_prompts import PromptedTower
from scing_cli.core.encoders.image import build_transformer
from scing_cli.core.encoders.last_block import LastBlock, dense_block, last_block, read_blocks
from scing_cli.core.errors import SettingError


class TextEncoder(PromptedTower):
    """A causal transformer whose end token is projected into the joint space (Eq. 11).

    Attention is causal, so tokens after the end token cannot change its feature and are not computed. The result equals
    open_clip's `encode_text`. The weights are not initialized; `clip.load_clip` fills them.

    Deep prompts (`deep_prompts`) stand between the start token and the words, since no token sees a later one. Words
    and end token move n places on, also in the table of position embeddings, whose rows 1..n are not used. So a text
    has at most `longest` = context length - n tokens, with its start and its end. Callers give tokens and ends as for a
    tower without prompts.

    Args:
        width: d.
        layers: Number of residual attention blocks.
        heads: Number of attention heads per block; it must divide d.
        embed_dim: D.
        context_length: Maximum number of tokens of a text.
        vocab_size: Number of tokens in the vocabulary.
        mlp_ratio: Hidden width of the blocks' MLPs, as a multiple of d.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x).
        prompt_tokens: Deep prompts per block, 0 for none; `learn_prompts` adds such prompts.
        prompt_depth: Number of blocks that have prompts of their own, 0 for none.
    """

    kind = "text"

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
        prompt_tokens: int = 0,
        prompt_depth: int = 0,
    ) -> None:
        super().__init__()
        self.config = {"layers": layers, "heads": heads, "quick_gelu": quick_gelu}
        self.width = width
        self.embed_dim = embed_dim
        self.context_length = context_length
        self.mlp_ratio = mlp_ratio
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
        if prompt_tokens or prompt_depth:
            self._reserve_prompts(prompt_tokens, prompt_depth)

    @property
    def longest(self) -> int:
        """Most tokens of a text, with its start and its end: the context length less the prompts."""
        return self.context_length - self.prompt_tokens

    @property
    def sizes(self) -> dict[str, Any]:
        """All arguments that build a tower of the same sizes, as JSON-ready values."""
        return {
            "width": self.width,
            "embed_dim": self.embed_dim,
            "context_length": self.context_length,
            "vocab_size": self.token_embedding.num_embeddings,
            "mlp_ratio": self.mlp_ratio,
            **self.config,
        }

    def most_prompts(self) -> int:
        """Return the largest number of prompts per block: it leaves room for start token, one word and end token."""
        return self.context_length - 3

    def embed(self, ids: Tensor) -> Tensor:
        """Return the token embeddings of ids of shape (B, T): (B, T, d), without position embeddings."""
        found: Tensor = self.token_embedding(ids)
        return found

    def forward(self, embeddings: Tensor, end: int | Sequence[int], *, run: RunBlock | None = None) -> Tensor:
        """Encode texts up to their end tokens.

        Args:
            embeddings: Shape (B, T, d), without position embeddings and prompts; tokens after a text's `end` have no
                effect.
            end: Position of the end token among them, counted from 0: one for all texts, or one per text.
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
        tokens = embeddings[:, :length] + self._positions(length).to(embeddings.dtype)
        added = self.prompt_tokens
        positions = ends[0] + added if len(set(ends)) == 1 else torch.tensor(ends, device=tokens.device) + added
        read = read_blocks(
            self.transformer.resblocks, tokens, positions, last, causal=True, run=run, prompts=self.prompts
        )
        normal: Tensor = self.ln_final(read.final)  # (B, d)
        return normal @ self.text_projection

    def _positions(self, length: int) -> Tensor:
        """Return the position embeddings of a start token and the tokens after the prompts: (length, d)."""
        if not (added := self.prompt_tokens):
            return self.positional_embedding[:length]
        return torch.cat((self.positional_embedding[:1], self.positional_embedding[1 + added : added + length]))

    def _checked(self, embeddings: Tensor, end: int | Sequence[int]) -> list[int]:
        """Return the position of the end token, of all texts or of each, after checking it."""
        ends = [end] if isinstance(end, int) else list(end)
        if not isinstance(end, int) and len(ends) != len(embeddings):
            raise ValueError(f"{len(ends)} ends for embeddings of shape {tuple(embeddings.shape)}")
        first, last = min(ends), max(ends)
        if last >= self.longest:
            raise SettingError(
                f"A text of {last + 1} tokens is too long: the text tower takes at most {self.longest}.",
                "Use fewer --tokens.",
            )
        if not 0 <= first <= last < embeddings.shape[1]:
            wrong = first if first < 0 else last
            raise ValueError(f"end {wrong} lies outside embeddings of shape {tuple(embeddings.shape)}")
        return ends
