"""A text as a picture: all of it is drawn where it fits, and nothing leaves the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scing_cli.core.figures.montage_style import FILL
from scing_cli.core.figures.words import MARGIN, SIZE, words_picture


@settings(deadline=None, max_examples=15)
@given(st.text(max_size=60))
@example("")
@example("x" * 600)
@example("a red coat " * 60)
def test_any_text_stays_inside_the_margin(text: str) -> None:
    pixels = np.asarray(words_picture(text))
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    inside = pixels[MARGIN // 2 : -MARGIN // 2, MARGIN // 2 : -MARGIN // 2]
    drawn, kept = (pixels != FILL).any(axis=2).sum(), (inside != FILL).any(axis=2).sum()
    assert drawn == kept


def test_a_longer_text_has_smaller_letters() -> None:
    def height_of_first_line(text: str) -> int:
        rows = (np.asarray(words_picture(text)) != FILL).any(axis=(1, 2))
        first = int(rows.argmax())
        return int((~rows[first:]).argmax())

    assert height_of_first_line("HHHH") > height_of_first_line("HHHH " * 90) > 0
