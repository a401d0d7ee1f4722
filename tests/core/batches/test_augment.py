from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.augment import augment

from scing_cli.core.batches.augment import Augmentation, Draws

CLIP_BLACK = (-1.792, -1.752, -1.481)
NONE = Augmentation(flip=0, erase=0, crop=0)


def batch(count: int = 4, height: int = 64, width: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(count))


def many(augmentation: Augmentation, count: int = 20_000, height: int = 256, width: int = 128) -> Draws:
    return augmentation.draw(count, height, width, 0, "statistics")


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 5),
    height=st.integers(3, 14),
    width=st.integers(3, 12),
    padding=st.integers(0, 4),
    chances=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 4),
    seed=st.integers(0, 10**6),
)
def test_a_batch_equals_the_loop_over_its_pixels(
    count: int, height: int, width: int, padding: int, chances: tuple[float, ...], seed: int
) -> None:
    flip, erase, crop, occlusion = chances
    made = Augmentation(flip, erase, crop, occlusion, padding, CLIP_BLACK)
    pixels = batch(count, height, width)
    draws = made.draw(count, height, width, seed)
    noise = torch.randn(3 * int(draws.erased[:, 2:].prod(axis=1).sum()))
    expected = augment(
        pixels.numpy(), **dataclasses.asdict(draws), noise=noise.numpy(), padding=padding, black=CLIP_BLACK
    )
    assert np.array_equal(made.apply(pixels, draws, noise).numpy(), expected)


def test_a_call_is_draw_and_apply() -> None:
    made = Augmentation(occlusion=0.5)
    pixels = batch(8)
    result = made(pixels, 1, "train-prompts", 2, 3, "view")
    draws = made.draw(8, 64, 32, 1, "train-prompts", 2, 3, "view")
    noise = np.zeros(3 * int(draws.erased[:, 2:].prod(axis=1).sum()), np.float32)
    expected = augment(pixels.numpy(), **dataclasses.asdict(draws), noise=noise, padding=10, black=(-1.0, -1.0, -1.0))
    erased = np.zeros(expected.shape, bool)
    for image, (top, left, high, wide) in enumerate(draws.erased):
        erased[image, :, top : top + high, left : left + wide] = True
    assert draws.erased.any()
    assert np.array_equal(result.numpy()[~erased], expected[~erased])
    values = result.numpy()[erased]
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05


def test_the_input_is_never_modified_nor_shared() -> None:
    pixels = batch()
    before = pixels.clone()
    for made in (Augmentation(1, 1, 1, 1), NONE):
        result = made(pixels, 0)
        result.zero_()
        assert torch.equal(pixels, before)


def test_nothing_to_do_changes_nothing() -> None:
    assert torch.equal(NONE(batch(), 0), batch())


def test_the_key_alone_decides() -> None:
    made = Augmentation(occlusion=0.5)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = made(batch(), 0, "train", 1, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(made(batch(), 0, "train", 1, 2), first)
    assert not torch.equal(made(batch(), 0, "train", 1, 3), first)


def test_each_image_has_its_own_draw() -> None:
    result = Augmentation(flip=0, erase=1, crop=1)(batch(1).expand(8, -1, -1, -1), 0)
    assert len({image.numpy().tobytes() for image in result}) == 8


def test_one_probability_leaves_the_other_draws_alone() -> None:
    plain, occluding = many(Augmentation(), 50), many(Augmentation(occlusion=0.5), 50)
    assert np.array_equal(plain.erased, occluding.erased)
    assert np.array_equal(plain.corner, occluding.corner)
    assert np.array_equal(plain.flip, occluding.flip)


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 1.0])
def test_probabilities(chance: float) -> None:
    draws = many(Augmentation(chance, chance, chance, chance))
    cropped = (draws.corner != 10).any(axis=1).mean()
    assert draws.flip.mean() == pytest.approx(chance, abs=0.015)
    assert draws.erased.any(axis=1).mean() == pytest.approx(chance, abs=0.015)
    assert draws.occluded.any(axis=1).mean() == pytest.approx(chance, abs=0.015)
    assert cropped == pytest.approx(chance * (1 - 1 / 441), abs=0.015)  # one place of 441 changes nothing


def test_flip_erase_and_crop_are_drawn_independently() -> None:
    draws = many(Augmentation(occlusion=0.5))
    done = np.stack([draws.flip, draws.erased.any(1), draws.occluded.any(1), (draws.corner != 10).any(1)])
    assert np.abs(np.corrcoef(done) - np.eye(4)).max() < 0.03


