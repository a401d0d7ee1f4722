"""The strip of a ranking: positions, frames and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.figures import MontageHit, hits_that_fit, ranked_strip
from scing_cli.core.figures.montage import COLOURS
from scing_cli.core.figures.montage_style import FILL, PAPER, QUERY, Colour

SIZE = (800, 160)  # 80 columns of 10x20 pixels, 8 rows
FRAME, STEP, FIRST = 3, 13 + 74 + 2 * 3, 3 + 13 + 74 + 2 * 3 + 13
SHADES: list[Colour] = [(200, 20 * rank, 90) for rank in range(1, 11)]


def person(colour: Colour = (40, 90, 160)) -> Image.Image:
    return Image.new("RGB", (64, 128), colour)


def hits(number: int, verdict: bool | None = None) -> list[MontageHit]:
    return [MontageHit(person(shade), ("0.9", "a name"), verdict) for shade in SHADES[:number]]


def count(pixels: np.ndarray, colour: Colour) -> int:
    return int((pixels == np.array(colour, np.uint8)).all(axis=-1).sum())


@pytest.mark.parametrize("verdict", [True, False, None])
def test_frames_tell_the_query_and_right_from_wrong(verdict: bool | None) -> None:
    strip = np.asarray(ranked_strip(person(), hits(2, verdict), size=SIZE))
    around = 2 * FRAME * (74 + 148)
    assert count(strip[:, :FIRST], QUERY) >= around
    assert count(strip[:, FIRST:], QUERY) == 0
    assert count(strip[:, FIRST:], COLOURS[verdict]) > 2 * around
    for other in {True, False, None} - {verdict}:
        assert count(strip, COLOURS[other]) == 0
    edge = strip[FRAME : FRAME + 154, FIRST : FIRST + FRAME]
    assert count(edge, COLOURS[verdict]) == edge.shape[0] * edge.shape[1]


def test_hits_stand_in_their_order_as_many_as_fit() -> None:
    strip = np.asarray(ranked_strip(person(), hits(10), size=SIZE))
    assert hits_that_fit(SIZE) == 7
    assert strip.shape == (160, FIRST + 7 * STEP - 13 + FRAME, 3)
    for place in range(7):
        middle = strip[80, FIRST + place * STEP + 40]
        assert tuple(middle) == SHADES[place]
    assert tuple(strip[80, 40]) == (40, 90, 160)
    assert (strip[0] == PAPER).all()


def test_ranks_are_drawn() -> None:
    def corner(strip: Image.Image, place: int) -> bytes:
        left = FIRST + place * STEP + FRAME
        return strip.crop((left, 6, left + 14, 24)).tobytes()

    same = [MontageHit(person())] * 7
    strip = ranked_strip(person(), same, size=SIZE)
    assert len({corner(strip, place) for place in range(7)}) == 7
    assert all(count(np.frombuffer(corner(strip, place), np.uint8).reshape(-1, 3), PAPER) > 100 for place in range(7))


@pytest.mark.parametrize("unit", [1, 7, 9, 10, 20])
@pytest.mark.parametrize("height", [64, 128, 160, 320])
@pytest.mark.parametrize("number", [0, 1, 3, 10])
def test_sizes_are_what_was_asked_for(unit: int, height: int, number: int) -> None:
    size = (80 * unit, height)
    strip = ranked_strip(person(), hits(number), size=size, unit=unit)
    assert strip.mode == "RGB"
    assert strip.height == height
    assert strip.width % unit == 0
    if min(number, hits_that_fit(size)) > 1:  # one hit is always drawn
        assert strip.width <= size[0]


@pytest.mark.parametrize("height", [64, 160, 320])
def test_one_hit_more_would_not_fit(height: int) -> None:
    for width in range(4 * height, 5 * height, 7):
        fits = hits_that_fit((width, height))
        drawn = ranked_strip(person(), hits(10), size=(width, height)).width
        more = ranked_strip(person(), hits(fits + 1), size=(10 * width, height)).width
        assert drawn <= width < more


def test_a_picture_that_is_missing_leaves_its_place_empty() -> None:
    shown = hits(3, True)
    strip = np.asarray(ranked_strip(person(), [shown[0], MontageHit(None, (), True), shown[2]], size=SIZE))
    empty = strip[:, FIRST + STEP : FIRST + STEP + 80]
    assert count(empty, FILL) > 0.7 * 74 * 148
    assert tuple(strip[80, FIRST + 2 * STEP + 40]) == SHADES[2]


def test_no_hits_leave_the_query() -> None:
    strip = np.asarray(ranked_strip(person(), [], size=SIZE))
    assert strip.shape[1] < FIRST
    assert count(strip, (40, 90, 160)) > 0.8 * 74 * 148
