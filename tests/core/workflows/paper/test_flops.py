"""Operations of the image tower: the figures of ViT-B/16, and a count from the definition."""

from __future__ import annotations

import pytest
import torch
from tiny import TINY_MODEL, tiny_clip
from torch.utils.flop_counter import flop_registry

from scing_cli.core.encoders.clip import empty_clip
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.workflows.paper.flops import forward_flops, hooked_flops


def by_definition(encoder: ImageEncoder) -> tuple[int, int]:
    """Every product of a plain vision transformer, and those of its convolution and MLPs alone."""
    rows, columns = encoder.geometry.grid
    patches, width, layers = rows * columns, encoder.width, encoder.config["layers"]
    places, hidden = patches + 1, round(encoder.config["mlp_ratio"] * width)
    convolution = patches * width * 3 * encoder.geometry.patch**2
    mlps = layers * 2 * places * width * hidden
    projections = layers * 4 * places * width * width  # query, key, value, output
    attention = layers * 2 * places * places * width  # scores, and values times scores
    return 2 * (convolution + mlps + projections + attention + width * encoder.embed_dim), 2 * (convolution + mlps)


@pytest.mark.parametrize(("stride", "gflops"), [(16, 22.68), (12, 37.73)])
def test_vit_b_16_costs_what_readme_says(stride: int, gflops: float) -> None:
    encoder = empty_clip("ViT-B-16-quickgelu", stride=stride).image
    assert round(forward_flops(encoder) / 1e9, 2) == gflops
    assert forward_flops(encoder) == by_definition(encoder)[0]


@pytest.mark.parametrize(("stride", "gflops"), [(16, 14.76), (12, 24.14)])
def test_the_papers_counter_misses_the_attention(stride: int, gflops: float) -> None:
    encoder = empty_clip("ViT-B-16-quickgelu", stride=stride).image
    assert round(hooked_flops(encoder) / 1e9, 2) == gflops
    assert hooked_flops(encoder) == by_definition(encoder)[1]


@pytest.mark.parametrize("stride", [8, 4])
def test_with_weights_all_products_are_counted_too(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU torch has two ways to do an attention in one call; older versions can count neither."""
    for known in [each for each in flop_registry if "scaled_dot_product" in str(each)]:
        monkeypatch.delitem(flop_registry, known)
    encoder = tiny_clip(stride=stride).image
    assert (forward_flops(encoder), hooked_flops(encoder)) == by_definition(encoder)


@pytest.mark.parametrize("fast", [True, False])
def test_counting_leaves_torch_and_the_encoder_as_they_were(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = empty_clip(TINY_MODEL).image
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        forward_flops(encoder)
        hooked_flops(encoder)
        assert torch.backends.mha.get_fastpath_enabled() == fast
        monkeypatch.setattr(encoder, "ln_pre", None)
        for count in (forward_flops, hooked_flops):
            with pytest.raises(TypeError):
                count(encoder)
        assert torch.backends.mha.get_fastpath_enabled() == fast
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert not any(module._forward_hooks for module in encoder.modules())
