"""The plain attention kernel is taken where it is faster, and says what the fused one says."""

from __future__ import annotations

import contextlib

import pytest
import torch
from tiny import tiny_clip
from torch.backends.cuda import flash_sdp_enabled, math_sdp_enabled

from scing_cli.core.encoders import image, text
from scing_cli.core.encoders.attention import SHORT, attention_kernel
from scing_cli.core.runtime import autocast

CPU = torch.device("cpu")


def plain_alone(places: int) -> bool:
    with attention_kernel(torch.zeros(2, places, 4)):
        return math_sdp_enabled() and not flash_sdp_enabled()


def test_the_plain_kernel_is_taken_for_short_tokens_in_bf16_with_gradients_alone():
    with autocast(CPU, "bf16"):
        assert plain_alone(SHORT)
        assert not plain_alone(SHORT + 1)
        with torch.no_grad():
            assert not plain_alone(SHORT)
    assert not plain_alone(SHORT)
    with autocast(CPU, "fp32"):
        assert not plain_alone(SHORT)
    assert flash_sdp_enabled()


@pytest.mark.parametrize("tower", ["image", "text"])
def test_both_kernels_give_the_same_features_and_gradients(tower, monkeypatch):
    def run():
        clip = tiny_clip(seed=3)
        source = torch.Generator().manual_seed(0)
        with autocast(CPU, "bf16"):
            if tower == "image":
                pixels = torch.randn(6, 3, clip.image.geometry.height, clip.image.geometry.width, generator=source)
                result = clip.image(pixels).projected
                learnt = clip.image.conv1.weight
            else:
                ids = torch.randint(1, 400, (6, 9), generator=source)
                result = clip.text(clip.text.embed(ids), [8, 3, 5, 8, 8, 1])
                learnt = clip.text.positional_embedding
        unit = torch.nn.functional.normalize(result.float(), dim=1)
        unit[:, 0].sum().backward()
        return unit.detach(), learnt.grad

    plain, plain_gradient = run()
    for module in (image, text):
        monkeypatch.setattr(module, "attention_kernel", lambda _tokens: contextlib.nullcontext())
    fused, fused_gradient = run()
    assert torch.allclose(plain, fused, atol=0.02)
    assert torch.nn.functional.cosine_similarity(plain_gradient.flatten(), fused_gradient.flatten(), dim=0) > 0.99