def test_the_crop_starts_anywhere_alike() -> None:
    corner = many(Augmentation(crop=1)).corner
    for axis in range(2):
        counts = np.bincount(corner[:, axis], minlength=21)
        assert len(counts) == 21
        assert np.abs(counts - 20_000 / 21).max() < 150  # standard deviation 30
    assert abs(np.corrcoef(corner.T)[0, 1]) < 0.03


def test_the_crop_moves_the_image_over_black() -> None:
    made = Augmentation(flip=0, erase=0, crop=1, padding=2, black=CLIP_BLACK)
    pixels = batch(1, 4, 4)
    draws = dataclasses.replace(made.draw(1, 4, 4), corner=np.array([[0, 3]]))
    result = made.apply(pixels, draws, torch.empty(0))
    assert torch.equal(result[0, :, 2:, :3], pixels[0, :, :2, 1:])
    assert torch.equal(result[0, :, 0, 0], torch.tensor(CLIP_BLACK))
    assert torch.equal(result[0, :, 3, 3], torch.tensor(CLIP_BLACK))


def test_the_erased_rectangle_has_the_stated_ranges() -> None:
    erased = many(Augmentation(erase=1)).erased
    top, left, high, wide = erased.T
    area, aspect = high * wide / (256 * 128), high / wide
    assert (erased[:, 2:] > 0).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + high <= 256).all()
    assert (left + wide <= 128).all()
    assert 0.019 < area.min() < 0.025
    assert 0.325 < area.max() < 0.339
    assert 0.29 < aspect.min() < 0.32
    assert 3.1 < aspect.max() < 3.45
    assert (top == 256 - high).any()  # the lower edge can be reached


def test_small_aspects_and_areas_are_as_likely_as_their_law_says() -> None:
    """Where every draw fits, area is uniform and aspect log-uniform."""
    _, _, high, wide = many(Augmentation(erase=1), height=400, width=400).erased.T
    assert np.median(high * wide / 160_000) == pytest.approx((0.02 + 1 / 3) / 2, abs=0.005)
    assert np.median(high / wide) == pytest.approx(1.0, abs=0.03)
    assert np.quantile(high / wide, 0.25) == pytest.approx(np.sqrt(0.3), abs=0.03)


def test_where_no_rectangle_fits_nothing_is_erased() -> None:
    assert not Augmentation(erase=1).draw(50, 1, 1, 0).erased.any()
    assert torch.equal(Augmentation(0, 1, 0)(batch(3, 1, 1), 0), batch(3, 1, 1))


def test_the_occlusion_comes_from_the_bottom_or_a_side() -> None:
    draws = many(Augmentation(occlusion=1))
    top, left, high, wide = draws.occluded.T
    bottom = wide == 128
    at_left, at_right = ~bottom & (left == 0), ~bottom & (left > 0)
    assert (top + high == 256).all()
    assert (high[~bottom] == 256).all()
    assert (left + wide)[at_right].tolist() == [128] * at_right.sum()
    for edge in (bottom, at_left, at_right):
        assert edge.mean() == pytest.approx(1 / 3, abs=0.015)
    assert (high[bottom].min(), high[bottom].max()) == (51, 128)
    assert (wide[~bottom].min(), wide[~bottom].max()) == (26, 64)
    assert high[bottom].mean() == pytest.approx(0.35 * 256, abs=1)


def test_the_occlusion_shows_another_image_of_the_batch() -> None:
    counts = np.zeros((6, 6))
    for step in range(600):
        counts[np.arange(6), Augmentation().draw(6, 8, 8, step).occluder] += 1
    assert (np.diag(counts) == 0).all()
    assert (np.abs(counts[~np.eye(6, dtype=bool)] - 120) < 50).all()  # standard deviation 10
    flat = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 10, 10)
    result = Augmentation(0, 0, 0, occlusion=1)(flat, 0)
    for image in range(4):
        shown = set(result[image].unique().tolist())
        assert len(shown) == 2
        assert image in shown


def test_a_batch_of_one_is_occluded_by_black() -> None:
    result = Augmentation(0, 0, 0, occlusion=1, black=CLIP_BLACK)(torch.zeros(1, 3, 10, 10), 0)
    assert result[0, :, 9].amin(dim=1).tolist() == pytest.approx(CLIP_BLACK)
    assert result.unique().numel() == 4


def test_type_and_size_are_kept() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        result = Augmentation(occlusion=0.5)(batch(3, 20, 10).to(dtype), 0)
        assert (result.dtype, result.shape) == (dtype, (3, 3, 20, 10))
    assert Augmentation(occlusion=1)(torch.empty(0, 3, 20, 10), 0).shape == (0, 3, 20, 10)


