"""Images decoded once: the same batches as a loader that decodes them again and again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from devices import needs_gpu
from PIL import Image

from scing_cli.core.batches import ImageLoader
from scing_cli.core.batches.image_cache import DeviceImageCache
from scing_cli.core.errors import ImageError
from scing_cli.core.spectra import Observation, View

PLANS = ([[0, 1], [2, 0, 2]], [[3, 1, 4], [0]], [[4, 3], [2, 1], [0, 0]])
CPU = torch.device("cpu")


class Counting(ImageLoader):
    """Notes what it decodes."""

    def __init__(self, files):
        super().__init__(files, height=8, width=4, interpolation="bicubic", workers=2, ahead=1)
        self.decoded = []

    def _decode(self, file, place):
        self.decoded.append(self.files.index(file))
        super()._decode(file, place)


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (10, 6, 3), np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("available", [None, 5 * 3 * 8 * 4, 5 * 3 * 8 * 4 - 1])
def test_batches_are_those_of_the_loader(files, available):
    loader = Counting(files)
    held = DeviceImageCache(loader, CPU, available=available)
    plain = ImageLoader(files, height=8, width=4, interpolation="bicubic", workers=1)
    for plan in PLANS:
        for (rows, pixels, _), (expected_rows, expected, *_) in zip(
            held.batches(plan), plain.batches(plan), strict=True
        ):
            assert rows == expected_rows
            assert pixels.dtype == torch.uint8
            np.testing.assert_array_equal(pixels.numpy(), expected)
    fits = available != 5 * 3 * 8 * 4 - 1
    assert (sorted(loader.decoded) == [0, 1, 2, 3, 4]) == fits


def test_what_a_batch_is_changed_into_changes_no_other(files):
    held = DeviceImageCache(Counting(files), CPU)
    for _, pixels, _ in held.batches([[0, 1]]):
        before = pixels.clone()
        pixels.zero_()
    ((_, again, _),) = held.batches([[0, 1]])
    assert torch.equal(again, before)


def test_an_epoch_that_is_left_early_leaves_nothing_wrong(files):
    loader = Counting(files)
    held = DeviceImageCache(loader, CPU)
    batches = held.batches([[0], [1], [2], [3], [4]])
    next(batches)
    batches.close()
    plain = ImageLoader(files, height=8, width=4, interpolation="bicubic", workers=1)
    ((_, pixels, _),), ((_, expected, *_),) = held.batches([[4, 1, 0]]), plain.batches([[4, 1, 0]])
    np.testing.assert_array_equal(pixels.numpy(), expected)


def test_a_damaged_image_is_named_each_time(files):
    files[2].write_bytes(b"no picture")
    held = DeviceImageCache(Counting(files), CPU)
    for _ in range(2):
        with pytest.raises(ImageError, match=r"2\.png"):
            list(held.batches([[0, 1], [2, 3]]))


@needs_gpu
@pytest.mark.parametrize("available", [None, 0])
def test_a_gpu_is_given_what_the_cpu_is_given(files, available):
    held, expected = (
        DeviceImageCache(Counting(files), device, available=available) for device in (torch.device("cuda"), CPU)
    )
    for plan in PLANS:
        for (rows, pixels, _), (own, known, _) in zip(held.batches(plan), expected.batches(plan), strict=True):
            assert rows == own
            assert pixels.device.type == "cuda"
            assert pixels.dtype == torch.uint8
            assert torch.equal(pixels.cpu(), known)
    assert (held.cached is None) == (available == 0)


@pytest.mark.parametrize("available", [None, 0])
def test_what_an_observation_lacks_is_kept_with_its_pixels(files, available):
    sources = [Observation((View(files[0]), None)), Observation((View(files[1]), View(files[2]))), files[3]]
    options = {"height": 8, "width": 4, "interpolation": "bicubic", "workers": 1, "spectra": ("rgb", "nir")}
    held = DeviceImageCache(ImageLoader(sources, **options), CPU, available=available)
    for _ in range(2):
        (first, second) = held.batches([[1], [0, 1, 2, 0]])
        assert first.missing is None or not first.missing.any()
        assert second.missing.tolist() == [[False, True], [False, False], [False, True], [False, True]]
        (expected,) = ImageLoader(sources, **options).batches([[0, 1, 2, 0]])
        np.testing.assert_array_equal(second.pixels.numpy(), expected.pixels)
