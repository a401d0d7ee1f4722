"""The last block, computed only at the tokens that are read: features and gradients of the dense computation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import tiny_clip
from torch import Tensor, nn

from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.image import build_transformer
from scing_cli.core.encoders.last_block import dense_block, dense_block_of, last_block, last_block_of

ENDS = {"equal": 11, "each alike": [7] * 5, "different": [3, 11, 0, 7, 11], "the last text longest": [1, 2, 3, 4, 5]}
CASES = ["image", *ENDS]


def spread_out() -> ClipModel:
    """A small CLIP whose biases and norms differ from 0 and 1, in float32."""
    clip = tiny_clip(seed=2, stride=4)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*clip.image.parameters(), *clip.text.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return clip


def case(name: str) -> tuple[nn.Module, Tensor, Callable[[Callable[..., object], Tensor], list[Tensor]]]:
    """Return a tower, an input, and what calls a way of the tower on it."""
    clip = spread_out()
    draw = torch.Generator().manual_seed(1)
    if name == "image":
        return clip.image, torch.randn(5, 3, 32, 16, generator=draw), lambda way, given: list(way(given))
    return clip.text, torch.randn(5, 12, 24, generator=draw), lambda way, given: [way(given, ENDS[name])]


def far(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest number of the expected."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-3))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_features_and_all_gradients_are_the_dense_ways(name: str, training: bool) -> None:
    tower, source, call = case(name)
    tower.train(training)
    results = []
    for way in (tower, tower.dense):
        tower.zero_grad(set_to_none=True)
        given = source.clone().requires_grad_()
        features = call(way, given)
        weights = [torch.randn(each.shape, generator=torch.Generator().manual_seed(7)) for each in features]
        torch.stack([(each * weight).sum() for each, weight in zip(features, weights, strict=True)]).sum().backward()
        gradients = {path: value.grad for path, value in tower.named_parameters() if value.grad is not None}
        results.append((features, given.grad, gradients))
    (ours, ours_given, ours_learnt), (dense, dense_given, dense_learnt) = results
    assert all(far(found, expected) < 1e-5 for found, expected in zip(ours, dense, strict=True))
    assert far(ours_given, dense_given) < 1e-5
    assert set(ours_learnt) == set(dense_learnt)
    for path, expected in dense_learnt.items():
        assert far(ours_learnt[path], expected) < 1e-5, path


@pytest.mark.parametrize("name", CASES)
def test_without_gradients_the_features_are_the_same(name: str) -> None:
    tower, source, call = case(name)
    with torch.inference_mode():
        ours, dense = call(tower, source), call(tower.dense, source)
    assert all(far(found, expected) < 1e-5 for found, expected in zip(ours, dense, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_bf16_errs_no_more_than_the_dense_way(name: str) -> None:
    tower, source, call = case(name)
    exact = call(tower.dense, source)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, dense = call(tower, source), call(tower.dense, source)
    for found, usual, expected in zip(ours, dense, exact, strict=True):
        assert found.dtype == usual.dtype
        own, theirs = (
            float((each.detach().float() - expected.detach()).square().mean().sqrt()) for each in (found, usual)
        )
        assert own < 1.5 * theirs + 1e-3
        assert own < 0.03 * float(expected.detach().square().mean().sqrt())


@pytest.mark.parametrize("name", CASES)
def test_the_last_blocks_second_half_runs_at_one_place(name: str) -> None:
    tower, source, call = case(name)
    shapes: list[tuple[int, ...]] = []
    for block in tower.transformer.resblocks:
        block.ln_2.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    call(tower, source)
    width = tower.width
    *first, last = shapes
    assert last == (5, width)
    assert first
    assert all(len(shape) == 3 and shape[1] > 1 for shape in first)


@pytest.mark.parametrize("scaled", [None, 0.3])
def test_one_place_or_one_per_row_of_any_block(scaled: float | None) -> None:
    """Also a block that scales its branches, as some models of open_clip do."""
    torch.manual_seed(0)
    block = build_transformer(width=16, layers=1, heads=2, mlp_ratio=2.0, quick_gelu=False).resblocks[0]
    if scaled is not None:
        block.ls_1, block.ls_2 = (_Scale(scaled) for _ in range(2))
    tokens = torch.randn(4, 6, 16)
    for causal in (True, False):
        for places in (0, 3, 5, torch.tensor([0, 5, 2, 2])):
            found = last_block(block, tokens, places, causal=causal)
            assert far(found, dense_block(block, tokens, places, causal=causal)) < 1e-5
    assert far(last_block(block, tokens, 2, causal=True), last_block(block, tokens, 2, causal=False)) > 1e-3


class _Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, branch: Tensor) -> Tensor:
        return branch * self.factor


def test_vit_b_16_at_its_own_size() -> None:
    encoder = load_clip("ViT-B-16-quickgelu", "random").image
    pixels = torch.randn(1, 3, 256, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert far(encoder(pixels).projected, encoder.dense(pixels).projected) < 1e-5


@pytest.mark.parametrize("places", [[0], [0, 7, 8], list(range(9))], ids=["one", "three", "all"])
def test_several_tokens_are_those_of_the_dense_block(places: list[int]) -> None:
    block = spread_out().image.transformer.resblocks[-1]
    given = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    found, expected = (way(block, given, places) for way in (last_block_of, dense_block_of))
    assert found.shape == (3, len(places), 32)
    assert far(found, expected) < 1e-5
    ways = [torch.autograd.grad(each.square().sum(), [given, *block.parameters()]) for each in (found, expected)]
    assert all(far(ours, theirs) < 1e-4 for ours, theirs in zip(*ways, strict=True))
