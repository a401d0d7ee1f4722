"""Things between camera and person: drawn large, then moved in until they hide a given share of the body."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scing_cli.core.synthetic.canvas import SIZE, Canvas, Part
from scing_cli.core.synthetic.dice import between, chance, pick, weighted
from scing_cli.core.synthetic.palette import COLOURS, scaled, vary

W, H = SIZE
_COARSE = 4  # overlaps are measured on every fourth pixel in each direction, which is faster
_STEPS = 40  # positions to try on the way in
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """An occluding thing on a transparent sheet, and the path on which it moves in.

    Args:
        picture: RGB.
        mask: Mode L, the same size; 255 where the thing is.
        start: Upper left corner of the sheet when the thing is outside the picture (pixels x, y).
        stop: Upper left corner of the sheet when the thing is all the way in.
    """

    picture: Image.Image
    mask: Image.Image
    start: tuple[float, float]
    stop: tuple[float, float]

    def at(self, share: float) -> tuple[int, int]:
        """Return the upper left corner (pixels x, y) at a share of the path."""
        (x0, y0), (x1, y1) = self.start, self.stop
        return (round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share))


class _Sheet:
    """A sheet that is painted together with its mask."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (width, height))
        self.mask = Image.new("L", (width, height), 0)
        self._brush = ImageDraw.Draw(self.picture)
        self._marker = ImageDraw.Draw(self.mask)

    def box(self, left: float, top: float, right: float, bottom: float, rgb: tuple[int, int, int]) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], rgb)

    def polygon(self, points: list[tuple[float, float]], rgb: tuple[int, int, int]) -> None:
        self._brush.polygon(points, fill=rgb)
        self._marker.polygon(points, fill=255)

    def disc(self, x: float, y: float, radius: float, rgb: tuple[int, int, int]) -> None:
        self._brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)
        self._marker.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    def layer(self, start: tuple[float, float], stop: tuple[float, float]) -> Layer:
        return Layer(self.picture, self.mask, start, stop)