def test_no_graph_is_kept() -> None:
    assert not Augmentation(1, 1, 1, 1)(batch().requires_grad_(), 0).requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_another_device_draws_the_same_geometry() -> None:
    made = Augmentation(erase=0, occlusion=0.5)
    assert torch.equal(made(batch(8).cuda(), 0, 1).cpu(), made(batch(8), 0, 1))
    assert torch.isfinite(Augmentation(erase=1)(batch(8).cuda(), 0, 1)).all()


def spectra(count: int = 5, missing: tuple[tuple[int, int], ...] = ((0, 1), (1, 2), (3, 0), (3, 1))) -> torch.Tensor:
    """Observations of three spectra, some of them missing: (B, 9, H, W)."""
    pixels = torch.randn(count, 3, 3, 14, 12, generator=torch.Generator().manual_seed(count))
    for row, place in missing:
        pixels[row, place] = torch.nan
    return pixels.flatten(1, 2)


@pytest.mark.parametrize("seed", range(8))
def test_spectra_share_what_moves_pixels_and_are_erased_on_their_own(seed: int) -> None:
    made = Augmentation(0.5, 0.7, 0.5, 0.7, 2, CLIP_BLACK)
    pixels = spectra()
    draws = made.draw(5, 14, 12, seed, "step")
    own = made.draw(15, 14, 12, seed, "step", "spectra").erased
    draws = dataclasses.replace(draws, erased=own)
    noise = torch.randn(3 * int(own[:, 2:].prod(axis=1).sum()))
    expected = augment(pixels.numpy(), **dataclasses.asdict(draws), noise=noise.numpy(), padding=2, black=CLIP_BLACK)
    np.testing.assert_array_equal(made.apply(pixels, draws, noise).numpy(), expected)
    called = made(pixels, seed, "step").numpy()
    erased = np.zeros((15, 3, 14, 12), bool)
    for image, (top, left, high, wide) in enumerate(own):
        erased[image, :, top : top + high, left : left + wide] = True
    erased = erased.reshape(called.shape)
    np.testing.assert_array_equal(called[~erased], expected[~erased])
    assert np.isfinite(called[erased]).all()


def test_boxes_of_an_observation_differ_between_its_spectra() -> None:
    pixels = torch.full((6, 9, 64, 32), 100.0)
    images = Augmentation(flip=0, erase=1, crop=0)(pixels, 4).view(6, 3, 3, 64, 32)
    boxes = {(image.ne(100).any(0)).numpy().tobytes() for image in images.flatten(0, 1)}
    assert len(boxes) == 18


def test_independent_spectra_are_augmented_like_ordinary_images() -> None:
    made = Augmentation(0.5, 0.5, 0.5, 0.5, 2, CLIP_BLACK)
    own = dataclasses.replace(made, independent=True)
    pixels = spectra(missing=())
    found = own(pixels, 3, "step")
    assert torch.equal(found, made(pixels.view(15, 3, 14, 12), 3, "step").view(5, 9, 14, 12))
    assert not torch.equal(found, made(pixels, 3, "step"))


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_what_is_missing_stays_missing_and_nothing_else_becomes_so(independent: bool, count: int) -> None:
    missing = ((0, 1), (1, 2), (3, 0), (3, 1)) if count > 1 else ((0, 1), (0, 2))
    made = Augmentation(1, 1, 1, 1, 3, independent=independent)
    for seed in range(20):
        result = made(spectra(count, missing), seed).view(count, 3, -1).isnan().any(2)
        assert sorted(map(tuple, result.nonzero().tolist())) == sorted(missing)


def test_one_spectrum_is_an_ordinary_image() -> None:
    pixels = batch(6)
    plain, own = Augmentation(occlusion=0.5), Augmentation(occlusion=0.5, independent=True)
    assert torch.equal(plain(pixels, 1), own(pixels, 1))


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 6),
    spectra=st.sampled_from([1, 3]),
    independent=st.booleans(),
    occlusion=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_some_images_are_as_they_are_in_the_whole_batch(count, spectra, independent, occlusion, seed, data) -> None:
    own = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8))  # repeated and in any order
    made = Augmentation(occlusion=occlusion, padding=3, independent=independent)
    pixels = torch.randn(count, 3 * spectra, 12, 9, generator=torch.Generator().manual_seed(seed))
    if spectra == 3:
        pixels[0, 3:6] = torch.nan  # a missing spectrum
    whole = made(pixels, seed, "view")
    np.testing.assert_array_equal(made(pixels, seed, "view", own=own).numpy(), whole[own].numpy())
