"""Grad-CAM of the class token against its definition on the dense block, and what its maps leave out."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.batches import normalise
from scing_cli.core.embeddings.grad_cam import grad_cam


def random_case(encoder, count=4):
    draw, geometry = torch.Generator().manual_seed(3), encoder.geometry
    pixels = torch.randint(0, 256, (count, 3, geometry.height, geometry.width), dtype=torch.uint8, generator=draw)
    return pixels, F.normalize(torch.randn(count, encoder.embed_dim, generator=draw), dim=1)


def by_definition(encoder, pixels, target):
    """The map of one image in float64: finite differences of the score, over the last block computed whole."""
    encoder = encoder.double()
    blocks, block = encoder.transformer.resblocks, encoder.transformer.resblocks[-1]
    tokens = encoder.ln_pre(
        encoder.tokens(normalise(pixels[None], encoder.geometry.mean, encoder.geometry.std, None).double())
    )
    if encoder.prompts is not None:
        first = encoder.prompts[0].expand(1, -1, -1)
        tokens = torch.cat([tokens[:, :1], first, tokens[:, 1:]], dim=1)
    for each in blocks[:-1]:
        tokens = each(tokens)
    normal = block.ln_1(tokens)

    def score(seen):
        attended = block.attn(seen, seen, seen, need_weights=False)[0]
        result = tokens + attended
        result = result + block.mlp(block.ln_2(result))
        vector = encoder.ln_post(result[:, 0]) @ encoder.proj
        return float(F.normalize(vector, dim=1)[0] @ target.double())

    rows, columns = encoder.geometry.grid
    first = normal.shape[1] - rows * columns
    gradient, step = torch.zeros(rows * columns, encoder.width, dtype=torch.float64), 1e-5
    for patch in range(rows * columns):
        for channel in range(encoder.width):
            ends = []
            for sign in (1, -1):
                moved = normal.clone()
                moved[0, first + patch, channel] += sign * step
                ends.append(score(moved))
            gradient[patch, channel] = (ends[0] - ends[1]) / (2 * step)
    weights = gradient.mean(0)
    return (normal[0, first:] @ weights).clamp_min(0).view(rows, columns)


@pytest.mark.parametrize("prompts", [False, True])
def test_the_map_is_that_of_finite_differences(prompts):
    encoder = tiny_clip(seed=2).image
    if prompts:  # deep prompts stand between the class token and the patches
        encoder.learn_prompts(2, 1, seed=1)
    pixels, targets = random_case(encoder, count=2)
    with torch.no_grad():
        expected = torch.stack([by_definition(encoder, *each) for each in zip(pixels, targets, strict=True)])
    found = grad_cam(encoder.float(), pixels, targets)
    assert found.shape == (2, *encoder.geometry.grid)
    assert float(expected.max()) > 0
    torch.testing.assert_close(found.double(), expected, atol=1e-4 * float(expected.max()), rtol=1e-3)


def test_nothing_of_the_encoder_is_changed():
    encoder = tiny_clip().image
    pixels, targets = random_case(encoder)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found = grad_cam(encoder, pixels, targets)
    assert torch.equal(found, grad_cam(encoder, pixels, targets))
    assert not found.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(value.grad is None for value in encoder.parameters())
    assert not encoder.transformer.resblocks[-1].ln_1._forward_hooks
    with pytest.raises(ValueError, match="targets of shape"):
        grad_cam(encoder, pixels, targets[:, :-1])
    assert not encoder.transformer.resblocks[-1].ln_1._forward_hooks
