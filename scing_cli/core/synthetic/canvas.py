"""A picture with a map of what each pixel shows, so that captions name only what is visible."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scing_cli.core.synthetic.palette import RGB, scaled

Point = tuple[float, float]
Bytes = npt.NDArray[np.uint8]
SCALE = 2  # pixels drawn per final pixel, in each direction
WIDTH, HEIGHT = 64, 128  # of the final image
SIZE = (WIDTH * SCALE, HEIGHT * SCALE)


class Part(enum.IntEnum):
    """What a pixel shows.

    Everything from SKIN on belongs to the person. TRIM marks straps, bands and other parts that no caption names.
    """

    SCENE = 0
    SKIN = 1
    HAIR = 2
    HAT = 3
    TOP = 4
    SLEEVE = 5
    PRINT = 6
    LEGS = 7
    SHOES = 8
    BAG = 9
    SCARF = 10
    BARE_ARM = 11
    BARE_LEG = 12
    SCALP = 13
    TRIM = 14


class Canvas:
    """A picture of `SIZE` pixels (width, height), twice the final size, and its map of parts.

    Args:
        picture: The picture to draw on; it is changed in place.
        marks: Whether to mark parts. Pass False for passers-by, whose pixels then count as scene.
    """

    def __init__(self, picture: Image.Image, *, marks: bool = True) -> None:
        self.picture = picture
        self.parts = Image.new("L", picture.size, int(Part.SCENE))
        self._brush = ImageDraw.Draw(self.picture)
        self._marker = ImageDraw.Draw(self.parts)
        self._marks = marks

    def repaint(self, picture: Image.Image) -> None:
        """Put another picture in the place of this one; the parts stay."""
        self.picture = picture
        self._brush = ImageDraw.Draw(picture)

    def mark(self, parts: Bytes, where: npt.NDArray[np.bool_]) -> None:
        """Note what the pixels show, as values of `Part` (H, W), at the places given."""
        if self._marks:
            found = np.where(where, parts, np.asarray(self.parts))
            self.parts = Image.fromarray(found.astype(np.uint8))
            self._marker = ImageDraw.Draw(self.parts)

    def polygon(self, points: Sequence[Point], rgb: RGB, part: Part) -> None:
        """Fill a polygon."""
        self._brush.polygon(points, fill=rgb)
        if self._marks:
            self._marker.polygon(points, fill=int(part))

    def ellipse(self, centre: Point, rx: float, ry: float, rgb: RGB, part: Part) -> None:
        """Fill an upright ellipse."""
        if rx < 0.5 or ry < 0.5:
            return
        box = (centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry)
        self._brush.ellipse(box, fill=rgb)
        if self._marks:
            self._marker.ellipse(box, fill=int(part))

    def line(self, points: Sequence[Point], width: float, rgb: RGB, part: Part) -> None:
        """Draw a line at least one pixel wide."""
        thick = max(1, round(width))
        self._brush.line(points, fill=rgb, width=thick)
        if self._marks:
            self._marker.line(points, fill=int(part), width=thick)

    def limb(self, joints: Sequence[Point], radii: Sequence[float], rgb: RGB, part: Part) -> None:
        """Fill a chain of tapered capsules, with a darker rim that separates it from the background.

        Args:
            joints: Shape (n, 2).
            radii: Half-widths at the joints, in pixels.
            rgb: The colour.
            part: What the pixels show.
        """
        _chain(self._brush, joints, [radius + 1.0 for radius in radii], scaled(rgb, 0.72))
        _chain(self._brush, joints, radii, rgb)
        if self._marks:
            _chain(self._marker, joints, radii, int(part))

    def texture(self, outline: Sequence[Point], rgb: Bytes, parts: Bytes, box: tuple[int, int, int, int]) -> None:
        """Paste a texture that has the size of its box, clipped to an outline.

        Args:
            outline: The polygon to clip to.
            rgb: uint8 (h, w, 3).
            parts: uint8 (h, w), values of `Part`.
            box: Left, top, right and bottom, in pixels of the picture.
        """
        left, top = box[:2]
        mask = Image.new("L", (rgb.shape[1], rgb.shape[0]), 0)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=255)
        self.picture.paste(Image.fromarray(rgb), (left, top), mask)
        if self._marks:
            self.parts.paste(Image.fromarray(parts), (left, top), mask)


def _chain(brush: ImageDraw.ImageDraw, joints: Sequence[Point], radii: Sequence[float], fill: RGB | int) -> None:
    for number, ((x, y), radius) in enumerate(zip(joints, radii, strict=True)):
        if number:
            brush.polygon(taper(joints[number - 1], (x, y), radii[number - 1], radius), fill=fill)
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def taper(one: Point, two: Point, wide: float, narrow: float) -> list[Point]:
    """Return the four corners of a bar from `one` to `two` with these half-widths."""
    dx, dy = two[0] - one[0], two[1] - one[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    nx, ny = -dy / length, dx / length
    return [
        (one[0] + nx * wide, one[1] + ny * wide),
        (two[0] + nx * narrow, two[1] + ny * narrow),
        (two[0] - nx * narrow, two[1] - ny * narrow),
        (one[0] - nx * wide, one[1] - ny * wide),
    ]


def along(one: Point, two: Point, share: float) -> Point:
    """Return the point at a share of the way from `one` to `two`."""
    return (one[0] + (two[0] - one[0]) * share, one[1] + (two[1] - one[1]) * share)
