"""Text in pictures: choose a font that has all letters, and shorten names to the width that there is."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
ELLIPSIS = "..."
FURTHER = (  # fonts of common systems, for letters that Pillow's font does not have
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("PingFang.ttc", "Arial Unicode.ttf", "msyh.ttc", "malgun.ttf", "YuGothM.ttc"),
)
NO_LETTER = "\U0010ffff"  # a code point for which fonts do not have a glyph


@functools.cache
def font(size: float) -> Font:
    """Return Pillow's built-in scalable font, or its small fixed font if Pillow was built without FreeType."""
    return ImageFont.load_default(size=size)


def direction(letters: Font) -> str | None:
    """Return the direction to draw a line with: left to right, or None if the layout engine has no directions."""
    # Without a fixed direction, a name in Arabic changes the order of the words around it.
    layout = getattr(letters, "layout_engine", ImageFont.Layout.BASIC)
    return "ltr" if layout == ImageFont.Layout.RAQM else None


def clean(text: str, letters: Font) -> str:
    r"""Return text as one line that a font can draw.

    Line breaks and other control characters become spaces. Bytes that are not Unicode (a file name in another encoding)
    become question marks; in the fixed font, so do all letters outside Latin-1.

    >>> clean("a\tb\n\udcff", font(12))
    'a b ?'
    """
    known = "utf-8" if isinstance(letters, ImageFont.FreeTypeFont) else "latin-1"
    whole = text.encode(known, "replace").decode(known)
    return "".join(letter if letter.isprintable() else " " for letter in whole)


def fit(text: str, width: float, size: float) -> tuple[str, Font]:
    """Return a text shortened to one line of at most `width` pixels, and the font to draw it with.

    Pillow's own font has few letters. A text with other letters gets the first system font that has all of them, or
    else the font that lacks the fewest. Letters that this font lacks lose their accents or become question marks.

    Args:
        text: Any text.
        width: Available width, in pixels.
        size: Font size, in pixels.
    """
    whole = clean(text, font(size))
    missing: dict[Font, set[str]] = {}
    for letters in _fonts(size):
        missing[letters] = _not_drawn(whole, letters)
        if not missing[letters]:
            break
    best = min(missing, key=lambda letters: len(missing[letters]))
    bases = {letter: unicodedata.normalize("NFKD", letter)[0] for letter in missing[best]}
    unknown = _not_drawn("".join(bases.values()), best)
    drawn = "".join("?" if bases.get(letter) in unknown else bases.get(letter, letter) for letter in whole)
    return shorten_middle(drawn, width, best), best


def _fonts(size: float) -> Iterator[Font]:
    """Yield Pillow's own font, then the fonts of `FURTHER` that are installed."""
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
    """Return the letters for which a font does not have a glyph: it draws them like `NO_LETTER`."""
    if not isinstance(letters, ImageFont.FreeTypeFont):
        return set()
    return {letter for letter in set(text) - {" "} if _mask(letters, letter) == _mask(letters, NO_LETTER)}


@functools.lru_cache(maxsize=4096)
def _mask(letters: ImageFont.FreeTypeFont, letter: str) -> bytes:
    return bytes(letters.getmask(letter))


def shorten_middle(text: str, width: float, letters: Font) -> str:
    """Return the text, without its middle if it is wider than `width` pixels.

    Args:
        text: One line. Both ends of a file name are more important than its middle.
        width: Available width, in pixels.
        letters: The font that the text is drawn with.
    """
    if letters.getlength(text) <= width:
        return text
    low, high = 0, len(text) - 1  # binary search for the number of letters: `low` fit, more than `high` do not
    while low < high:
        middle = (low + high + 1) // 2
        if letters.getlength(_without_middle(text, middle)) <= width:
            low = middle
        else:
            high = middle - 1
    return _without_middle(text, low)


def _without_middle(text: str, kept: int) -> str:
    """Keep `kept` letters, the greater half of them at the end.

    >>> _without_middle("0001_c1s1_001051_00.jpg", 10)
    '0001_...0.jpg'
    """
    end = (kept + 1) // 2
    return text[: kept - end] + ELLIPSIS + (text[-end:] if end else "")