def _car(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(2 * W, H), vary(pick(rng, list(COLOURS.values())), rng)
    sheet.polygon([(40, 50), (70, 8), (170, 8), (205, 50)], scaled(rgb, 0.9))
    sheet.polygon([(52, 48), (76, 15), (118, 15), (118, 48)], (66, 82, 94))
    sheet.polygon([(124, 48), (124, 15), (164, 15), (190, 48)], (66, 82, 94))
    sheet.box(4, 48, 252, 118, rgb)
    sheet.box(4, 84, 252, 90, scaled(rgb, 0.7))
    sheet.box(4, 118, 252, H, (36, 36, 40))
    for x in (58, 198):
        sheet.disc(x, 112, 26, (24, 24, 26))
        sheet.disc(x, 112, 12, (150, 150, 154))
    left = between(rng, -W * 0.95, -W * 0.05)
    return sheet.layer((left, H), (left, -8))


def _hedge(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(W, H + 20), vary((58, 104, 52), rng)
    sheet.box(0, 14, W, H + 20, rgb)
    for _ in range(26):
        x, y = between(rng, 0, W), between(rng, 8, 120)
        sheet.disc(x, y, between(rng, 6, 12), scaled(rgb, between(rng, 0.8, 1.2)))
    return sheet.layer((0, H), (0, -10))


def _barrier(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(W, H + 20), vary(pick(rng, list(COLOURS.values())), rng)
    tilt = between(rng, -24, 24)
    sheet.polygon([(0, 24 + tilt), (W, 24 - tilt), (W, H + 20), (0, H + 20)], rgb)
    other = pick(rng, (scaled(rgb, 0.6), (226, 224, 216)))
    for stripe in range(5):
        y = 44 + stripe * 48
        sheet.polygon([(0, y + tilt), (W, y - tilt), (W, y + 14 - tilt), (0, y + 14 + tilt)], other)
    return sheet.layer((0, H), (0, -30))


def _bench(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(W, H + 20), vary((134, 92, 58), rng)
    for slat in range(5):
        sheet.box(6, slat * 15, W - 6, slat * 15 + 12, scaled(rgb, between(rng, 0.85, 1.1)))
    sheet.box(0, 76, W, 96, scaled(rgb, 0.8))
    for x in (10, W - 18):
        sheet.box(x, 0, x + 8, H, (52, 52, 56))
    sheet.box(0, 112, W, H + 20, vary((100, 104, 96), rng))
    return sheet.layer((0, H), (0, -10))


def _bins(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(W, H), vary(pick(rng, list(COLOURS.values())), rng)
    sheet.polygon([(4, 10), (W - 4, 10), (W - 12, H), (12, H)], rgb)
    sheet.box(0, 0, W, 16, scaled(rgb, 0.7))
    for x in range(24, W - 16, 20):
        sheet.box(x, 26, x + 4, H, scaled(rgb, 0.85))
    side = pick(rng, (-1, 1))
    return sheet.layer((side * W * 0.75, H), (side * W * 0.1, 0))


def _edge(rng: np.random.Generator) -> Layer:
    """The edge of a wall, a van or a column, which moves in from one side."""
    sheet, rgb = _Sheet(W, H), vary(pick(rng, list(COLOURS.values())), rng)
    sheet.box(0, 0, W, H, rgb)
    for y in range(20, H, int(between(rng, 26, 60))):
        sheet.box(0, y, W, y + 3, scaled(rgb, 0.8))
    for x in (0, W - 6):
        sheet.box(x, 0, x + 6, H, scaled(rgb, 0.65))
    side = pick(rng, (-1, 1))
    return sheet.layer((side * W, 0), (side * W * 0.3, 0))


def _pole(rng: np.random.Generator) -> Layer:
    wide = int(between(rng, 10, 44))
    sheet, rgb = _Sheet(wide, H), vary(pick(rng, ((96, 98, 100), (60, 62, 60), (130, 112, 88))), rng)
    sheet.box(0, 0, wide, H, rgb)
    sheet.box(wide * 0.65, 0, wide, H, scaled(rgb, 0.75))
    if chance(rng, 0.4):
        sheet.box(0, H * 0.3, wide, H * 0.42, vary(pick(rng, list(COLOURS.values())), rng))
    start, stop = (-float(wide), 0.0), (W / 2 - wide / 2, 0.0)
    return sheet.layer(start, stop) if chance(rng, 0.5) else sheet.layer((float(W), 0.0), stop)


def _awning(rng: np.random.Generator) -> Layer:
    sheet, rgb = _Sheet(W, H), vary(pick(rng, list(COLOURS.values())), rng)
    sheet.box(0, 0, W, H - 14, rgb)
    for stripe in range(8):
        x = stripe * 16
        tint = rgb if stripe % 2 else scaled(rgb, 1.4)
        sheet.polygon([(x, H - 60), (x + 16, H - 60), (x + 16, H - 14), (x + 8, H), (x, H - 14)], tint)
    return sheet.layer((0, -H), (0, -H * 0.45))


THINGS: Mapping[str, Callable[[np.random.Generator], Layer]] = MappingProxyType(
    {
        "car": _car,
        "hedge": _hedge,
        "barrier": _barrier,
        "bench": _bench,
        "bins": _bins,
        "edge": _edge,
        "pole": _pole,
        "awning": _awning,
    }
)
THING_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"car": 4, "hedge": 2, "barrier": 2, "bench": 2, "bins": 2, "edge": 3, "pole": 3, "awning": 0.6, "passer-by": 4}
)


def draw_thing(rng: np.random.Generator) -> str:
    """Return the kind of the next thing to try: a key of `THINGS`, or `passer-by`."""
    return weighted(rng, THING_WEIGHTS)


def passer_by(canvas: Canvas, rng: np.random.Generator) -> Layer:
    """Return a person, drawn in the middle of a canvas, as a layer that moves in from one side."""
    mask = canvas.parts.point([0] + [255] * 255)
    side = pick(rng, (-1, 1))
    return Layer(canvas.picture, mask, (side * W, 0), (side * W * 0.12, 0))


def slide_in(layer: Layer, body: Mask, target: float) -> float:
    """Return the share of the path (0 to 1) at which the hidden share of the body is nearest to `target`.

    Args:
        layer: The thing.
        body: bool (H, W): True where the person is visible.
        target: Share of the body to hide, 0 to 1.
    """
    coarse = np.asarray(body[::_COARSE, ::_COARSE])
    total = max(1, int(coarse.sum()))
    thing = np.asarray(layer.mask)[::_COARSE, ::_COARSE] > 0
    best, distance = 0.0, target
    for step in range(1, _STEPS + 1):
        x, y = layer.at(step / _STEPS)
        hidden = _overlap(coarse, thing, round(x / _COARSE), round(y / _COARSE)) / total
        if abs(hidden - target) < distance:
            best, distance = step / _STEPS, abs(hidden - target)
    return best


def _overlap(body: Mask, thing: Mask, x: int, y: int) -> int:
    """Return how many pixels of the body a thing hides whose upper left corner is at (x, y)."""
    top, left = max(0, y), max(0, x)
    bottom, right = min(body.shape[0], y + thing.shape[0]), min(body.shape[1], x + thing.shape[1])
    if bottom <= top or right <= left:
        return 0
    return int((body[top:bottom, left:right] & thing[top - y : bottom - y, left - x : right - x]).sum())


def cover(canvas: Canvas, layer: Layer, share: float) -> None:
    """Draw the thing in front of everything drawn so far; the pixels that it hides become `Part.SCENE`."""
    corner = layer.at(share)
    canvas.picture.paste(layer.picture, corner, layer.mask)
    canvas.parts.paste(
        int(Part.SCENE), (*corner, corner[0] + layer.mask.width, corner[1] + layer.mask.height), layer.mask
    )
