"""PromptIBind: spectra exchange what their semantic prompts found, through bind tokens (DM5, DM6).

Two attentions of a narrow width. The bind tokens gather from the semantic tokens of all spectra, and each spectrum's
semantic tokens then read the bind tokens::

    Bd  = Bd0 + A1(LN Bd0, LN [S^r; S^n; S^t])
    Ŝ^m = S^m + A2(LN S^m, LN Bd)

Legend: B observations, S spectra, n_s semantic tokens, n_b bind tokens, W width of the tower.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS = 96, 8  # of both attentions (DM3)
DEVIATION = 0.02  # of the initial values of tokens (DM14)


class NarrowAttention(nn.Module):
    """Multi-head attention through a narrow width, with a layer norm before queries and before sources.

    Args:
        width: W, of queries, sources and results.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_queries, self.of_sources = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, width)

    def forward(self, queries: Tensor, sources: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return what the queries read from the sources.

        Args:
            queries: Shape (B, Q, W).
            sources: Shape (B, K, W).
            seen: Shape (B, K), bool: the sources that are read; None for all.

        Returns:
            Shape (B, Q, W).
        """
        normal = self.of_sources(sources)
        query = _heads(self.query(self.of_queries(queries)))
        key, value = _heads(self.key(normal)), _heads(self.value(normal))
        mask = None if seen is None else seen[:, None, None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (B, h, Q, w)
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result


class PromptBind(nn.Module):
    """Bind tokens, and the two attentions through which the spectra exchange.

    What the semantic tokens read back is zero before the training: each spectrum starts with its own (DM14).

    Args:
        width: W.
        tokens: n_b.
    """

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(DEVIATION * torch.randn(tokens, width))
        self.gather, self.read = NarrowAttention(width), NarrowAttention(width)
        nn.init.zeros_(self.read.out.weight)
        nn.init.zeros_(self.read.out.bias)

    def forward(self, semantic: Tensor, present: Tensor | None = None) -> Tensor:
        """Let the spectra exchange.

        Args:
            semantic: S^m, shape (B, S, n_s, W).
            present: Shape (B, S), bool: the spectra that are gathered from; None for all.

        Returns:
            Ŝ^m, shape (B, S, n_s, W); of use for spectra that are present.
        """
        count, spectra, tokens, _ = semantic.shape
        seen = None if present is None else present.repeat_interleave(tokens, dim=1)
        own = self.tokens.to(semantic.dtype).expand(count, -1, -1)
        bound = own + self.gather(own, semantic.flatten(1, 2), seen)  # (B, n_b, W)
        streams = semantic.flatten(0, 1)  # (B * S, n_s, W)
        exchanged: Tensor = streams + self.read(streams, bound.repeat_interleave(spectra, dim=0))
        return exchanged.view_as(semantic)


def _heads(tokens: Tensor) -> Tensor:
    """Split (B, T, `WIDTH`) among the heads: (B, h, T, w)."""
    return tokens.view(*tokens.shape[:2], HEADS, -1).transpose(1, 2)
