"""Names in pictures: whatever letters they have, in the room there is."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from scing_cli.core.figures import lettering
from scing_cli.core.figures.lettering import Font, clean, direction, fit, font, shorten_middle


def test_names_are_shortened_in_the_middle_as_little_as_needed() -> None:
    letters = font(12)
    name = "0001_c1s1_001051_00_of_a_rather_long_name.jpg"
    assert shorten_middle(name, 10_000, letters) == name
    for width in (30, 60, 90, 150):
        shown = shorten_middle(name, width, letters)
        start, end = shown.split("...")
        assert name.startswith(start)
        assert name.endswith(end)
        assert letters.getlength(shown) <= width
        assert 0 <= len(end) - len(start) <= 1
        longer = name[: len(name[: len(start) + 1])] + "..." + name[-len(end) - 1 :]
        assert letters.getlength(longer) > width
    assert shorten_middle(name, 0, letters) == "..."


def test_control_characters_and_broken_text_become_drawable() -> None:
    assert clean("a\tb\nc\udcff", font(12)) == "a b c?"
    assert clean("ゆき é", ImageFont.load_default_imagefont()) == "?? é"
    assert doctest.testmod(lettering).failed == 0


def test_a_plain_name_is_drawn_in_pillows_own_font() -> None:
    assert fit("0001_c1s1_001051_00.jpg", 500, 12) == ("0001_c1s1_001051_00.jpg", font(12))


def test_other_letters_are_drawn_in_a_font_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Rich(ImageFont.FreeTypeFont):
        """Pillow's own font, which says that it has more letters."""

        def __init__(self) -> None:
            self.font = font(12).font

        def getmask(self, text: str, *rest: object, **options: object) -> bytes:  # type: ignore[override]
            return b"drawn" if text == "Ä" else font(12).getmask(text)  # type: ignore[return-value]

    rich = Rich()
    monkeypatch.setattr(lettering, "_system_font", lambda name, size: asked.append((name, size)) or rich)
    text, letters = fit("Ärzte", 500, 12)
    assert (text, letters) == ("Ärzte", rich)
    assert asked == [(lettering.FURTHER[0], 12)]


def test_where_no_font_has_them_accents_go_and_others_become_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_system_font", lambda name, size: None)
    assert fit("Ännä é ゆき 1", 500, 12)[0] == "Anna e ?? 1"
    assert fit("Ännä" * 90, 60, 12)[0].count("...") == 1
    fixed = ImageFont.load_default_imagefont()
    monkeypatch.setattr(lettering, "font", lambda size: fixed)
    assert fit("ゆき é", 500, 12) == ("?? é", fixed)


def test_a_font_that_is_not_there_is_passed_over() -> None:
    assert lettering._system_font("no such font.ttf", 12) is None


def test_a_name_from_right_to_left_moves_no_word_beside_it() -> None:
    shown, letters = fit("\u05d0\u05d1\u05d2, camera", 500, 24)
    if direction(letters) is None or "?" in shown:
        pytest.skip("no letters from right to left can be drawn here")
    whole, word = drawn(shown, letters, direction(letters)), drawn("camera", letters, direction(letters))
    at_the_right = whole[:, -word.shape[1] :]
    assert np.corrcoef(at_the_right.ravel(), word.ravel())[0, 1] > 0.8
    elsewhere = drawn(shown, letters, None)[:, -word.shape[1] :]
    assert np.corrcoef(elsewhere.ravel(), word.ravel())[0, 1] < 0.5


def drawn(text: str, letters: Font, way: str | None) -> np.ndarray:
    """A line as it is drawn, without what is empty beside it: shape (40, width of the ink)."""
    picture = Image.new("L", (400, 40))
    ImageDraw.Draw(picture).text((5, 5), text, 255, letters, direction=way)
    pixels = np.asarray(picture, dtype=float)
    ink = np.flatnonzero(pixels.any(axis=0))
    return pixels[:, ink[0] : ink[-1] + 1]
