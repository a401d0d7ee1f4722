"""A real CLIP of a few weights, for tests of every room: 32x16 pixels, D = 16, W = 32, d = 24, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scing_cli.core.encoders.clip import ClipModel, load_clip

TINY_MODEL = str(Path(__file__).parent / "models" / "test-clip.json")
FROM_NOTHING = str(Path(__file__).parent / "models" / "from-nothing.json")  # 64x32 pixels; learns from random weights


def tiny_clip(**options: Any) -> ClipModel:
    """Load the small model with random weights; options are `load_clip`'s (seed, stride, size, ...)."""
    return load_clip(TINY_MODEL, "random", **options)


def spread_out(clip: ClipModel) -> ClipModel:
    """Make biases and norms differ from 0 and 1, so that a forgotten one shows."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*clip.image.parameters(), *clip.text.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return clip
