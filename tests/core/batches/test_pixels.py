from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scing_cli.core.batches import INTERPOLATIONS, black_value, normalise, resize
from scing_cli.core.encoders.geometry import STATISTICS
from scing_cli.core.errors import DataError, SettingError


def photo(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", sorted(INTERPOLATIONS))
@pytest.mark.parametrize("size", [(128, 64), (300, 111), (40, 30), (256, 128)])
def test_resizing_equals_torchvision_on_pillow_images(interpolation: str, size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    theirs = transforms.Resize((256, 128), transforms.InterpolationMode(interpolation))
    expected = transforms.PILToTensor()(theirs(photo(*size)))
    result = resize(photo(*size), 256, 128, interpolation)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, expected.numpy())
    batch = np.full((3, 3, 256, 128), 7, np.uint8)
    assert np.shares_memory(resize(photo(*size), 256, 128, interpolation, into=batch[1]), batch[1])
    np.testing.assert_array_equal(batch[1], result)
    assert (batch[::2] == 7).all()


def test_an_unknown_interpolation_and_another_mode() -> None:
    with pytest.raises(SettingError, match=r"'cubic' is unknown\.\nKnown: bicubic, bilinear"):
        resize(photo(4, 4), 8, 8, "cubic")
    with pytest.raises(DataError, match="mode L"):
        resize(photo(4, 4).convert("L"), 8, 8)


def test_normalising_follows_the_definition() -> None:
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    pixels = torch.randint(0, 256, (3, 3, 5, 4), dtype=torch.uint8)
    before = pixels.clone()
    expected = (pixels.double() / 255 - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(std).double().view(
        3, 1, 1
    )
    result = normalise(pixels, mean, std)
    assert result.dtype == torch.float32
    assert torch.allclose(result.double(), expected, atol=1e-6)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_arrays_and_tensors_get_the_same_bits(name: str) -> None:
    mean, std = STATISTICS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 8), np.uint8)
    before = pixels.copy()
    array, tensor = normalise(pixels, mean, std), normalise(torch.from_numpy(pixels), mean, std)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, tensor.numpy())
    np.testing.assert_array_equal(pixels, before)


def test_half_statistics_span_minus_one_to_one() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert normalise(ends, (0.5,) * 3, (0.5,) * 3)[0, :, 0].tolist() == [[-1.0, 1.0]] * 3


def test_black_value_is_what_black_becomes() -> None:
    mean, std = (0.48, 0.45, 0.40), (0.26, 0.25, 0.27)
    black = normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), mean, std).flatten()
    assert black.tolist() == pytest.approx(black_value(mean, std))


def test_each_spectrum_is_normalised_like_an_image_and_a_missing_one_is_nan() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 9, 5, 3), np.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    missing = np.array([[False, True, False], [True, False, True], [False] * 3, [False] * 3])
    plain = normalise(pixels.reshape(12, 3, 5, 3), mean, std)
    plain[missing.ravel()] = np.nan
    array, tensor = normalise(pixels, mean, std, missing), normalise(torch.from_numpy(pixels), mean, std, missing)
    np.testing.assert_array_equal(array, plain.reshape(4, 9, 5, 3))
    np.testing.assert_array_equal(tensor.numpy(), array)
    nothing = normalise(pixels, mean, std, np.zeros((4, 3), bool))
    np.testing.assert_array_equal(nothing, normalise(pixels, mean, std))
