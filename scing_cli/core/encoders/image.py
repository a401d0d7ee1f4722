"""CLIP's image tower at any size and stride.

Legend: B batch, H x W' pixels, h x w patches, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn
from torch.nn import functional

from scing_cli.core.encoders.attention import RunBlock, layer_norm
from scing_cli.core.encoders.camera_embedding import camera_rows
from scing_cli.core.encoders.descriptors import check_descriptor
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.last_block import LastBlock, dense_block, last_block, read_blocks
from scing_cli.core.runtime import draw_seed


class ImageFeatures(NamedTuple):
    """What the image tower says of a batch.

    Args:
        cls: Shape (B, W): the class token after the last layer norm.
        projected: Shape (B, D): the same, projected into the joint space (Eq. 7); not of unit length.
        previous: Shape (B, W): the class token before the last block.
    """

    cls: Tensor
    projected: Tensor
    previous: Tensor


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
        cameras: Those it has a vector for (R15): see `learn_cameras`.
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
        cameras: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.width = width
        self.embed_dim = embed_dim
        self.cameras: tuple[str, ...] = ()
        self.config: dict[str, Any] = {
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
        self.transformer = build_transformer(
            width=width,
            layers=layers,
            heads=heads,
            mlp_ratio=mlp_ratio,
            quick_gelu=quick_gelu,
        )
        self.ln_post: nn.LayerNorm = LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, embed_dim))
        if cameras:
            self._name_cameras(cameras)

    def learn_cameras(self, names: Sequence[str], seed: int) -> None:
        """Give the tower a vector for each camera (SIE, R15), drawn from N(0, 0.02) as CLIP-ReID draws them.

        It is added to the class token's embedding, with coefficient 1, as in CLIP-ReID's code.

        Args:
            names: The cameras of training, without repetition.
            seed: Of the draw.
        """
        self._name_cameras(names)
        draw = torch.Generator().manual_seed(draw_seed(seed, "weights", "cameras"))
        vectors = 0.02 * torch.randn(len(names), self.width, generator=draw)
        self.camera_embedding = nn.Parameter(vectors.to(self.class_embedding.device))

    def _name_cameras(self, names: Sequence[str]) -> None:
        self.cameras = tuple(names)
        self.config["cameras"] = list(names)
        self.camera_embedding = nn.Parameter(torch.empty(len(names), self.width))

    def camera_rows(self, names: Sequence[str]) -> Tensor:
        """Return the place of each camera's vector, (B,) int64; -1 for a camera without one."""
        return torch.from_numpy(camera_rows(self.cameras, names)).to(self.class_embedding.device)

    def tokens(self, pixels: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Cut normalised pixels into patches, embed them and add the class token and the positions.

        Args:
            pixels: Shape (B, 3, H, W'), of the geometry's size and statistics.
            cameras: Shape (B,), from `camera_rows`; None for an image of no known camera.

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
        if cameras is not None and self.cameras:
            vectors = self.camera_embedding.index_select(0, cameras.clamp_min(0)) * (cameras >= 0)[:, None]  # (B, W)
            first = first + vectors.to(patches.dtype)[:, None]
        return torch.cat((first, patches), dim=1) + self.positional_embedding.to(patches.dtype)

    def forward(self, pixels: Tensor, cameras: Tensor | None = None, *, run: RunBlock | None = None) -> ImageFeatures:
        """Encode normalised pixels of shape (B, 3, H, W') as `ImageFeatures`.

        Args:
            pixels: As for `tokens`.
            cameras: As for `tokens`.
            run: How the blocks before the last are run; None for `run_block`.
        """
        return self._features(pixels, cameras, last_block, run)

    def dense(self, pixels: Tensor, cameras: Tensor | None = None) -> ImageFeatures:
        """Encode as `forward` does, computing the last block at every place although only the class token is read.

        The slow way with the same result up to rounding: counts of operations and tests are of it.
        """
        return self._features(pixels, cameras, dense_block)

    def _features(
        self, pixels: Tensor, cameras: Tensor | None, last: LastBlock, run: RunBlock | None = None
    ) -> ImageFeatures:
        tokens = layer_norm(self.ln_pre, self.tokens(pixels, cameras))  # (B, 1 + h * w, W)
        read = read_blocks(self.transformer.resblocks, tokens, 0, last, causal=False, run=run)
        cls = self.ln_post(read.final)
        return ImageFeatures(cls=cls, projected=cls @ self.proj, previous=read.previous)


def build_transformer(*, width: int, layers: int, heads: int, mlp_ratio: float, quick_gelu: bool) -> Transformer:
    """Return open_clip's stack of residual attention blocks, batch first."""
    return Transformer(
        width=width,
        layers=layers,
        heads=heads,
        mlp_ratio=mlp_ratio,
        act_layer=QuickGELU if quick_gelu else nn.GELU,
        norm_layer=LayerNorm,
    )


def descriptor(features: ImageFeatures, kind: str = "projected", *, unit: bool = True) -> Tensor:
    """Turn features into descriptors that are compared by cosine (Eq. 21, R10).

    Args:
        features: Of one batch.
        kind: `projected`, or `concat` for class token and projection side by side; the length is taken after joining.
        unit: Whether they are made unit length.

    Returns:
        Shape (B, D), or (B, W + D) for `concat`; float32.

    Raises:
        SettingError: If the kind is unknown.
    """
    joined = features.projected.float()
    if check_descriptor(kind) == "concat":
        joined = torch.cat((features.cls.float(), joined), dim=1)
    return functional.normalize(joined, dim=1) if unit else joined
