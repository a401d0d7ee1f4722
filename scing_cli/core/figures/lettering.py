"""Text in pictures: Pillow's own font, and names that fit their place."""

from __future__ import annotations

import functools

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
ELLIPSIS = "..."


@functools.cache
def font(size: float) -> Font:
    """Return Pillow's built-in scalable font; where Pillow lacks FreeType, its small fixed one."""
    return ImageFont.load_default(size=size)


def clean(text: str, letters: Font) -> str:
    r"""Return text on one line that a font can be asked to draw.

    Line breaks and other control characters become spaces; what is no Unicode text (a file name in another encoding)
    becomes a question mark, and so does, in the fixed font, what is not Latin.

    >>> clean("a\tb\n\udcff", font(12))
    'a b ?'
    """
    known = "utf-8" if isinstance(letters, ImageFont.FreeTypeFont) else "latin-1"
    whole = text.encode(known, "replace").decode(known)
    return "".join(letter if letter.isprintable() else " " for letter in whole)


def shorten_middle(text: str, width: float, letters: Font) -> str:
    """Return the text, its middle left out where it is wider than `width` pixels: both ends of a file name matter.

    Args:
        text: One line.
        width: The room there is, pixels.
        letters: The font it will be drawn in.
    """
    if letters.getlength(text) <= width:
        return text
    low, high = 0, len(text) - 1  # how many letters stay: `low` fit, more than `high` do not
    while low < high:
        middle = (low + high + 1) // 2
        if letters.getlength(_without_middle(text, middle)) <= width:
            low = middle
        else:
            high = middle - 1
    return _without_middle(text, low)


def _without_middle(text: str, kept: int) -> str:
    """Keep so many letters, the greater half of them at the end.

    >>> _without_middle("0001_c1s1_001051_00.jpg", 10)
    '0001_...0.jpg'
    """
    end = (kept + 1) // 2
    return text[: kept - end] + ELLIPSIS + (text[-end:] if end else "")
