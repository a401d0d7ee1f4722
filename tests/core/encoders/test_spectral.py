"""One tower for all spectra: against the loop over single images in float64, and what is missing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from oracles.spectral import joined
from tiny import spread_out, tiny_clip

from scing_cli.core.encoders.image import descriptor
from scing_cli.core.encoders.spectral import SpectralEncoder, filled

ALL = ("rgb", "nir", "tir")
PATTERNS = np.array([each for each in itertools.product([True, False], repeat=3) if any(each)])  # (7, 3)


def tower():
    clip = spread_out(tiny_clip())
    clip.image.set_cameras(["a", "b"], torch.randn(2, 32, generator=torch.Generator().manual_seed(3)))
    return clip.image.eval()


def observations(there):
    """Pixels (B, S, 3, H, W) without holes, and as an encoder gets them: (B, 3 S, H, W) with NaN."""
    pixels = np.random.default_rng(1).standard_normal((*there.shape, 3, 32, 16)).astype(np.float32)
    holed = torch.from_numpy(np.where(there[..., None, None, None], pixels, np.nan)).flatten(1, 2)
    return pixels, holed.float()


@pytest.mark.parametrize("join", ["concat", "mean"])
@pytest.mark.parametrize("missing", ["mean", "zero"])
@pytest.mark.parametrize("cameras", [None, [0, 1, -1, 0, 1, -1, 0]])
def test_equals_the_loop_over_single_images(missing, join, cameras):
    own = tower()
    pixels, holed = observations(PATTERNS)
    rows = None if cameras is None else torch.tensor(cameras)
    with torch.no_grad():
        found = SpectralEncoder(own, ALL, missing=missing, join=join)(holed, rows)
    expected = joined(own, pixels, PATTERNS, missing=missing, join=join, cameras=cameras)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), values, atol=2e-5)


@pytest.mark.parametrize("join", ["concat", "mean"])
def test_one_spectrum_is_the_tower_to_the_bit(join):
    own = tower()
    pixels = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([0, 1, -1, 1])
    encoder = SpectralEncoder(own, ["tir"], join=join)
    with torch.no_grad():
        for found, expected in zip(encoder(pixels, rows), own(pixels, rows), strict=True):
            assert torch.equal(found, expected)
    assert (encoder.width, encoder.embed_dim) == (own.width, own.embed_dim)


def test_an_observation_of_one_spectrum_can_be_compared_with_one_of_another():
    own = tower()
    pixels, holed = observations(np.array([[True, False, False], [False, False, True]]))
    with torch.no_grad():
        one, other = descriptor(SpectralEncoder(own, ALL)(holed))
        visible, thermal = (
            descriptor(own(torch.from_numpy(pixels[row, place])[None]))[0] for row, place in ((0, 0), (1, 2))
        )
    assert float(one @ other) == pytest.approx(float(visible @ thermal), abs=1e-5)


@pytest.mark.parametrize("missing", ["mean", "zero"])
def test_a_missing_spectrum_gives_no_gradient_that_is_not_finite(missing):
    own = tower().requires_grad_(True)
    _, holed = observations(PATTERNS)
    SpectralEncoder(own, ALL, missing=missing)(holed).projected.square().sum().backward()
    gradients = [value.grad for value in own.parameters() if value.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_single_nan_marks_a_spectrum_as_missing():
    own = tower()
    _, holed = observations(np.array([[True, True, False]]))
    few = torch.where(holed.isnan(), 0.5, holed)
    few[0, 7, 3, 2] = torch.nan
    encoder = SpectralEncoder(own, ALL)
    with torch.no_grad():
        assert torch.equal(encoder(few).projected, encoder(holed).projected)


def test_the_widths_the_sizes_and_the_cameras_are_said():
    own = tower()
    encoder = SpectralEncoder(own, ("rgb", "tir"), missing="zero")
    assert (encoder.width, encoder.embed_dim) == (2 * own.width, 2 * own.embed_dim)
    encoder.join = "mean"
    assert (encoder.width, encoder.embed_dim) == (own.width, own.embed_dim)
    assert encoder.config == {**own.config, "spectra": ["rgb", "tir"], "missing": "zero"}
    encoder.learn_cameras(["c", "d", "e"], 0)
    assert encoder.cameras == own.cameras == ("c", "d", "e")
    assert encoder.camera_rows(["e", ""]).tolist() == [2, -1]
    assert encoder.geometry == own.geometry


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="this encoder takes 9 channels"):
        SpectralEncoder(tower(), ALL)(torch.zeros(2, 6, 32, 16))


def test_what_is_filled_keeps_what_is_there():
    vectors = torch.tensor([[[1.0, 2], [3, 4], [50, 60]], [[1, 1], [2, 2], [3, 3]]])
    gone = torch.tensor([[False, False, True], [True, False, True]])
    assert filled(vectors, gone).tolist() == [[[1, 2], [3, 4], [2, 3]], [[2, 2], [2, 2], [2, 2]]]
