"""The encoder of dmpt against a float64 loop over its equations, missing spectra, and the number of its parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bound import SIZES, bound_encoder, observations
from oracles import dmpt as oracle
from torch import Tensor

from scing_cli.core.encoders.attention import run_block
from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder, PromptSizes, spectrum_sentences
from scing_cli.core.encoders.clip import empty_clip
from scing_cli.core.encoders.prompt_bind import NarrowAttention

MISSING = [(0, 1), (1, 0), (1, 2), (2, 2)]


def arrays(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in state.items()}


def learnt(encoder: BoundPromptEncoder) -> oracle.Learnt:
    own = encoder.bound
    layers = range(len(own.projections))
    state = arrays(own.state_dict())
    return oracle.Learnt(
        e=state["names"],
        w=np.stack([state[f"projections.{layer}.weight"] for layer in layers]),
        b=np.stack([state[f"projections.{layer}.bias"] for layer in layers]),
        r=state["specific"],
        s=state["semantic"],
        bd0=state["bind.tokens"],
        a1=arrays(own.bind.gather.state_dict()),
        a2=arrays(own.bind.read.state_dict()),
    )


def expected(encoder: BoundPromptEncoder, pixels: Tensor) -> Tensor:
    config, rows = encoder.tower.config, []
    for row in pixels.double().unflatten(1, (-1, 3)):
        images = [None if bool(image.isnan().any()) else image.numpy() for image in row]
        g, s = oracle.encode(
            images,
            learnt(encoder),
            arrays(encoder.tower.state_dict()),
            patch=encoder.geometry.patch,
            heads=config["heads"],
            quick=config["quick_gelu"],
        )
        rows.append(torch.from_numpy(np.concatenate([g, s])))
    return torch.stack(rows)


@pytest.mark.parametrize("without", [[], MISSING], ids=["whole", "missing"])
@pytest.mark.parametrize("way", ["forward", "dense"])
def test_the_descriptor_is_that_of_the_equations(way: str, without: list[tuple[int, int]]) -> None:
    encoder, pixels = bound_encoder(), observations(without=without)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            found = getattr(encoder, way)(pixels)
        torch.testing.assert_close(found.projected.detach().double(), expected(encoder, pixels), atol=2e-5, rtol=1e-4)
        assert found.cls.shape == found.previous.shape == (4, 3 * 32)
    assert encoder.embed_dim == found.projected.shape[1] == 2 * encoder.class_dim == 96


@pytest.mark.parametrize("spectra", [("rgb",), ("nir", "tir")])
def test_one_or_two_spectra_follow_the_same_equations(spectra: tuple[str, ...]) -> None:
    encoder, pixels = bound_encoder(spectra), observations(spectra=len(spectra))
    with torch.no_grad():
        found = encoder(pixels).projected
    torch.testing.assert_close(found.double(), expected(encoder, pixels), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_missing_spectrum_has_the_mean_of_the_others_and_its_pixels_do_not_matter() -> None:
    encoder, pixels = bound_encoder(), observations(without=[(1, 2)])
    other = pixels.clone()
    other[1, 6:] = 7.0
    other[1, 8, 3, 5] = torch.nan  # one pixel is enough
    assert torch.equal(encoder(other).projected, encoder(pixels).projected)
    g, s = encoder(pixels).projected[1].unflatten(0, (2, 3, -1))
    for part in (g, s):
        torch.testing.assert_close(part[2], part[:2].mean(0))
    whole = encoder(observations())  # rows without a gap do not change with their neighbours
    torch.testing.assert_close(encoder(pixels).projected[[0, 2, 3]], whole.projected[[0, 2, 3]])


@torch.no_grad()
def test_with_zero_a_missing_spectrum_is_a_grey_image_that_counts() -> None:
    grey = observations()
    grey[1, 6:] = 0
    mean, zero = bound_encoder(), bound_encoder(missing="zero")
    missing = observations(without=[(1, 2)])
    torch.testing.assert_close(zero(missing).projected, mean(grey).projected)
    assert float((zero(missing).projected - mean(missing).projected).abs().max()) > 1e-3


def test_gradients_of_the_short_last_block_are_those_of_the_dense_one() -> None:
    encoder, pixels = bound_encoder(), observations(without=MISSING)
    encoder.tower.requires_grad_(False)
    found = []
    for way in (encoder, encoder.dense):
        encoder.zero_grad()
        way(pixels).projected.square().sum().backward()
        found.append({name: value.grad.clone() for name, value in encoder.named_parameters() if value.grad is not None})
    short, dense = found
    assert short.keys() == dense.keys() == {name for name, _ in encoder.named_parameters() if "tower" not in name}
    for name, value in short.items():
        if not name.endswith("key.bias"):  # softmax cancels it: only noise is left
            assert float(dense[name].abs().max()) > 1e-6, name
        torch.testing.assert_close(value, dense[name], atol=1e-3, rtol=1e-3)


def test_the_blocks_before_the_last_are_run_by_the_given_function_once_for_all_spectra() -> None:
    encoder, shapes = bound_encoder(), []

    def watched(block: object, tokens: Tensor, mask: Tensor | None) -> Tensor:
        shapes.append(tuple(tokens.shape))
        return run_block(block, tokens, mask)

    pixels = observations()
    assert torch.equal(encoder(pixels, run=watched).projected, encoder(pixels).projected)
    encoder(observations(without=MISSING), run=watched)
    length = 1 + 8 + SIZES["specific"] + SIZES["semantic"]
    assert shapes == [(12, length, 32), (12 - len(MISSING), length, 32)]


def test_before_the_training_spectra_differ_by_their_own_prompts_only() -> None:
    """W and b start at zero, and so does what the semantic tokens read back (DM14)."""
    encoder = BoundPromptEncoder(bound_encoder().tower, ("rgb", "nir"), dmpt=SIZES)
    own = encoder.bound
    own.names.normal_()
    assert torch.equal(own.of_block(1)[:, : SIZES["specific"]], own.specific[:, 1])
    semantic = torch.randn(2, 2, 3, 32)
    assert torch.equal(own.bind(semantic), semantic)
    assert 0.01 < float(own.specific.detach().std()) < 0.03
    assert 0.01 < float(own.semantic.detach().std()) < 0.03


def test_bf16_is_near() -> None:
    encoder, pixels = bound_encoder(), observations(without=MISSING)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(pixels).projected.float()
    with torch.no_grad():
        assert float(torch.cosine_similarity(found, encoder(pixels).projected).min()) > 0.99


def test_parameters_at_vit_b_16() -> None:
    """5,513,280 beside the heads: 6.40 % of the tower at 256x128."""
    tower = empty_clip("ViT-B-16-quickgelu", size=(256, 128)).image
    with torch.device("meta"):
        encoder = BoundPromptEncoder(tower, ("rgb", "nir", "tir"), dmpt={})
    learnt, frozen = (sum(value.numel() for value in part.parameters()) for part in (encoder.bound, encoder.tower))
    assert (learnt, frozen) == (5_513_280, 86_140_416)
    assert sum(value.numel() for value in NarrowAttention(768).parameters()) == 299_040
    assert sum(value.numel() for value in encoder.parameters()) == learnt + frozen
    assert (encoder.width, encoder.embed_dim, encoder.class_dim) == (2304, 3072, 1536)


@pytest.mark.parametrize(("name", "value"), [("specific", 0), ("semantic", 2000), ("bind", True), ("bind", 1.5)])
def test_sizes_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to 1,024, not {value}"):
        PromptSizes(**{name: value})  # type: ignore[arg-type]


def test_sentences() -> None:
    assert spectrum_sentences(("rgb", "nir", "tir"), "vehicle") == [
        "a photo of a vehicle in the visible spectrum",
        "a photo of a vehicle in the near infrared spectrum",
        "a photo of a vehicle in the thermal infrared spectrum",
    ]
