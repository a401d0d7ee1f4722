"""Seeded random initialization of both towers, with the standard deviations that CLIP uses.

Values are drawn from uniform distributions; the same seed gives the same bytes on every processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.text import TextEncoder
from scing_cli.core.runtime import draw_seed
from scing_cli.core.threads import default_workers

# The upper limit, which CLIP's training reaches. An untrained CLIP's 14.3 makes the softmax too flat for R4 and R7.
LOGIT_SCALE = 100.0
WORD_SPREAD = 0.02


def fill_image(encoder: ImageEncoder, seed: int) -> None:
    """Draw all weights of an image tower on the CPU; global random generators are not used."""
    spread = encoder.width**-0.5
    embeddings = [
        (encoder.conv1.weight, encoder.conv1.weight[0].numel() ** -0.5),
        (encoder.class_embedding, spread),
        (encoder.positional_embedding, spread),
        (encoder.proj, spread),
    ]
    _level(encoder)
    _draw([*embeddings, *_blocks(encoder, encoder.width)], seed, "image")


def fill_text(encoder: TextEncoder, seed: int) -> None:
    """Draw all weights of a text tower on the CPU; global random generators are not used."""
    embeddings: list[tuple[Tensor, float]] = [
        (encoder.token_embedding.weight, WORD_SPREAD),
        (encoder.positional_embedding, 0.01),
        (encoder.text_projection, encoder.width**-0.5),
    ]
    _level(encoder)
    _draw([*embeddings, *_blocks(encoder, encoder.width)], seed, "text")


def word_vectors(count: int, width: int) -> Tensor:
    """Return the word vectors that `fill_text` draws with seed 0, (count, width) float32: equal on every machine."""
    table = torch.empty(count, width)
    _draw([(table, WORD_SPREAD)], 0, "text")
    return table


@torch.no_grad()
def _level(tower: nn.Module) -> None:
    """Set biases to 0 and the layer norms' weights to 1."""
    for module in tower.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.MultiheadAttention):
            nn.init.zeros_(module.in_proj_bias)
        elif isinstance(module, nn.LayerNorm | nn.Linear):
            nn.init.zeros_(module.bias)


def _blocks(tower: nn.Module, width: int) -> Iterator[tuple[Tensor, float]]:
    """Yield each weight matrix of attention and MLPs with its standard deviation."""
    # Output projections are added to the residual stream: their deviation shrinks with the number of layers.
    layers = sum(isinstance(module, nn.MultiheadAttention) for module in tower.modules())
    for module in tower.modules():
        if isinstance(module, nn.MultiheadAttention):
            yield module.in_proj_weight, width**-0.5
        elif isinstance(module, nn.Linear):  # out_proj (W to W), c_fc (W to 4 W), c_proj (4 W to W)
            widens = module.out_features > module.in_features
            yield module.weight, (2 * width) ** -0.5 if widens else width**-0.5 * (2 * layers) ** -0.5


def _draw(spreads: list[tuple[Tensor, float]], seed: int, tower: str) -> None:
    """Fill each tensor from a uniform distribution with mean 0 and the given standard deviation."""

    def fill(index: int) -> None:
        tensor, deviation = spreads[index]
        bound = np.float32(deviation * 3**0.5)  # the uniform distribution over [-b, b] has the deviation b / sqrt(3)
        numbers = tensor.detach().numpy()
        # One generator per tensor: threads share the work and the result does not depend on their order.
        generator = np.random.Generator(np.random.PCG64(draw_seed(seed, "weights", tower, index)))
        # Uniform draws are integers scaled once, so they are equal on every processor; normal draws need not be.
        generator.random(dtype=np.float32, out=numbers)
        numbers *= 2 * bound
        numbers -= bound

    with ThreadPoolExecutor(default_workers()) as pool:
        list(pool.map(fill, range(len(spreads))))
