"""Sizes and colours of a montage."""

from __future__ import annotations

import dataclasses

Colour = tuple[int, int, int]
PER_LINE = 10  # hits per line
PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 37, 41)
FAINT: Colour = (108, 117, 125)
RULE: Colour = (206, 212, 218)
FILL: Colour = (241, 243, 245)
QUERY: Colour = (43, 74, 120)


@dataclasses.dataclass(frozen=True, slots=True)
class Palette:
    """Colours of everything but the pictures and their verdicts.

    Args:
        paper: Background.
        ink: Titles and first lines.
        faint: Other text.
        rule: Thin lines.
        fill: Background of a cell.
        query: Frame of a query.
    """

    paper: Colour
    ink: Colour
    faint: Colour
    rule: Colour
    fill: Colour
    query: Colour


LIGHT = Palette(PAPER, INK, FAINT, RULE, FILL, QUERY)
DARK = Palette((20, 24, 28), (230, 233, 236), (154, 165, 177), (54, 64, 74), (29, 35, 41), (109, 179, 242))


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels; `Style.fitting` returns smaller ones for pictures of many lines."""

    width: int
    height: int
    letter: int
    frame: int

    @classmethod
    def fitting(cls, lines: int) -> Style:
        """Return the sizes for a picture with `lines` lines of hits."""
        if lines <= 12:
            return cls(width=128, height=256, letter=14, frame=4)
        if lines <= 40:
            return cls(width=112, height=192, letter=12, frame=4)
        return cls(width=92, height=144, letter=11, frame=3)

    @property
    def small(self) -> int:
        """Font size of all caption lines but the first: a Market-1501 file name fits into a cell."""
        return max(self.letter - 3, 9)

    @property
    def gap(self) -> int:
        """Distance between cells."""
        return self.letter

    @property
    def margin(self) -> int:
        """Margin around the picture."""
        return 2 * self.letter

    @property
    def line(self) -> int:
        """Distance from one line of text to the next."""
        return self.letter + 3

    @property
    def outer(self) -> tuple[int, int]:
        """Width and height of a picture with its frame."""
        return self.width + 2 * self.frame, self.height + 2 * self.frame

    @property
    def step(self) -> int:
        """Distance from the left side of one cell to that of the next."""
        return self.outer[0] + self.gap


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Sizes and the number of hits per line.

    Args:
        style: Sizes; None for those that fit the number of lines.
        per_line: Hits per line.
    """

    style: Style | None = None
    per_line: int = PER_LINE

    def lines(self, hits: int) -> int:
        """Return the number of lines of a ranking."""
        return max(-(-hits // self.per_line), 1)


PAGE_LAYOUT = Layout(Style(width=144, height=288, letter=15, frame=4), per_line=5)
"""For a page 1,100 pixels wide: letters of 12 pixels and more."""
