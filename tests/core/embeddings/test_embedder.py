"""Files to vectors: in order, of unit length, the same whatever the batches; what is not finite is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from bound import bound_encoder
from oracles.spectral import joined
from PIL import Image
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.batches import normalise, resize
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.spectral import SpectralEncoder
from scing_cli.core.errors import DataError, ImageError, SettingError
from scing_cli.core.runtime import Silent
from scing_cli.core.spectra import Observation, View


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(draw.integers(0, 256, (40 + number, 20, 3), np.uint8)).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def embedder(clip, **changes):
    settings = {"kind": "projected", "device": torch.device("cpu"), "precision": "fp32", "batch_size": 3, "workers": 2}
    return TorchEmbedder(clip.image, **{**settings, **changes})


def one_by_one(clip, files, kind):
    """Every file alone through the plain pieces: the slow way."""
    rows = []
    for file in files:
        pixels = torch.from_numpy(resize(Image.open(file), 32, 16, "bicubic"))[None]
        with torch.no_grad():
            features = clip.image(normalise(pixels, (0.5,) * 3, (0.5,) * 3))
        joined = features.projected if kind == "projected" else torch.cat([features.cls, features.projected], dim=1)
        rows.append(F.normalize(joined, dim=1)[0].numpy())
    return np.array(rows)


@pytest.mark.parametrize("kind", ["projected", "concat"])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_equals_one_file_at_a_time(clip, files, kind, batch_size):
    found = embedder(clip, kind=kind, batch_size=batch_size).files(files, reporter=Silent(), text="embed")
    np.testing.assert_allclose(found, one_by_one(clip, files, kind), atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_follows_the_order_of_the_files(clip, files):
    one = embedder(clip)
    order = [4, 0, 6, 2]
    whole = one.files(files, reporter=Silent(), text="embed")
    part = one.files([files[place] for place in order], reporter=Silent(), text="embed")
    np.testing.assert_allclose(part, whole[order], atol=1e-6)


def test_images_and_files_give_the_same(clip, files):
    one = embedder(clip)
    images = [Image.open(file).convert("RGB") for file in files]
    np.testing.assert_allclose(one.images(images), one.files(files, reporter=Silent(), text="x"), atol=1e-6)


def test_no_file_gives_no_row(clip):
    assert embedder(clip, kind="concat").files([], reporter=Silent(), text="embed").shape == (0, 48)


def test_bf16_is_near_and_still_of_unit_length(clip, files):
    full, half = (embedder(clip, precision=kind).files(files, reporter=Silent(), text="x") for kind in ("fp32", "bf16"))
    assert (full * half).sum(1).min() > 0.99
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)


def test_vectors_that_are_not_finite_are_refused_and_named(files):
    broken = tiny_clip()
    with torch.no_grad():
        broken.image.proj.fill_(float("nan"))
    with pytest.raises(DataError, match=r"7 vectors are not finite, of .*0\.png"):
        embedder(broken).files(files, reporter=Silent(), text="embed")


def test_an_unreadable_file_is_named(clip, files, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        embedder(clip).files([*files, bad], reporter=Silent(), text="embed")


ALL = ("rgb", "nir", "tir")


def spectral(clip, *, missing="mean", spectra=ALL):
    encoder = SpectralEncoder(clip.image, spectra, missing=missing)
    return TorchEmbedder(encoder, kind="concat", device=torch.device("cpu"), precision="fp32", batch_size=3, workers=2)


@pytest.mark.parametrize("missing", ["mean", "zero"])
def test_observations_are_embedded_with_what_they_have(clip, files, missing):
    views = [(0, 1, 2), (3, None, None), (None, 4, None), (None, None, 5), (6, None, 1)]
    sources = [Observation(tuple(None if row is None else View(files[row]) for row in own)) for own in views]
    found = spectral(clip, missing=missing).files(sources, reporter=Silent(), text="embed")
    pixels = [
        [np.zeros((3, 32, 16)) if row is None else resize(Image.open(files[row]), 32, 16) / 127.5 - 1 for row in own]
        for own in views
    ]
    there = np.array([[row is not None for row in own] for own in views])
    expected = joined(clip.image, np.array(pixels), there, missing=missing, join="concat")
    rows = np.concatenate([expected["cls"], expected["projected"]], axis=1)
    np.testing.assert_allclose(found, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-5)
    assert found.shape == (5, 3 * 48)


def test_one_spectrum_gives_the_vectors_of_the_ordinary_model(clip, files):
    own = spectral(clip, spectra=("nir",)).files(
        [Observation((View(file),)) for file in files], reporter=Silent(), text="embed"
    )
    assert np.array_equal(own, embedder(clip, kind="concat").files(files, reporter=Silent(), text="embed"))


def test_an_image_is_the_visible_one_of_an_observation(clip, files):
    one = spectral(clip)
    images = [Image.open(file).convert("RGB") for file in files]
    expected = one.files([Observation((View(file), None, None)) for file in files], reporter=Silent(), text="embed")
    np.testing.assert_allclose(one.images(images), expected, atol=1e-6)
    np.testing.assert_allclose(one.files(files, reporter=Silent(), text="embed"), expected, atol=1e-6)


def test_the_descriptor_class_is_the_first_half_of_what_binds_spectra(clip):
    encoder, pixels = bound_encoder(), np.random.default_rng(1).integers(0, 256, (2, 9, 32, 16), np.uint8)
    clip = dataclasses.replace(clip, image=encoder)
    whole = embedder(clip).pixels(pixels, unit=False)
    own = embedder(clip, kind="class")
    assert (own.width, whole.shape) == (48, (2, 96))
    np.testing.assert_allclose(own.pixels(pixels, unit=False), whole[:, :48], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(own.pixels(pixels), axis=1), 1, atol=1e-6)
    assert embedder(clip, kind="concat").width == 96 + 3 * 32


def test_other_encoders_have_no_descriptor_class(clip):
    for encoder in (clip.image, SpectralEncoder(clip.image, ("rgb", "nir"))):
        with pytest.raises(SettingError, match="--descriptor class needs a model of --method dmpt"):
            embedder(dataclasses.replace(clip, image=encoder), kind="class")


def test_further_devices_share_the_batches_and_follow_the_weights(files):
    clip, others = tiny_clip(), (torch.device("cpu"), torch.device("cpu"))
    alone, spread = embedder(clip, batch_size=2), embedder(clip, batch_size=2, others=others)
    for _ in range(2):
        expected, found = (each.files(files, reporter=Silent(), text="embed") for each in (alone, spread))
        assert np.array_equal(found, expected)
        with torch.no_grad():
            clip.image.proj.mul_(torch.linspace(0.5, 2, clip.image.proj.shape[1]))
