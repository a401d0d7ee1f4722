"""Draw a ranking as a strip for the terminal: the query at the left, then its first hits."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from scing_cli.core.figures.montage import COLOURS, Canvas, MontageHit
from scing_cli.core.figures.montage_style import PAPER, QUERY, Style

Size = tuple[int, int]


def hits_that_fit(size: Size) -> int:
    """Return how many hits fit next to the query.

    Args:
        size: Available width and height of the picture, in pixels.

    Returns:
        At least 1, however small the width.
    """
    style = _style(size[1])
    return max((size[0] - _left(style) + style.gap - style.frame) // style.step, 1)


def ranked_strip(query: Image.Image, hits: Sequence[MontageHit], *, size: Size, unit: int = 1) -> Image.Image:
    """Draw a query and its first hits, each with its rank and without captions.

    Args:
        query: The query's picture.
        hits: Best first; only the first `hits_that_fit(size)` are drawn.
        size: Available width and height of the picture, in pixels.
        unit: The width of the picture is a multiple of this, such as the width of a letter in the terminal.

    Returns:
        An RGB picture with the height of `size`, as wide as its hits need.
    """
    style = _style(size[1])
    drawn = hits[: hits_that_fit(size)]
    width = _left(style) + len(drawn) * style.step - style.gap + style.frame
    picture = Image.new("RGB", (-(-width // unit) * unit, size[1]), PAPER)
    canvas, edge = Canvas(picture, style), style.frame
    canvas.framed((edge, edge), query, QUERY)
    canvas.badge((edge, edge + style.height - style.letter - 6), "query")  # at the bottom, to leave the head visible
    if drawn:
        rule = _left(style) - style.gap
        canvas.rule((rule, edge, rule, size[1] - 1 - edge))
    for number, hit in enumerate(drawn):
        corner = (_left(style) + number * style.step, edge)
        canvas.framed(corner, hit.image, COLOURS[hit.verdict])
        canvas.marks(corner, number + 1, hit.verdict)
    return picture


def _style(height: int) -> Style:
    """Return the sizes for a strip of this height, with cells twice as high as wide."""
    frame = max(height // 50, 2)
    inside = max(height - 4 * frame, 2)
    return Style(width=inside // 2, height=inside, letter=max(height // 12, 9), frame=frame)


def _left(style: Style) -> int:
    """Return the left edge of the first hit."""
    return style.frame + style.step + style.gap
