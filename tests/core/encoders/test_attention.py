"""The transformer block for CPU training: used on CPUs only, and equal to open_clip's block in features and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from tiny import tiny_clip
from torch import Tensor, nn

from scing_cli.core.encoders.attention import FEW, narrow_layer_norm, plain_is_faster, run_block
from scing_cli.core.encoders.image import build_transformer
from scing_cli.core.encoders.last_block import causal_mask
from scing_cli.core.runtime import autocast

CPU = torch.device("cpu")


def example(*, quick_gelu: bool = True, scaled: bool = False) -> ResidualAttentionBlock:
    """A block of 32, 4 heads, whose biases and norms differ from 0 and 1."""
    torch.manual_seed(3)
    block = build_transformer(width=32, layers=1, heads=4, mlp_ratio=2.0, quick_gelu=quick_gelu).resblocks[0]
    if scaled:
        block.ls_1, block.ls_2 = nn.Linear(32, 32), nn.Linear(32, 32)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return block


def usual(block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
    return block(tokens, attn_mask=mask)


def results(way: Any, block: nn.Module, mask: Tensor | None, precision: str) -> dict[str, Tensor]:
    """Return the features, and the gradients of the tokens and of every parameter."""
    block.zero_grad(set_to_none=True)
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 10, 32, generator=draw).requires_grad_()
    with autocast(CPU, precision):
        features = way(block, tokens, mask)
    (features.float() * torch.randn(features.shape, generator=draw)).sum().backward()
    gradients = {name: value.grad for name, value in block.named_parameters()}
    return {"features": features.detach().float(), "tokens": tokens.grad, **gradients}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", [{}, {"quick_gelu": False}, {"scaled": True}], ids=str)
def test_features_and_gradients_are_those_of_open_clips_block(kind: Any, precision: str, causal: bool) -> None:
    block = example(**kind)
    mask = causal_mask(10, torch.empty(0)) if causal else None
    exact = results(usual, block, mask, "fp32")
    ours, theirs = results(run_block, block, mask, precision), results(usual, block, mask, precision)
    for name, expected in exact.items():
        size = expected.norm() + 1e-3
        if precision == "fp32":
            assert (ours[name] - expected).norm() / size < 1e-5, name
        else:  # no worse than the usual way in bf16
            assert (ours[name] - expected).norm() / size < 2 * (theirs[name] - expected).norm() / size + 2e-3, name


def test_a_block_is_taken_apart_unless_a_cpu_only_infers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    whole = ResidualAttentionBlock.forward
    monkeypatch.setattr(
        ResidualAttentionBlock, "forward", lambda *given, **named: calls.append(1) or whole(*given, **named)
    )
    block, tokens = example(), torch.randn(2, 4, 32)
    run_block(block, tokens, None)
    assert not calls
    with torch.no_grad():
        run_block(block, tokens, None)
    assert calls


def test_plain_products_are_taken_over_few_places_in_bf16_with_gradients_alone() -> None:
    few, many = torch.zeros(1, FEW, 4), torch.zeros(1, FEW + 1, 4)
    with autocast(CPU, "bf16"):
        assert plain_is_faster(few)
        assert not plain_is_faster(many)
        assert not plain_is_faster(few.to("meta"))
        with torch.no_grad():
            assert not plain_is_faster(few)
    assert not plain_is_faster(few)
    with autocast(CPU, "fp32"):
        assert not plain_is_faster(few)


def test_less_is_kept_for_the_backward() -> None:
    """Of the MLP's hidden width: what silu reads and what it gives, not what makes up a QuickGELU."""
    block, tokens = example(), torch.randn(3, 10, 32)
    kept: dict[str, set[int]] = {}
    for name, way in (("ours", run_block), ("usual", usual)):
        seen: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda each, seen=seen: seen.append(each) or each, lambda each: each
        ):
            way(block, tokens, None)
        kept[name] = {each.data_ptr() for each in seen if each.numel() == 3 * 10 * 64}
    assert len(kept["ours"]) == 2
    assert len(kept["usual"]) > 2


@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_towers_train_in_bf16_towards_what_fp32_says(tower: str) -> None:
    def run(precision: str) -> tuple[Tensor, Tensor]:
        clip = tiny_clip(seed=3)
        source = torch.Generator().manual_seed(0)
        with autocast(CPU, precision):
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

    half, half_gradient = run("bf16")
    exact, gradient = run("fp32")
    assert torch.allclose(half, exact, atol=0.02)
    assert torch.nn.functional.cosine_similarity(half_gradient.flatten(), gradient.flatten(), dim=0) > 0.99


def test_a_narrow_layer_norm_is_the_definition_within_its_numbers_rounding() -> None:
    """Weights and results are rounded to bf16, sums are not: with 2,000 numbers far from 0 those would show."""
    draw = torch.Generator().manual_seed(1)
    norm = nn.LayerNorm(2_000)
    with torch.no_grad():
        norm.weight.add_(0.3 * torch.randn(2_000, generator=draw))
        norm.bias.add_(0.3 * torch.randn(2_000, generator=draw))
    tokens = (5 + torch.randn(3, 4, 2_000, generator=draw)).bfloat16().requires_grad_()
    with autocast(CPU, "bf16"):
        found = narrow_layer_norm(norm, tokens)
    exact = tokens.detach().double()
    centred = exact - exact.mean(2, keepdim=True)
    scaled = centred / (centred.square().mean(2, keepdim=True) + norm.eps).sqrt()
    expected = scaled * norm.weight.detach().double() + norm.bias.detach().double()
    assert found.dtype == torch.bfloat16
    far = (found.detach().double() - expected).abs()
    assert (far <= 2**-7 * (scaled * norm.weight).abs() + 2**-7 * norm.bias.abs() + 2**-8 * expected.abs()).all()
    found.float().sum().backward()
    assert tokens.grad.dtype == torch.bfloat16
    assert norm.weight.grad.dtype == norm.bias.grad.dtype == torch.float32
    torch.testing.assert_close(norm.weight.grad, scaled.sum((0, 1)).float(), rtol=0.02, atol=0.1)
    torch.testing.assert_close(norm.bias.grad, torch.full((2_000,), 12.0))
