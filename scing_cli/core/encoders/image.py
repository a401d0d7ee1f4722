"""CLIP's image tower, for any image size and stride.

Legend: B batch, H x W' pixels, h x w patches, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn
from torch.nn import functional

from scing_cli.core.encoders.attention import RunBlock, layer_norm
from scing_cli.core.encoders.camera_embedding import camera_rows
from scing_cli.core.encoders.deep_prompts import PromptedTower
from scing_cli.core.encoders.geometry import CLASS, Geometry, check_descriptor
from scing_cli.core.encoders.last_block import LastBlock, dense_block, last_block, read_blocks
from scing_cli.core.runtime import draw_seed


class ImageFeatures(NamedTuple):
    """The image tower's output for a batch.

    Args:
        cls: Shape (B, W): the class token after the last layer norm.
        projected: Shape (B, D): `cls` projected into the joint space (Eq. 7); not of unit length.
        previous: Shape (B, W): the class token before the last block.
    """

    cls: Tensor
    projected: Tensor
    previous: Tensor


class ImageEncoder(PromptedTower):
    """A vision transformer whose class token is projected into the joint space (Eq. 7).

    Patches may overlap (R15) and the image need not be square. With stride = patch and CLIP's own image size, the
    result equals open_clip's `encode_image`. The weights are not initialized; `clip.load_clip` fills them. Deep prompts
    stand between the class token and the patches (`deep_prompts`).

    Args:
        geometry: Image size, patches and pixel statistics.
        width: W.
        layers: Number of residual attention blocks.
        heads: Number of attention heads per block; it must divide W.
        embed_dim: D.
        mlp_ratio: Hidden width of the blocks' MLPs, as a multiple of W.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x), as OpenAI's weights need.
        cameras: Names of the cameras that have a vector (R15); `learn_cameras` adds such vectors.
        prompt_tokens: Deep prompts per block, 0 for none; `learn_prompts` adds such prompts.
        prompt_depth: Number of blocks that have prompts of their own, 0 for none.
    """

    kind = "image"
    class_dim = 0  # of `BoundPromptEncoder`
    spectra: tuple[str, ...] = ()  # of `SpectralEncoder`; an ordinary tower reads one image

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
        prompt_tokens: int = 0,
        prompt_depth: int = 0,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.width = width
        self.embed_dim = embed_dim
        self.cameras: tuple[str, ...] = ()
        self.config = {
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
        if prompt_tokens or prompt_depth:
            self._reserve_prompts(prompt_tokens, prompt_depth)

    def learn_cameras(self, names: Sequence[str], seed: int) -> None:
        """Add a trainable vector for each camera (SIE, R15), with initial values from N(0, 0.02) as in CLIP-ReID.

        A camera's vector is added to the class token's embedding with coefficient 1, as in CLIP-ReID's code.

        Args:
            names: The cameras of training, without duplicates.
            seed: Seed of the initial values.
        """
        self._name_cameras(names)
        draw = torch.Generator().manual_seed(draw_seed(seed, "weights", "cameras"))
        vectors = 0.02 * torch.randn(len(names), self.width, generator=draw)
        self.camera_embedding = nn.Parameter(vectors.to(self.class_embedding.device))

    def set_cameras(self, names: Sequence[str], vectors: Tensor) -> None:
        """Use given vectors of cameras.

        Args:
            names: N cameras, without duplicates.
            vectors: Shape (N, W), to be added with coefficient 1.
        """
        self._name_cameras(names)
        self.camera_embedding = nn.Parameter(vectors.to(self.class_embedding.device))

    def _name_cameras(self, names: Sequence[str]) -> None:
        self.cameras = tuple(names)
        self.config["cameras"] = list(names)
        self.camera_embedding = nn.Parameter(torch.empty(len(names), self.width))

    def most_prompts(self) -> int:
        """Return the largest number of prompts per block: as many as an image has patches."""
        return len(self.positional_embedding) - 1

    def camera_rows(self, names: Sequence[str]) -> Tensor:
        """Return the row of each camera's vector, (B,) int64; -1 for a camera without a vector."""
        return torch.from_numpy(camera_rows(self.cameras, names)).to(self.class_embedding.device)

    def tokens(self, pixels: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Embed the patches of normalised pixels, and add the class token and the position embeddings.

        Args:
            pixels: Shape (B, 3, H, W'), with the geometry's size and statistics.
            cameras: Shape (B,), from `camera_rows`; None if no image has a known camera.

        Returns:
            Shape (B, 1 + h * w, W), before the first layer norm.

        Raises:
            ValueError: If the size of the pixels is not the geometry's.
        """
        expected = (3, self.geometry.height, self.geometry.width)
        if tuple(pixels.shape[1:]) != expected:
            raise ValueError(f"pixels of shape {tuple(pixels.shape)}; this encoder takes (B, {expected})")
        patches: Tensor = self.conv1(pixels).flatten(2).transpose(1, 2)  # (B, h * w, W)
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        if cameras is not None and self.cameras:
            # Row -1 means no camera: any row is looked up, then multiplied by 0.
            vectors = self.camera_embedding.index_select(0, cameras.clamp_min(0)) * (cameras >= 0)[:, None]  # (B, W)
            first = first + vectors.to(patches.dtype)[:, None]
        return torch.cat((first, patches), dim=1) + self.positional_embedding.to(patches.dtype)

    def forward(self, pixels: Tensor, cameras: Tensor | None = None, *, run: RunBlock | None = None) -> ImageFeatures:
        """Encode normalised pixels of shape (B, 3, H, W') as `ImageFeatures`.

        Args:
            pixels: As for `tokens`.
            cameras: As for `tokens`.
            run: Runs the blocks before the last one; None for `run_block`.
        """
        return self._features(pixels, cameras, last_block, run)

    def dense(self, pixels: Tensor, cameras: Tensor | None = None) -> ImageFeatures:
        """Encode as `forward` does, but compute the last block for every token.

        It is slower, with the same result up to rounding. Operation counts and tests use it.
        """
        return self._features(pixels, cameras, dense_block)

    def _features(
        self, pixels: Tensor, cameras: Tensor | None, last: LastBlock, run: RunBlock | None = None
    ) -> ImageFeatures:
        tokens = layer_norm(self.ln_pre, self.tokens(pixels, cameras))  # (B, 1 + h * w, W)
        read = read_blocks(self.transformer.resblocks, tokens, 0, last, causal=False, run=run, prompts=self.prompts)
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
    """Compute descriptors, which are compared by cosine similarity, from features (Eq. 21, R10).

    Args:
        features: Features of one batch.
        kind: `projected`, or `concat` for class token and projection joined; they are normalized after joining. `class`
            for the first half of `projected`, of an encoder that has such a descriptor (`class_dim`).
        unit: Whether the descriptors are normalized to unit length.

    Returns:
        Shape (B, D), or (B, W + D) for `concat`, (B, D / 2) for `class`; float32.

    Raises:
        SettingError: If the kind is unknown.
    """
    joined = features.projected.float()
    if check_descriptor(kind) == "concat":
        joined = torch.cat((features.cls.float(), joined), dim=1)
    elif kind == CLASS:
        joined = joined[:, : joined.shape[1] // 2]
    return functional.normalize(joined, dim=1) if unit else joined
