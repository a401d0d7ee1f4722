"""The ranked montage: positions of everything drawn, for any picture and any name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from scing_cli.core.figures import DARK, PAGE_LAYOUT, MontageHit, lettering, montage, ranked_montage
from scing_cli.core.figures.montage import COLOURS
from scing_cli.core.figures.montage_style import QUERY


def person(mode: str = "RGB", size: tuple[int, int] = (64, 128)) -> Image.Image:
    picture = Image.new("RGB", size, (150, 160, 170))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((24, 8, 40, 26), fill=(224, 180, 150))
    draw.rectangle((18, 28, 46, 70), fill=(40, 90, 160))
    draw.rectangle((22, 70, 42, 118), fill=(60, 50, 40))
    return picture.convert(mode)


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == np.array(colour, dtype=np.uint8)).all(axis=-1).sum())


def hits(number: int, verdict: bool | None = None) -> list[MontageHit]:
    return [MontageHit(person(), (f"{0.9 - 0.01 * i:.4f}", "id 1 · cam 2", "0001.jpg"), verdict) for i in range(number)]


@pytest.mark.parametrize("verdict", [True, False, None])
def test_a_verdict_frames_the_hit_in_its_colour(verdict: bool | None) -> None:
    picture = ranked_montage([(person(), "query.jpg")], [hits(1, verdict)])
    around = 2 * 4 * (128 + 256)  # a frame 4 pixels wide
    assert count(picture, COLOURS[verdict]) > around
    assert count(picture, QUERY) > around
    for other in {True, False, None} - {verdict}:
        assert count(picture, COLOURS[other]) == 0


def test_verdicts_differ_without_colour_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(montage, "COLOURS", dict.fromkeys(COLOURS, (90, 90, 90)))
    monkeypatch.setattr(montage, "MEANINGS", dict.fromkeys(COLOURS, "same"))
    pictures = {ranked_montage([(person(), "q")], [hits(1, verdict)]).tobytes() for verdict in (True, False, None)}
    assert len(pictures) == 3


def test_every_hit_is_drawn_and_lines_hold_ten() -> None:
    def frames(number: int) -> tuple[int, int, int]:
        picture = ranked_montage([(person(), "q")], [hits(number, True)])
        return picture.width, picture.height, count(picture, COLOURS[True])

    (width10, height10, green10), (width11, height11, green11) = frames(10), frames(11)
    assert width10 == width11
    assert height11 > height10 + 256
    assert green11 > green10 + 2 * 4 * (128 + 256)
    assert width10 < 1800


@pytest.mark.parametrize(("queries", "k"), [(1, 1), (20, 1), (3, 25), (20, 50)])
def test_sizes_stay_sensible(queries: int, k: int) -> None:
    small = MontageHit(person(size=(16, 32)), ("0.5", "id", "name"))
    picture = ranked_montage([(person(), "q")] * queries, [[small] * k] * queries)
    assert picture.mode == "RGB"
    assert picture.width <= 1800
    assert picture.height <= max(450 * queries * -(-k // 10), 22000)
    assert picture.width * picture.height < 40e6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I", "F"])
def test_any_mode_is_drawn_and_left_as_it_was(mode: str) -> None:
    given = person("L").convert(mode) if mode in {"LA", "I", "F"} else person(mode)
    before = given.tobytes()
    assert ranked_montage([(given, "q")], [[MontageHit(given)]]).size[0] > 400
    assert (given.mode, given.tobytes()) == (mode, before)


@pytest.mark.parametrize("size", [(1, 1), (400, 10), (10, 400), (3000, 2000)])
def test_any_shape_stays_inside_its_frame(size: tuple[int, int]) -> None:
    red = Image.new("RGB", size, (255, 0, 0))
    picture = ranked_montage([(person(), "q")], [[MontageHit(red, (), None)]])
    found = np.argwhere((np.asarray(picture) == (255, 0, 0)).all(axis=-1))
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0)
    assert right - left < 128
    assert bottom - top < 256


NAMES = [
    "ゆき.jpg",
    "Größe und Übergrößenträger_c1s1_000001_00.jpg",
    "\udcff\udcfe.png",
    "a\nb\tc\x00",
    "",
    "👩🏽‍🚀" * 30,
    "مرحبا",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scalable", [True, False])
def test_any_name_is_drawn(name: str, scalable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not scalable:  # a Pillow without FreeType has one small fixed font
        fixed = ImageFont.load_default_imagefont()
        for module in (montage, lettering):
            monkeypatch.setattr(module, "font", lambda size: fixed)
    picture = ranked_montage([(person(), name)], [[MontageHit(person(), (name, name), True)]])
    assert picture.width > 400


def test_a_picture_that_is_missing_and_a_ranking_that_is_empty_are_said() -> None:
    empty = ranked_montage([(person(), "q")], [[]])
    missing = ranked_montage([(person(), "q")], [[MontageHit(None, ("0.9",), False)]])
    assert count(empty, (108, 117, 125)) > 0  # the words
    assert count(missing, COLOURS[False]) > 0


def test_queries_and_rankings_must_fit() -> None:
    with pytest.raises(ValueError, match="1 queries, 2 rankings"):
        ranked_montage([(person(), "q")], [[], []])
    with pytest.raises(ValueError, match="0 queries"):
        ranked_montage([], [])


def test_the_same_input_gives_the_same_picture() -> None:
    first, second = (ranked_montage([(person(), "q")], [hits(3, True)]) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_query_has_as_many_lines_as_it_is_given() -> None:
    one, three = (
        ranked_montage([(person(), lines)], [hits(1)]) for lines in ("a.jpg", ["0001, camera 2", "in x", "a.jpg"])
    )
    assert three.height > one.height


def test_a_page_has_five_hits_per_line_and_letters_of_twelve_pixels() -> None:
    ten, five = (ranked_montage([(person(), "q")], [hits(number, True)], layout=PAGE_LAYOUT) for number in (10, 5))
    assert ten.width == five.width <= 1152
    assert ten.height > five.height + 288
    assert PAGE_LAYOUT.style is not None
    assert PAGE_LAYOUT.style.small >= 12


def test_a_dark_picture_differs_in_everything_but_pictures_and_verdicts() -> None:
    light, dark = (ranked_montage([(person(), "q")], [hits(3, True)], **own) for own in ({}, {"palette": DARK}))
    assert light.size == dark.size
    assert count(dark, DARK.paper) > 0.4 * dark.width * dark.height
    assert count(dark, (255, 255, 255)) < 500  # of the signs alone
    assert count(dark, COLOURS[True]) == pytest.approx(count(light, COLOURS[True]), rel=0.01)
