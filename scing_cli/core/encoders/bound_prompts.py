"""A frozen image tower that reads several spectra through learnt prompts (DMPT, DM1-DM14).

The tower reads each spectrum on its own. Before block j its tokens are::

    X^m_j = [cls^m; patches^m; M^m_j; S_j]        M^m_j = 1 (W_j e_m + b_j)^T + R^m_j

The specific prompts M^m_j belong to spectrum m, and know it by e_m, the frozen text feature of a sentence that names
the spectrum. The semantic prompts S_j are shared by all spectra. After each block their outputs are discarded, and the
prompts of the next block take their places. After the last block the outputs at the semantic places are kept, S^m, and
the spectra exchange what they found (`prompt_bind`).

Legend: B observations, S spectra, L blocks, n_m specific and n_s semantic prompts per block, n_b bind tokens, W width
of the tower, D width of the joint embedding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scing_cli.core.encoders.attention import RunBlock, layer_norm, run_block
from scing_cli.core.encoders.deep_prompts import put_prompts
from scing_cli.core.encoders.image import ImageEncoder, ImageFeatures
from scing_cli.core.encoders.last_block import LastBlockOf, dense_block_of, last_block_of
from scing_cli.core.encoders.prompt_bind import DEVIATION, PromptBind
from scing_cli.core.encoders.spectral import LEFT_OUT, SpectralEncoder, filled

WORDS: Mapping[str, str] = {"rgb": "visible", "nir": "near infrared", "tir": "thermal infrared"}
MOST = 1024  # prompts of each kind


@dataclasses.dataclass(frozen=True, slots=True)
class PromptSizes:
    """Numbers of prompts (DM3).

    Args:
        specific: n_m.
        semantic: n_s.
        bind: n_b.

    Raises:
        ValueError: If one is not a whole number from 1 to `MOST`.
    """

    specific: int = 4
    semantic: int = 8
    bind: int = 4

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
                raise ValueError(f"{name} must be a whole number from 1 to {MOST:,}, not {value!r}")


def spectrum_sentences(spectra: Sequence[str], objects: str = "person") -> list[str]:
    """Return the sentence that names each spectrum, whose text feature is e_m (DM2).

    >>> spectrum_sentences(("rgb", "tir"))[1]
    'a photo of a person in the thermal infrared spectrum'
    """
    return [f"a photo of a {objects} in the {WORDS[name]} spectrum" for name in spectra]


class BoundPrompts(nn.Module):
    """Everything that is learnt: the prompts of all blocks, and the exchange between spectra.

    Args:
        spectra: S.
        layers: L.
        width: W.
        embed_dim: D.
        sizes: Numbers of prompts.
    """

    names: Tensor

    def __init__(self, *, spectra: int, layers: int, width: int, embed_dim: int, sizes: PromptSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("names", torch.zeros(spectra, embed_dim))  # e_m, unit
        self.projections = nn.ModuleList(_zero(nn.Linear(embed_dim, width)) for _ in range(layers))  # W_j, b_j
        self.specific = nn.Parameter(DEVIATION * torch.randn(spectra, layers, sizes.specific, width))  # R^m_j
        self.semantic = nn.Parameter(DEVIATION * torch.randn(layers, sizes.semantic, width))  # S_j
        self.bind = PromptBind(width, sizes.bind)

    def of_block(self, block: int) -> Tensor:
        """Return the prompts of a block for each spectrum, (S, n_m + n_s, W): the specific ones, then the semantic."""
        named: Tensor = self.projections[block](self.names)[:, None]  # (S, 1, W)
        own = named + self.specific[:, block]
        shared = self.semantic[block].to(own.dtype).expand(len(own), -1, -1)
        return torch.cat((own, shared), dim=1)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class BoundPromptEncoder(SpectralEncoder):
    """The encoder of `dmpt`: a frozen tower, called once for all images of a batch, with `BoundPrompts`.

    The descriptor `projected` is [g; s]: g joins the projected class tokens of the spectra, s the projected means of
    their semantic tokens after the exchange. With `missing="mean"`, a missing spectrum is not encoded, nothing is
    gathered from it, and its parts of g and s are the means of those of the others (DM10).

    Args:
        tower: The image tower.
        spectra: The spectra that it reads, in the order of the pixels' channels.
        missing: `mean` or `zero`, as for `SpectralEncoder`.
        dmpt: The sizes of the prompts, by name (`PromptSizes`).
    """

    bound: BoundPrompts

    def __init__(
        self, tower: ImageEncoder, spectra: Sequence[str], *, missing: str = LEFT_OUT, dmpt: Mapping[str, int]
    ) -> None:
        super().__init__(tower, spectra, missing=missing)
        self.bound = BoundPrompts(
            spectra=len(self.spectra),
            layers=len(tower.transformer.resblocks),
            width=tower.width,
            embed_dim=tower.embed_dim,
            sizes=PromptSizes(**dmpt),
        )

    @property
    def config(self) -> dict[str, Any]:
        """The tower's sizes, the spectra, what a missing one counts as, and the sizes of the prompts."""
        return {**super().config, "dmpt": dataclasses.asdict(self.bound.sizes)}

    @property
    def class_dim(self) -> int:
        """Width of g, the descriptor `class`, and of s: S D."""
        return self.blocks * self.tower.embed_dim

    @property
    def embed_dim(self) -> int:
        """Width of [g; s]: 2 S D."""
        return 2 * self.class_dim

    def forward(self, pixels: Tensor, cameras: Tensor | None = None, *, run: RunBlock | None = None) -> ImageFeatures:
        """Encode normalised pixels of shape (B, 3 S, H, W') as `ImageFeatures`.

        Args:
            pixels: As for `SpectralEncoder`: NaN in missing spectra.
            cameras: Shape (B,), from `camera_rows`; None if no observation has a known camera.
            run: Runs the blocks before the last one; None for `run_block`.

        Returns:
            `cls` and `previous` are joined, (B, S W); `projected` is [g; s], (B, 2 S D), not of unit length.

        Raises:
            ValueError: If the pixels have another shape.
        """
        return self._features(pixels, cameras, last_block_of, run)

    def dense(self, pixels: Tensor, cameras: Tensor | None = None) -> ImageFeatures:
        """Encode as `forward` does, but compute the last block for every token; slower, with the same result."""
        return self._features(pixels, cameras, dense_block_of, None)

    def _features(
        self, pixels: Tensor, cameras: Tensor | None, last: LastBlockOf, run: RunBlock | None
    ) -> ImageFeatures:
        images, gone = self.images_of(pixels)  # (B S, 3, H, W'), (B, S)
        there = (~gone).flatten().nonzero()[:, 0] if bool(gone.any()) else None  # images that are encoded
        each = None if cameras is None else _rows(cameras.repeat_interleave(len(self.spectra)), there)
        tokens = layer_norm(self.tower.ln_pre, self.tower.tokens(_rows(images, there), each))

        def prompts(block: int) -> Tensor:
            return _rows(self.bound.of_block(block).repeat(len(gone), 1, 1), there)

        found = self._streams(tokens, prompts, last, run)
        previous, cls, semantic = (_spread(part, gone, there) for part in found)
        exchanged = self.bound.bind(semantic, None if there is None else ~gone)  # Ŝ^m: (B, S, n_s, W)
        post, proj = self.tower.ln_post, self.tower.proj
        cls = post(cls)
        parts = (previous, cls, cls @ proj, post(exchanged.mean(2)) @ proj)
        previous, cls, g, s = (filled(part, gone).flatten(1) for part in parts)
        return ImageFeatures(cls=cls, projected=torch.cat((g, s), dim=1), previous=previous)

    def _streams(
        self, tokens: Tensor, prompts: Callable[[int], Tensor], last: LastBlockOf, run: RunBlock | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the tower's blocks on the tokens of N images, (N, T, W), each on its own.

        Returns:
            The class tokens before and after the last block, (N, W) each, and S^m, (N, n_s, W).
        """
        blocks = self.tower.transformer.resblocks
        for number, block in enumerate(blocks):
            tokens = put_prompts(tokens, self.tower.prompts, number)  # of a tower that has deep prompts of its own
            length = tokens.shape[1]
            tokens = torch.cat((tokens, prompts(number).to(tokens.dtype)), dim=1)
            if number < len(blocks) - 1:
                tokens = (run or run_block)(block, tokens, None)[:, :length]
        whole = tokens.shape[1]
        final = last(blocks[-1], tokens, [0, *range(whole - self.bound.sizes.semantic, whole)])
        return tokens[:, 0], final[:, 0], final[:, 1:]


def _rows(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]


def _spread(found: Tensor, gone: Tensor, there: Tensor | None) -> Tensor:
    """Return values of the images that are there, (N, …), as (B, S, …), with zeros for the others."""
    if there is not None:
        whole = found.new_zeros((gone.numel(), *found.shape[1:]))
        whole[there] = found
        found = whole
    return found.view(*gone.shape, *found.shape[1:])
