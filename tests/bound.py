"""A small encoder with bound prompts, with every weight away from its start so that no term is zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tiny import spread_out, tiny_clip
from torch import Tensor

from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder
from scing_cli.core.runtime import seeded

ALL = ("rgb", "nir", "tir")
SIZES = {"specific": 2, "semantic": 3, "bind": 2}


def bound_encoder(spectra: Sequence[str] = ALL, *, missing: str = "mean", seed: int = 0) -> BoundPromptEncoder:
    """Return an encoder on the tiny tower, in evaluation mode."""
    with seeded(seed):
        encoder = BoundPromptEncoder(spread_out(tiny_clip(seed=seed)).image, spectra, missing=missing, dmpt=SIZES)
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for value in (*encoder.bound.parameters(), encoder.bound.names):
            value.add_(0.2 * torch.randn(value.shape, generator=draw))
    return encoder.eval()


def observations(count: int = 4, spectra: int = 3, *, without: Sequence[tuple[int, int]] = ()) -> Tensor:
    """Return drawn pixels, (B, 3 S, 32, 16), with NaN where (observation, spectrum) is missing."""
    pixels = torch.randn(count, 3 * spectra, 32, 16, generator=torch.Generator().manual_seed(1))
    for row, spectrum in without:
        pixels[row, 3 * spectrum : 3 * spectrum + 3] = torch.nan
    return pixels
