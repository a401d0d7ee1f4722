"""Draw a text as a picture, in place of a photo."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator

from PIL import Image, ImageDraw

from scing_cli.core.figures.lettering import direction, fit, font
from scing_cli.core.figures.montage_style import FILL, INK

SIZE = (160, 320)  # width and height in pixels, like a person's crop
LARGEST, SMALLEST = 22, 11  # font sizes in pixels
MARGIN = 10


def words_picture(text: str, size: tuple[int, int] = SIZE, *, top: int = 0) -> Image.Image:
    """Draw a text in the largest letters with which it fits; a text that is too long is cut.

    Args:
        text: Any text.
        size: Width and height, in pixels.
        top: Height that stays free at the top, for what a montage draws there, in pixels.

    Returns:
        An RGB picture.
    """
    width, height = size[0] - 2 * MARGIN, size[1] - top - 2 * MARGIN
    for letter in range(LARGEST, SMALLEST - 1, -1):
        lines = list(_lines(text, width, letter))
        room = max(height // (letter + 4), 1)
        if len(lines) <= room:
            break
    if len(lines) > room:
        lines = [*lines[: room - 1], f"{lines[room - 1]} ..."]
    picture = Image.new("RGB", size, FILL)
    draw = ImageDraw.Draw(picture)
    top += (size[1] - top - len(lines) * (letter + 4)) // 2
    for number, line in enumerate(lines):
        shown, letters = fit(line, width, letter)
        place = (MARGIN, top + number * (letter + 4))
        draw.text(place, shown, fill=INK, font=letters, direction=direction(letters))
    return picture


def _lines(text: str, width: int, letter: int) -> Iterator[str]:
    """Break a text at spaces into lines of at most `width` pixels; a longer word is broken at any letter."""
    letters = font(letter)
    line = ""
    for word in itertools.chain.from_iterable(_pieces(word, width, letter) for word in text.split()):
        longer = f"{line} {word}".strip()
        if letters.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
    yield line


def _pieces(word: str, width: int, letter: int) -> Iterator[str]:
    """Cut a word into pieces that fit."""
    letters = font(letter)
    while letters.getlength(word) > width and len(word) > 1:
        over = bisect.bisect_right(range(len(word)), width, lo=2, key=lambda n: math.ceil(letters.getlength(word[:n])))
        length = over - 1
        yield word[:length]
        word = word[length:]
    yield word
