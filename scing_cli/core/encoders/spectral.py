"""An image tower that reads several spectra of one observation: the same tower for each, and their outputs joined.

A missing spectrum is NaN in the pixels, in all of its values. It is left out: its place gets the mean of the
spectra that are there, so that observations with different spectra can be compared. Or its pixels count as mid grey, as
in the public code of other methods (DM10).

Legend: B batch, S spectra, H x W' pixels, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder, ImageFeatures

MEAN, CONCAT = "mean", "concat"  # how the outputs of the spectra are joined
LEFT_OUT, GREY = "mean", "zero"  # what a missing spectrum counts as


class SpectralEncoder(nn.Module):
    """An image tower whose input is an observation of S spectra.

    Called like `ImageEncoder`, with pixels of 3 S channels: three per spectrum, in the order of `spectra`.

    Args:
        tower: Encodes the image of each spectrum.
        spectra: Names of the spectra, a part of `core.spectra.SPECTRA` in its order.
        missing: `mean`: the output of a missing spectrum is the mean of the outputs of the others. `zero`: its
            normalised pixels are 0.
        join: `concat`: the outputs stand side by side, S times as wide as the tower's. `mean`: their mean.
    """

    kind = "image"

    def __init__(
        self, tower: ImageEncoder, spectra: Sequence[str], *, missing: str = LEFT_OUT, join: str = CONCAT
    ) -> None:
        super().__init__()
        self.tower = tower
        self.spectra = tuple(spectra)
        self.missing = missing
        self.join = join

    @property
    def geometry(self) -> Geometry:
        """Size and statistics of the image of each spectrum."""
        return self.tower.geometry

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that have a vector (R15), which all spectra of an observation get."""
        return self.tower.cameras

    @property
    def config(self) -> dict[str, Any]:
        """The tower's sizes, the spectra, and what a missing one counts as."""
        return {**self.tower.config, "spectra": list(self.spectra), "missing": self.missing}

    @property
    def blocks(self) -> int:
        """The number of vectors that are joined in an output."""
        return len(self.spectra) if self.join == CONCAT else 1

    @property
    def width(self) -> int:
        """Width of the joined class tokens."""
        return self.blocks * self.tower.width

    @property
    def embed_dim(self) -> int:
        """Width of the joined projections."""
        return self.blocks * self.tower.embed_dim

    @property
    def class_dim(self) -> int:
        """Width of the descriptor `class`; 0 for an encoder without one."""
        return 0

    @property
    def proj(self) -> nn.Parameter:
        """The tower's projection, (W, D)."""
        return self.tower.proj

    @property
    def prompts(self) -> nn.Parameter | None:
        """The tower's deep prompts."""
        return self.tower.prompts

    def learn_cameras(self, names: Sequence[str], seed: int) -> None:
        """Add a trainable vector for each camera, as `ImageEncoder.learn_cameras` does."""
        self.tower.learn_cameras(names, seed)

    def learn_prompts(self, tokens: int, depth: int, seed: int) -> None:
        """Add trainable deep prompts to the tower, as `ImageEncoder.learn_prompts` does."""
        self.tower.learn_prompts(tokens, depth, seed)

    def set_prompts(self, prompts: Tensor) -> None:
        """Use given deep prompts in the tower, as `ImageEncoder.set_prompts` does."""
        self.tower.set_prompts(prompts)

    def camera_rows(self, names: Sequence[str]) -> Tensor:
        """Return the row of each camera's vector, (B,) int64; -1 for a camera without a vector."""
        return self.tower.camera_rows(names)

    def forward(self, pixels: Tensor, cameras: Tensor | None = None, *, run: RunBlock | None = None) -> ImageFeatures:
        """Encode normalised pixels of shape (B, 3 S, H, W') as joined `ImageFeatures`.

        Args:
            pixels: With the geometry's size and statistics; NaN in missing spectra.
            cameras: Shape (B,), from `camera_rows`; None if no observation has a known camera.
            run: Runs the blocks before the last one; None for `run_block`.

        Raises:
            ValueError: If the pixels have another shape.
        """
        images, gone = self.images_of(pixels)
        rows = None if cameras is None else cameras.repeat_interleave(len(self.spectra))
        features: ImageFeatures = self.tower(images, rows, run=run)
        return ImageFeatures(*(self._joined(part, gone) for part in features))

    def images_of(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Divide observations into the images of their spectra.

        Args:
            pixels: Shape (B, 3 S, H, W'); NaN in missing spectra.

        Returns:
            The images, (B S, 3, H, W'), without NaN; and whether a spectrum is missing, (B, S): none with `zero`.

        Raises:
            ValueError: If the number of channels is not 3 S.
        """
        count = len(self.spectra)
        if pixels.shape[1] != 3 * count:
            raise ValueError(f"pixels of shape {tuple(pixels.shape)}; this encoder takes {3 * count} channels")
        images = pixels.reshape(-1, 3, *pixels.shape[2:])
        gone = images.flatten(1).isnan().any(1)  # (B S,)
        images = images.masked_fill(gone[:, None, None, None], 0.0)
        gone = gone.view(-1, count)
        return images, gone if self.missing == LEFT_OUT else torch.zeros_like(gone)

    def _joined(self, vectors: Tensor, gone: Tensor) -> Tensor:
        """Join vectors (B S, W) of the images to (B, S W), or to (B, W) if the encoder joins by mean."""
        each = filled(vectors.view(*gone.shape, -1), gone)
        return each.mean(1) if self.join == MEAN else each.flatten(1)


def filled(vectors: Tensor, gone: Tensor) -> Tensor:
    """Replace the vectors of missing spectra by the mean of the others of the same observation.

    Args:
        vectors: Shape (B, S, W).
        gone: Shape (B, S), bool; at least one spectrum of each observation is there.

    Returns:
        Shape (B, S, W).
    """
    there = ~gone[:, :, None]
    means = (vectors.float() * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)
    return torch.where(there, vectors, means.to(vectors.dtype))


AnyImageEncoder = ImageEncoder | SpectralEncoder
"""What embeds images: a tower of ordinary images, or one of several spectra. Its `spectra` tells which."""
