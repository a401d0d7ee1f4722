"""Heat over images: where it is drawn, how much of the image remains visible, and the colour key."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.figures import MontageHit, overlay, ranked_montage, saliency_montage
from scing_cli.core.figures.heat import RAMP, TITLE, ramp
from scing_cli.core.figures.montage_style import FAINT

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green and blue


def warmth(picture: Image.Image) -> np.ndarray:
    """Red less blue: 0 where an image is grey."""
    pixels = np.asarray(picture).astype(int)
    return pixels[..., 0] - pixels[..., 2]


def hot(row: int, column: int) -> np.ndarray:
    heat = np.zeros((16, 8), np.float32)
    heat[row, column] = 0.003
    return heat


@pytest.mark.parametrize(("row", "column"), [(3, 1), (12, 6), (8, 4)])
@pytest.mark.parametrize("size", [(80, 160), (100, 100), (8, 16)])
def test_heat_lies_where_the_map_has_it(row: int, column: int, size: tuple[int, int]) -> None:
    shown = overlay(Image.new("RGB", size, (120, 120, 120)), hot(row, column))
    light, warm = (
        np.asarray(shown).astype(int)[..., :2].sum(axis=2),
        warmth(shown),
    )  # yellow is lightest, orange warmest
    y, x = np.argwhere(light == light.max()).mean(axis=0)
    assert y == pytest.approx((row + 0.5) * size[1] / 16 - 0.5, abs=1)
    assert x == pytest.approx((column + 0.5) * size[0] / 8 - 0.5, abs=1)
    assert warm.max() > 90
    far = np.ones(size[::-1], bool)
    far[int((row - 3) * size[1] / 16) : int((row + 4) * size[1] / 16)] = False
    assert not warm[far].any()


def test_heat_is_measured_by_the_images_own_greatest() -> None:
    image, heat = Image.new("RGB", (30, 60), (90, 90, 90)), np.random.default_rng(0).random((16, 8))
    assert overlay(image, heat).tobytes() == overlay(image, 8 * heat).tobytes()
    assert not warmth(overlay(image, np.zeros((16, 8)))).any()


def test_the_drawing_stays_to_be_seen_under_the_greatest_heat() -> None:
    stripes = np.zeros((60, 30, 3), np.uint8)
    stripes[::20] = stripes[1::20] = stripes[2::20] = 255
    shown = np.asarray(overlay(Image.fromarray(stripes), np.ones((16, 8)))).astype(int)
    assert (shown[0] - shown[10]).min() > 40


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_any_mode_is_overlaid_and_left_as_it_was(mode: str) -> None:
    given = Image.new("RGB", (30, 60), (200, 30, 30)).convert(mode)
    before = given.tobytes()
    shown = overlay(given, hot(8, 4))
    assert (shown.mode, shown.size) == ("RGB", (30, 60))
    assert (given.mode, given.tobytes()) == (mode, before)


def test_more_heat_is_lighter_by_nearly_equal_steps() -> None:
    colours = ramp(np.linspace(0, 1, 21))
    assert colours[0] == pytest.approx(RAMP[0])
    assert colours[-1] == pytest.approx(RAMP[-1])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ LUMINANCE) - 16  # CIE L*
    steps = np.diff(lightness)
    assert steps.min() > 1
    assert steps.max() < 5


@pytest.mark.parametrize("count", [0, 1, 10, 12])
def test_the_key_stands_above_the_ranking_and_moves_it_down(count: int) -> None:
    image = overlay(Image.new("RGB", (64, 128), (90, 90, 90)), hot(8, 4))
    hits = [[MontageHit(image, ("0.9", "id", "name"))] * count]
    plain, keyed = ranked_montage([(image, "q")], hits), saliency_montage([(image, "q")], hits)
    titled = ranked_montage([(image, "q")], hits, title=TITLE)
    assert keyed.width == plain.width
    more = keyed.height - plain.height
    assert 20 < more < 60
    head = 62  # the title with its rows of space
    ranking = (0, head, plain.width, plain.height)
    assert keyed.crop((0, head + more, keyed.width, keyed.height)).tobytes() == plain.crop(ranking).tobytes()
    assert keyed.crop((0, 0, keyed.width, 44)).tobytes() == titled.crop((0, 0, keyed.width, 44)).tobytes()
    assert warmth(keyed.crop((0, 44, keyed.width, head + more - 4))).max() > 100
    written = np.argwhere((np.asarray(keyed)[46 : head + more - 4] == FAINT).all(axis=-1))
    assert len(written) > 0
    assert written[:, 1].max() < keyed.width - 20
