"""Text in pictures: Pillow's own font, another where a name needs it, and names that fit their place."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
ELLIPSIS = "..."
FURTHER = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("PingFang.ttc", "Arial Unicode.ttf", "msyh.ttc", "malgun.ttf", "YuGothM.ttc"),
)
NO_LETTER = "\U0010ffff"
"""Fonts that systems have, for names with letters beyond those of Pillow's own; and what no font has a picture for."""


@functools.cache
def font(size: float) -> Font:
    """Return Pillow's built-in scalable font; where Pillow lacks FreeType, its small fixed one."""
    return ImageFont.load_default(size=size)


def direction(letters: Font) -> str | None:
    """Return the direction of a line in a font: a name in Arabic moves no word beside it; simple fonts have but one."""
    layout = getattr(letters, "layout_engine", ImageFont.Layout.BASIC)
    return "ltr" if layout == ImageFont.Layout.RAQM else None


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


def fit(text: str, width: float, size: float) -> tuple[str, Font]:
    """Return a name as it can be drawn, on one line of at most `width` pixels, and the font to draw it in.

    Pillow's own font knows few letters. A name with others is drawn in a font of the system that has them all; where
    there is none, in the one that lacks fewest: accents are left out then, and other letters become question marks.

    Args:
        text: Any text; see `clean`.
        width: The room there is, pixels.
        size: Of the letters, pixels.
    """
    whole = clean(text, font(size))
    lacks: dict[Font, set[str]] = {}
    for letters in _fonts(size):
        lacks[letters] = _not_drawn(whole, letters)
        if not lacks[letters]:
            break
    best = min(lacks, key=lambda letters: len(lacks[letters]))
    bases = {letter: unicodedata.normalize("NFKD", letter)[0] for letter in lacks[best]}
    unknown = _not_drawn("".join(bases.values()), best)
    drawn = "".join("?" if bases.get(letter) in unknown else bases.get(letter, letter) for letter in whole)
    return shorten_middle(drawn, width, best), best


def _fonts(size: float) -> Iterator[Font]:
    """Yield Pillow's own font, then those of `FURTHER` that this machine has."""
    yield font(size)
    for name in FURTHER:
        other = _system_font(name, size)
        if other is not None:
            yield other


@functools.cache
def _system_font(name: str, size: float) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except (OSError, ImportError):
        return None


def _not_drawn(text: str, letters: Font) -> set[str]:
    """Return the letters that a font shows as it shows what it has no picture for."""
    if not isinstance(letters, ImageFont.FreeTypeFont):
        return set()
    return {letter for letter in set(text) - {" "} if _mask(letters, letter) == _mask(letters, NO_LETTER)}


@functools.lru_cache(maxsize=4096)
def _mask(letters: ImageFont.FreeTypeFont, letter: str) -> bytes:
    return bytes(letters.getmask(letter))


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
