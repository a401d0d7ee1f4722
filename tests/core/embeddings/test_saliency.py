"""Saliency: shares that add up, maps that are right for a class token, regions without which images are less alike."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.batches import normalise, resize
from scing_cli.core.embeddings.saliency import contributions, saliency
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.image import descriptor
from scing_cli.core.encoders.spectral import SpectralEncoder
from scing_cli.core.synthetic import write_world

KINDS = ("projected", "concat")


def score(encoder, images, targets, kind):
    with torch.no_grad():
        return (descriptor(encoder(images), kind) * targets).sum(dim=1)


def normal(encoder, pixels):
    return normalise(pixels, encoder.geometry.mean, encoder.geometry.std)


def blank(images):
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images)


def random_case(encoder, kind="projected", count=5):
    draw = torch.Generator().manual_seed(3)
    geometry = encoder.geometry
    pixels = torch.randint(0, 256, (count, 3, geometry.height, geometry.width), dtype=torch.uint8, generator=draw)
    width = encoder.embed_dim + (encoder.width if kind == "concat" else 0)
    return pixels, F.normalize(torch.randn(count, width, generator=draw), dim=1)


# What holds for any weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [8, 5, 2])  # side by side; overlapping, with pixels that no patch covers; much so
def test_the_shares_add_up_to_the_rise_of_the_score(kind, stride):
    encoder = tiny_clip(stride=stride).image
    pixels, targets = random_case(encoder, kind)
    shares = contributions(encoder, pixels, targets, kind=kind, steps=64)
    image = normal(encoder, pixels)
    rise = score(encoder, image, targets, kind) - score(encoder, blank(image), targets, kind)
    assert rise.abs().max() > 0.02
    torch.testing.assert_close(shares.sum(dim=(1, 2)), rise, atol=1e-3, rtol=0)
    rows, columns = ((number - 1) * stride + 8 for number in encoder.geometry.grid)  # no patch sees pixels beyond
    assert not shares[:, rows:].any()
    assert not shares[:, :, columns:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_finite_never_negative_and_of_the_images_size(kind):
    encoder = tiny_clip().image
    maps = saliency(encoder, *random_case(encoder, kind), kind=kind)
    assert (maps.shape, maps.dtype) == ((5, 32, 16), torch.float32)
    assert maps.isfinite().all()
    assert maps.min() == 0
    assert (maps.amax(dim=(1, 2)) > 0).all()


def test_an_image_of_one_colour_has_no_region():
    encoder = tiny_clip().image
    assert not saliency(encoder, torch.full((1, 3, 32, 16), 90, dtype=torch.uint8), torch.ones(1, 16)).any()


def test_a_region_is_found_where_it_is():
    """All of the image is of one colour but for a part of the lower left that keeps the image's mean."""
    encoder = tiny_clip(stride=4).image
    pixels = torch.full((1, 3, 32, 16), 100, dtype=torch.uint8)
    pixels[:, :, 20:26, 2:6] = 60
    pixels[:, :, 20:26:2, 2:6] = 140
    shares = contributions(encoder, pixels, torch.ones(1, 16))
    inside = shares[:, 20:26, 2:6].abs().sum()
    assert inside > 0
    assert shares.abs().sum() - inside < 1e-5 * inside


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    encoder = tiny_clip().image
    pixels, targets = random_case(encoder)
    together = saliency(encoder, pixels, targets)
    for place in range(5):
        alone = saliency(encoder, pixels[place : place + 1], targets[place : place + 1])
        torch.testing.assert_close(together[place : place + 1], alone, atol=1e-6, rtol=1e-3)
    turned = saliency(encoder, pixels, targets.roll(1, 0))
    assert (turned - together).abs().max() > 1e-3 * together.max()


