"""The meta-net of CoCoOp: the visual part that is added to every prompt token (Eq. 3-4).

Shapes: B batch, D width of the image feature, d width of a text token, L tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

SHRINKS = 16  # width of the feature / width of the hidden layer, as in CoCoOp's code


class MetaNet(nn.Module):
    """Map an image feature to one vector that is added to each of the L tokens.

    Two linear layers with ReLU between them and torch's default initialisation: 33,312 parameters at ViT-B/16.

    Args:
        feature_width: D.
        token_width: d.
        tokens: L.
    """

    def __init__(self, feature_width: int, token_width: int, *, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        hidden = max(feature_width // SHRINKS, 1)
        self.layers = nn.Sequential(nn.Linear(feature_width, hidden), nn.ReLU(), nn.Linear(hidden, token_width))

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, L, d), the same vector for each token, from V, (B, D), scaled as `--condition` says."""
        added: Tensor = self.layers(features)  # Eq. 3
        return added[:, None, :].expand(-1, self.tokens, -1)
