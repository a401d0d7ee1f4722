"""Ranked montage: each query at the left, then its hits in rank order, with right and wrong ones marked.

Each verdict is shown as a colour and as a sign (tick, cross, question mark), so that it can be read without colours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from scing_cli.core.figures.lettering import direction, fit, font
from scing_cli.core.figures.montage_style import LIGHT, PAPER, Colour, Layout, Palette, Style

Verdict = bool | None

TITLE = "Query and its nearest images, best first"
COLOURS: dict[Verdict, Colour] = {True: (25, 135, 84), False: (200, 35, 51), None: (134, 142, 150)}
# Strokes in a unit square: a tick, a cross, a question mark.
SIGNS: dict[Verdict, tuple[tuple[tuple[float, float], ...], ...]] = {
    True: (((0.26, 0.54), (0.43, 0.70), (0.75, 0.32)),),
    False: (((0.31, 0.31), (0.69, 0.69)), ((0.69, 0.31), (0.31, 0.69))),
    None: (
        ((0.35, 0.36), (0.40, 0.25), (0.56, 0.23), (0.65, 0.34), (0.60, 0.45), (0.50, 0.52), (0.50, 0.62)),
        ((0.50, 0.72), (0.50, 0.80)),
    ),
}
MEANINGS: dict[Verdict, str] = {True: "same identity", False: "another identity", None: "identity not known"}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MontageHit:
    """One hit of a ranking.

    Args:
        image: The picture, or None if it cannot be read.
        caption: Lines of text below it, such as score, identity and camera, file name; the first is larger and darker.
        verdict: True for the query's person, False for another person, None if that is not known.
    """

    image: Image.Image | None
    caption: Sequence[str] = ()
    verdict: Verdict = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Key:
    """Colour key below the title.

    Args:
        strip: A small picture of the colours.
        lines: Lines of text at the right of the strip.
    """

    strip: Image.Image
    lines: Sequence[str]


def ranked_montage(
    queries: Sequence[tuple[Image.Image, str | Sequence[str]]],
    hits: Sequence[Sequence[MontageHit]],
    *,
    title: str = TITLE,
    key: Key | None = None,
    notes: Sequence[str] = (),
    layout: Layout | None = None,
    palette: Palette = LIGHT,
) -> Image.Image:
    """Draw queries and their ranked hits.

    Args:
        queries: Each query's picture and its title, such as its file name, or several lines.
        hits: For each query its hits, best first; ten per line.
        title: Title of the picture.
        key: Colour key, if the pictures contain colours that need one.
        notes: First line below each query instead of `Query`, such as its average precision.
        layout: Sizes and hits per line; None for ten per line, in sizes that fit their number.
        palette: The colours of the page.

    Returns:
        An RGB picture, 1,720 pixels wide for ten hits per query; the block of a query is at least 350 pixels high. With
        many lines the cells are smaller: 20 queries with 50 hits each take 1,300 x 20,000 pixels.

    Raises:
        ValueError: If there is no query, or the number of rankings differs from the number of queries.
    """
    if not queries or len(queries) != len(hits):
        raise ValueError(f"{len(queries)} queries, {len(hits)} rankings")
    layout = layout or Layout()
    style = layout.style or Style.fitting(sum(layout.lines(len(ranking)) for ranking in hits))
    titles = [[title] if isinstance(title, str) else list(title) for _, title in queries]
    texts = max([len(hit.caption) for ranking in hits for hit in ranking] + [1 + len(lines) for lines in titles])
    line_height = style.outer[1] + texts * style.line + 2 * style.gap
    columns = max(min(max(len(ranking) for ranking in hits), layout.per_line), 3)
    width = 2 * style.margin + style.step * (columns + 1) + style.gap
    heights = [layout.lines(len(ranking)) * line_height for ranking in hits]
    head, between = style.margin + 2 * style.line, 2 * style.gap
    head += style.line * len(key.lines) if key else 0
    height = head + sum(heights) + between * (len(heights) - 1) + style.gap
    canvas = Canvas(Image.new("RGB", (width, height), palette.paper), style, palette)
    canvas.heading(title, {hit.verdict for ranking in hits for hit in ranking})
    if key:
        canvas.key(key)
    top = head
    captions = notes or ["Query"] * len(queries)
    for (image, _), lines, caption, ranking, block in zip(queries, titles, captions, hits, heights, strict=True):
        if top > head:
            canvas.rule((style.margin, top - between, width - style.margin, top - between))
        query = MontageHit(image, (caption, *lines))
        canvas.ranking(query, ranking, top=top, line_height=line_height, per_line=layout.per_line)
        top += block + between
    return canvas.picture


class Canvas:
    """A montage while it is drawn."""

    def __init__(self, picture: Image.Image, style: Style, palette: Palette = LIGHT) -> None:
        self.picture = picture
        self.style = style
        self.palette = palette
        self.draw = ImageDraw.Draw(picture)
        self.letters = font(style.letter)

    def heading(self, title: str, verdicts: set[Verdict]) -> None:
        """Draw the title and, at the right, the meaning of the signs in use."""
        style, small = self.style, font(self.style.letter - 1)
        top, right = style.margin // 2 + 2, self.picture.width - style.margin
        self.draw.text((style.margin, top), title, fill=self.palette.ink, font=font(style.letter + 3))
        for verdict in (None, False, True):
            if verdict in verdicts:
                right -= int(small.getlength(MEANINGS[verdict]))
                self.draw.text((right, top + 3), MEANINGS[verdict], fill=self.palette.faint, font=small)
                right -= style.letter + 8
                self.sign((right, top + 2), style.letter + 2, verdict)
                right -= 2 * style.gap

    def key(self, key: Key) -> None:
        """Draw the colour key below the title, cut to the width of the picture."""
        style = self.style
        left, top = style.margin, style.margin // 2 + 2 + 2 * style.line
        self.picture.paste(key.strip, (left, top))
        left += key.strip.width + style.gap
        for number, line in enumerate(key.lines):
            shown, letters = fit(line, self.picture.width - style.margin - left, style.small)
            self.draw.text(
                (left, top + number * style.line), shown, self.palette.faint, letters, direction=direction(letters)
            )

    def ranking(
        self, query: MontageHit, hits: Sequence[MontageHit], *, top: int, line_height: int, per_line: int
    ) -> None:
        """Draw a query at the left, a rule, and its hits."""
        style = self.style
        self.cell((style.margin, top), query, self.palette.query)
        left = style.margin + style.step + style.gap
        rule = left - style.gap
        lines = Layout(per_line=per_line).lines(len(hits))
        self.rule((rule, top, rule, top + lines * line_height - 2 * style.gap))
        if not hits:
            self.draw.text((left, top + style.height // 2), "no match", fill=self.palette.faint, font=self.letters)
        for number, hit in enumerate(hits):
            line, column = divmod(number, per_line)
            corner = (left + column * style.step, top + line * line_height)
            self.cell(corner, hit, COLOURS[hit.verdict])
            self.marks(corner, number + 1, hit.verdict)

    def cell(self, corner: tuple[int, int], hit: MontageHit, colour: Colour) -> None:
        """Draw a framed picture and the lines below it."""
        style, (left, top), (width, height) = self.style, corner, self.style.outer
        self.framed(corner, hit.image, colour)
        for number, text in enumerate(hit.caption):
            size, colour = (style.small, self.palette.faint) if number else (style.letter, self.palette.ink)
            shown, letters = fit(text, width, size)
            position = (left, top + height + 4 + number * style.line)
            self.draw.text(position, shown, colour, letters, direction=direction(letters))

    def framed(self, corner: tuple[int, int], image: Image.Image | None, colour: Colour) -> None:
        """Draw a picture, whole and centred, in a frame. If it is None, the frame says `no picture`."""
        style, (left, top), (width, height) = self.style, corner, self.style.outer
        box = (left, top, left + width - 1, top + height - 1)
        self.draw.rectangle(box, fill=self.palette.fill, outline=colour, width=style.frame)
        if image is None:
            middle = left + (width - self.letters.getlength("no picture")) / 2
            self.draw.text((middle, top + height // 2), "no picture", fill=self.palette.faint, font=self.letters)
        else:
            inside = ImageOps.contain(image.convert("RGB"), (style.width, style.height), Image.Resampling.LANCZOS)
            self.picture.paste(inside, (left + (width - inside.width) // 2, top + (height - inside.height) // 2))

    def marks(self, corner: tuple[int, int], rank: int, verdict: Verdict) -> None:
        """Draw a hit's rank and the sign of its verdict in the upper corners of its picture."""
        self.badge(corner, str(rank))
        size = self.style.letter + 6
        right = corner[0] + self.style.frame + self.style.width - 3
        self.sign((right - size, corner[1] + self.style.frame + 2), size, verdict)

    def badge(self, corner: tuple[int, int], text: str) -> None:
        """Draw a short text in the upper left corner of a picture."""
        left, top = corner[0] + self.style.frame, corner[1] + self.style.frame
        right = left + int(self.letters.getlength(text)) + 8
        self.draw.rectangle((left, top, right, top + self.style.letter + 5), fill=self.palette.paper)
        self.draw.text((left + 4, top + 1), text, fill=self.palette.ink, font=self.letters)

    def rule(self, line: tuple[int, int, int, int]) -> None:
        """Draw a thin line."""
        self.draw.line(line, fill=self.palette.rule)

    def sign(self, corner: tuple[int, int], size: int, verdict: Verdict) -> None:
        """Draw the sign of a verdict: a white tick, cross or question mark on a disc of its colour."""
        left, top = corner
        stroke = max(size // 8, 2)
        self.draw.ellipse((left, top, left + size, top + size), fill=COLOURS[verdict], outline=PAPER)
        for strokes in SIGNS[verdict]:
            points = [(left + x * size, top + y * size) for x, y in strokes]
            self.draw.line(points, fill=PAPER, width=stroke, joint="curve")
