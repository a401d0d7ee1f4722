"""SVIP: the visual part that is added to the first M prompt tokens (Eq. 8-10, R2).

Shapes: B batch, D width of the image feature, d width of a text token, M fused tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = {"channel": 128, "token": 256}  # units of the hidden layer, by gate


class SelectiveVisualPrompt(nn.Module):
    """Map an image feature V to c * alpha, the visual part of M prompt tokens.

    With the `channel` gate, c and alpha are vectors of width d shared by the M tokens; with the `token` gate, c is
    M x d and alpha one scalar per token. The last layer of c is initialised with zeros (R2), the other layers as torch
    does by default (R18).

    Args:
        feature_width: D.
        token_width: d.
        fused_tokens: M.
        gate: `channel` or `token`.
    """

    def __init__(self, feature_width: int, token_width: int, *, fused_tokens: int, gate: str = "channel") -> None:
        super().__init__()
        self.fused_tokens = fused_tokens
        self.token_width = token_width
        self.per_token = gate == "token"
        width = fused_tokens * token_width if self.per_token else token_width
        last = nn.Linear(HIDDEN[gate], width)
        # training starts from prompts without a visual part (R2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.condition = nn.Sequential(nn.Linear(feature_width, HIDDEN[gate]), nn.ReLU(), last)
        self.gate = nn.Linear(feature_width, fused_tokens if self.per_token else token_width)

    def alpha(self, features: Tensor) -> Tensor:
        """Return the gate's values (Eq. 9) of conditions (B, D): (B, d) for `channel`, (B, M) for `token`."""
        return torch.sigmoid(self.gate(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return c * alpha (Eq. 8-10).

        Args:
            features: V, (B, D), scaled as `--condition` says (R19).

        Returns:
            (B, M, d), added to the first M tokens.
        """
        condition: Tensor = self.condition(features)  # Eq. 8
        alpha = self.alpha(features)
        if self.per_token:
            return condition.view(-1, self.fused_tokens, self.token_width) * alpha[:, :, None]
        return (condition * alpha)[:, None, :].expand(-1, self.fused_tokens, -1)