def test_the_mean_of_targets_gives_the_mean_of_shares():
    encoder = tiny_clip().image
    pixels, targets = random_case(encoder)
    each = [contributions(encoder, pixels[:1], target[None]) for target in targets]
    whole = contributions(encoder, pixels[:1], targets.mean(dim=0, keepdim=True))
    torch.testing.assert_close(whole, torch.stack(each).mean(dim=0), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_is_left_as_it_was(training):
    encoder = tiny_clip().image.train(training)
    encoder.proj.requires_grad_(False)
    before = {name: (value.clone(), value.requires_grad) for name, value in encoder.named_parameters()}
    with torch.no_grad():
        maps = saliency(encoder, *random_case(encoder))
    assert not maps.requires_grad
    assert all(module.training is training for module in encoder.modules())
    for name, value in encoder.named_parameters():
        assert value.grad is None
        assert value.requires_grad is before[name][1]
        assert torch.equal(value, before[name][0])


def test_half_precision_around_it_changes_nothing():
    encoder = tiny_clip().image
    pixels, targets = random_case(encoder)
    plain = saliency(encoder, pixels, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(saliency(encoder, pixels, targets), plain)


@pytest.mark.parametrize("shape", [(5, 15), (4, 16), (16,)])
def test_targets_that_do_not_fit_are_refused(shape):
    encoder = tiny_clip().image
    with pytest.raises(ValueError, match=r"these need \(5, 16\)"):
        saliency(encoder, random_case(encoder)[0], torch.zeros(shape))


# What holds for an encoder that has learnt: drawn people, seen by two cameras


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Pairs of one person's images by two cameras: uint8 pixels of each side, (16, 3, 128, 64)."""
    folder = tmp_path_factory.mktemp("people") / "world"
    write_world(folder, identities=1, test_identities=16, cameras=2, images_per_camera=1, seed=4, workers=2)
    files = sorted((folder / "bounding_box_test").glob("*.jpg"))
    sides = [[file for file in files if re.search(rf"_c{camera}s", file.name)] for camera in (1, 2)]
    assert [file.name[:4] for file in sides[0]] == [file.name[:4] for file in sides[1]]
    return [torch.from_numpy(np.stack([resize(Image.open(file), 128, 64) for file in side])) for side in sides]


def hidden(images, where):
    """Images with some pixels, (B, H, W'), in the image's mean colour."""
    return torch.where(where[:, None], blank(images), images)


def top(maps, share):
    """The so many greatest values of each map, (B, H, W'), as True."""
    flat = maps.flatten(1)
    places = flat.topk(round(share * flat.shape[1]), dim=1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, places, value=True).view_as(maps)


def spread(values, geometry):
    """Values of patches, (B, h, w), on their pixels: the mean over the patches that cover one."""
    count, (rows, columns) = len(values), geometry.grid
    total, covering = torch.zeros(count, geometry.height, geometry.width), torch.zeros(geometry.height, geometry.width)
    for row in range(rows):
        for column in range(columns):
            y, x = (slice(n * geometry.stride, n * geometry.stride + geometry.patch) for n in (row, column))
            total[:, y, x] += values[:, row, column, None, None]
            covering[y, x] += 1
    return total / covering.clamp(min=1)


def occlusion(encoder, images, targets, kind):
    """The slow oracle, (B, h, w): how much the score falls when one patch after the other is hidden."""
    rows, columns = encoder.geometry.grid
    falls = torch.empty(len(images), rows, columns)
    for row in range(rows):
        for column in range(columns):
            one = torch.zeros(1, rows, columns)
            one[0, row, column] = 1
            where = spread(one, encoder.geometry).expand(len(images), -1, -1) > 0
            falls[:, row, column] = -score(encoder, hidden(images, where), targets, kind)
    return falls + score(encoder, images, targets, kind)[:, None, None]


def rank_correlation(one, other):
    """Spearman's, of each pair of rows."""
    ranks = [rows.argsort(1).argsort(1).double().numpy() for rows in (one, other)]
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)])


@pytest.mark.parametrize(("kind", "stride"), [("projected", None), ("concat", None), ("projected", 12)])
def test_without_the_salient_regions_images_are_less_alike(people, kind, stride):
    encoder = load_clip("scing-tiny", stride=stride).image
    query, hit = (normal(encoder, side) for side in people)
    with torch.no_grad():
        targets = descriptor(encoder(query), kind)
    cosines = score(encoder, hit, targets, kind)
    salient = top(saliency(encoder, people[1], targets, kind=kind), 0.25)
    falls = cosines - score(encoder, hidden(hit, salient), targets, kind)
    draw = torch.Generator().manual_seed(0)
    random = []
    for _ in range(5):
        anywhere = top(spread(torch.rand(len(hit), *encoder.geometry.grid, generator=draw), encoder.geometry), 0.25)
        random.append((cosines - score(encoder, hidden(hit, anywhere), targets, kind)).mean())
    by_oracle = top(spread(occlusion(encoder, hit, targets, kind), encoder.geometry), 0.25)
    oracle = cosines - score(encoder, hidden(hit, by_oracle), targets, kind)
    assert cosines.mean() > 0.6
    assert falls.mean() > 0.4
    assert falls.mean() > 6 * max(random)
    assert (falls > max(random)).float().mean() > 0.9
    assert falls.mean() > oracle.mean() + 0.05  # of patches hidden one by one: regions count together
    alone = score(encoder, hidden(hit, ~salient), targets, kind)
    assert alone.mean() > 0.9 * cosines.mean()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_agree_with_hiding_patch_after_patch(people, kind):
    encoder = load_clip("scing-tiny").image
    query, hit = (normal(encoder, side) for side in people)
    with torch.no_grad():
        targets = descriptor(encoder(query), kind)
    oracle = occlusion(encoder, hit, targets, kind).flatten(1)
    shares = F.avg_pool2d(contributions(encoder, people[1], targets, kind=kind)[:, None], 16).flatten(1)
    maps = F.avg_pool2d(saliency(encoder, people[1], targets, kind=kind)[:, None], 16).flatten(1)
    assert rank_correlation(shares, oracle).mean() > 0.5
    assert rank_correlation(maps, oracle).mean() > 0.4
    assert rank_correlation(shares, oracle.roll(1, 0)).mean() < 0.3  # of another person: a map is of its own image


def test_the_shares_of_all_spectra_add_up_and_a_missing_one_has_none():
    encoder = SpectralEncoder(tiny_clip().image, ("rgb", "nir", "tir"))
    draw = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 256, (2, 9, 32, 16), dtype=torch.uint8, generator=draw)
    missing = np.array([[False, True, True], [False] * 3])
    targets = F.normalize(torch.randn(2, 48, generator=draw), dim=1)
    shares = contributions(encoder, pixels, targets, steps=64, missing=missing)
    image = normalise(pixels, encoder.geometry.mean, encoder.geometry.std, missing)
    rise = score(encoder, image, targets, "projected") - score(encoder, blank(image), targets, "projected")
    assert rise.abs().min() > 0.002
    torch.testing.assert_close(shares.sum(dim=(1, 2)), rise, atol=1e-3, rtol=0)
