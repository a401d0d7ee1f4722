"""CLIP's image tower at any size and stride.

Legend: B batch, H x W' pixels, h x w patches, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn
from torch.nn import functional

from scing_cli.core.encoders.attention import attention_kernel
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import SettingError

DESCRIPTORS = ("projected", "concat")


class ImageFeatures(NamedTuple):
    """What the image tower says of a batch.

    Args:
        cls: Shape (B, W): the class token after the last layer norm.
        projected: Shape (B, D): the same, projected into the joint space (Eq. 7); not of unit length.
    """

    cls: Tensor
    projected: Tensor


class ImageEncoder(nn.Module):
    """A vision transformer whose class token is projected into the joint space (Eq. 7).

    The patches may overlap (R15) and the image need not be square; at stride = patch and the size that CLIP was trained
    with, the result is open_clip's `encode_image`. Weights are unset until they are loaded: see `clip.load_clip`.

    Args:
        geometry: Size and patches; kept as `geometry`.
        width: W.
        layers: Residual attention blocks.
        heads: Attention heads of each; they divide W.
        embed_dim: D.
        mlp_ratio: Hidden width of the blocks' MLPs over W.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x), as OpenAI's weights need.
    """

    def __init__(
        self,
        *,
        geometry: Geometry,
        width: int,
        layers: int,
        heads: int,
        embed_dim: int,
        mlp_ratio: float = 4.0,
        quick_gelu: bool = False,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.width = width
        self.embed_dim = embed_dim
        self.config: dict[str, bool | int | float] = {
            "width": width,
            "layers": layers,
            "heads": heads,
            "embed_dim": embed_dim,
            "mlp_ratio": mlp_ratio,
            "quick_gelu": quick_gelu,
        }
        rows, columns = geometry.grid
        self.conv1 = nn.Conv2d(3, width, geometry.patch, geometry.stride, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + rows * columns, width))
        self.ln_pre: nn.LayerNorm = LayerNorm(width)
        self.transformer: nn.Module = build_transformer(
            width=width,
            layers=layers,
            heads=heads,
            mlp_ratio=mlp_ratio,
            quick_gelu=quick_gelu,
        )
        self.ln_post: nn.LayerNorm = LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, embed_dim))

    def tokens(self, pixels: Tensor) -> Tensor:
        """Cut normalised pixels into patches, embed them and add the class token and the positions.

        Args:
            pixels: Shape (B, 3, H, W'), of the geometry's size and statistics.

        Returns:
            Shape (B, 1 + h * w, W), before the first layer norm.

        Raises:
            ValueError: If the pixels have another size than the geometry's.
        """
        expected = (3, self.geometry.height, self.geometry.width)
        if tuple(pixels.shape[1:]) != expected:
            raise ValueError(f"pixels of shape {tuple(pixels.shape)}; this encoder takes (B, {expected})")
        patches: Tensor = self.conv1(pixels).flatten(2).transpose(1, 2)  # (B, h * w, W)
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        return torch.cat((first, patches), dim=1) + self.positional_embedding.to(patches.dtype)

    def forward(self, pixels: Tensor) -> ImageFeatures:
        """Encode normalised pixels of shape (B, 3, H, W'): see `ImageFeatures`."""
        tokens = self.ln_pre(self.tokens(pixels))  # (B, 1 + h * w, W)
        with attention_kernel(tokens):
            tokens = self.transformer(tokens)
        cls = self.ln_post(tokens[:, 0])
        return ImageFeatures(cls=cls, projected=cls @ self.proj)


def build_transformer(*, width: int, layers: int, heads: int, mlp_ratio: float, quick_gelu: bool) -> nn.Module:
    """Return open_clip's stack of residual attention blocks, batch first."""
    stack: nn.Module = Transformer(
        width=width,
        layers=layers,
        heads=heads,
        mlp_ratio=mlp_ratio,
        act_layer=QuickGELU if quick_gelu else nn.GELU,
        norm_layer=LayerNorm,
    )
    return stack


def descriptor(features: ImageFeatures, kind: str = "projected") -> Tensor:
    """Turn features into descriptors that are compared by cosine (Eq. 21, R10).

    Args:
        features: Of one batch.
        kind: `projected`, or `concat` for class token and projection side by side; the length is taken after joining.

    Returns:
        Shape (B, D), or (B, W + D) for `concat`; float32, unit length.

    Raises:
        SettingError: If the kind is unknown.
    """
    if kind not in DESCRIPTORS:
        raise SettingError(f"--descriptor {kind!r} is unknown.", f"Known: {', '.join(DESCRIPTORS)}.")
    joined = features.projected.float()
    if kind == "concat":
        joined = torch.cat((features.cls.float(), joined), dim=1)
    return functional.normalize(joined, dim=1)
