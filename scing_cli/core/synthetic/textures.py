"""Textures of tops, as cylindrical maps that are wrapped around the body.

Columns of a texture are the angle around the body (-pi to pi, chest in the middle), rows the height. A print on the
chest therefore moves and narrows as the person turns, and cannot be seen from behind.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw

from scing_cli.core.synthetic.canvas import Bytes, Part
from scing_cli.core.synthetic.palette import RGB, scaled
from scing_cli.core.synthetic.prints import SHAPES, Print, round_outline
from scing_cli.core.synthetic.wardrobe import Top

COLUMNS = 192
ROWS_PER_STATURE = 260
TORSO = 0.32  # statures from shoulder to hip


class _Cloth:
    """The texture of a top while it is painted."""

    def __init__(self, rows: int, rgb: RGB) -> None:
        self.rows = rows
        self.picture = Image.new("RGB", (COLUMNS, rows), rgb)
        self.parts = Image.new("L", (COLUMNS, rows), int(Part.TOP))
        self.brush = ImageDraw.Draw(self.picture)
        self.marker = ImageDraw.Draw(self.parts)

    def polygon(self, points: list[tuple[float, float]], rgb: RGB, part: Part = Part.TOP) -> None:
        for shift in (-COLUMNS, 0, COLUMNS):  # shapes across the middle of the back continue at the other edge
            moved = [(x + shift, y) for x, y in points]
            self.brush.polygon(moved, fill=rgb)
            self.marker.polygon(moved, fill=int(part))

    def bar(self, left: float, top: float, right: float, bottom: float, rgb: RGB) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], rgb)


@functools.lru_cache(maxsize=1024)
def cloth(top: Top) -> tuple[Bytes, Bytes]:
    """Return the texture of a top: colours uint8 (rows, COLUMNS, 3) and parts uint8 (rows, COLUMNS), both read-only."""
    rows = max(24, round(ROWS_PER_STATURE * TORSO * top.hem))
    paint = _Cloth(rows, top.shade.rgb)
    _paint_pattern(paint, top)
    _paint_front(paint, top)
    for figure in top.prints:
        _paint_print(paint, figure)
    _paint_trimmings(paint, top)
    colours, parts = np.asarray(paint.picture).copy(), np.asarray(paint.parts).copy()
    colours.setflags(write=False)
    parts.setflags(write=False)
    return colours, parts


def _paint_pattern(paint: _Cloth, top: Top) -> None:
    period = top.period * ROWS_PER_STATURE
    painters = {
        "striped": _stripes,
        "pinstriped": _pinstripes,
        "checked": _checks,
        "dotted": _dots,
        "two-tone": _two_tone,
        "banded": _band,
    }
    if top.style.pattern in painters:
        painters[top.style.pattern](paint, top, period)


def _stripes(paint: _Cloth, top: Top, period: float) -> None:
    y = -top.phase * period
    while y < paint.rows:
        paint.brush.rectangle((0, y, COLUMNS, y + period * top.duty), fill=top.second.rgb)
        y += period


def _pinstripes(paint: _Cloth, top: Top, period: float) -> None:
    count = max(8, round(COLUMNS / period / 0.8))
    for column in range(count):
        x = (column + top.phase) * COLUMNS / count
        paint.brush.rectangle((x, 0, x + max(2.0, period * top.duty * 0.6), paint.rows), fill=top.second.rgb)


def _checks(paint: _Cloth, top: Top, period: float) -> None:
    wide = period * 1.3
    count = max(6, round(COLUMNS / wide))
    both = tuple((a + b) // 2 for a, b in zip(top.shade.rgb, top.second.rgb, strict=True))
    for column in range(count):
        x = (column + top.phase) * COLUMNS / count
        paint.brush.rectangle((x, 0, x + wide * top.duty, paint.rows), fill=both)
    for row in range(int(paint.rows / wide) + 2):
        y = (row - top.phase) * wide
        paint.brush.rectangle((0, y, COLUMNS, y + wide * top.duty * 0.7), fill=both)
        for column in range(count):
            x = (column + top.phase) * COLUMNS / count
            paint.brush.rectangle((x, y, x + wide * top.duty, y + wide * top.duty * 0.7), fill=top.second.rgb)


def _dots(paint: _Cloth, top: Top, period: float) -> None:
    wide = period * 1.2
    count = max(6, round(COLUMNS / wide))
    radius = wide * (0.15 + 0.3 * top.duty)
    for row in range(int(paint.rows / wide) + 2):
        y = (row - top.phase) * wide
        for column in range(count + 1):
            x = (column + 0.5 * (row % 2)) * COLUMNS / count
            paint.brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=top.second.rgb)


def _two_tone(paint: _Cloth, top: Top, period: float) -> None:
    del period
    split = paint.rows * (0.3 + 0.4 * top.phase)
    paint.brush.rectangle((0, split, COLUMNS, paint.rows), fill=top.second.rgb)


def _band(paint: _Cloth, top: Top, period: float) -> None:
    start = paint.rows * (0.15 + 0.35 * top.phase)
    paint.brush.rectangle((0, start, COLUMNS, start + period * (0.8 + 2 * top.duty)), fill=top.second.rgb)


def _paint_front(paint: _Cloth, top: Top) -> None:
    middle, rows = COLUMNS / 2, paint.rows
    if top.cut.front == "open":
        half = 5 + 9 * top.duty
        paint.polygon(
            [(middle - half, 0), (middle + half, 0), (middle + half * 1.4, rows), (middle - half, rows)], top.inner
        )
        paint.bar(middle - half - 2, 0, middle - half, rows, scaled(top.shade.rgb, 0.6))
        paint.bar(middle + half, 0, middle + half + 2, rows, scaled(top.shade.rgb, 0.6))
    elif top.cut.front == "zip":
        paint.bar(middle - 1.5, 0, middle + 1.5, rows, top.trim)
    elif top.cut.front == "buttons":
        paint.bar(middle - 3, 0, middle + 3, rows, scaled(top.shade.rgb, 0.85))
        for button in range(6):
            y = rows * (0.1 + 0.16 * button)
            paint.bar(middle - 2, y, middle + 2, y + 3, top.trim)
    else:
        neck = 6 + 8 * top.duty
        depth = 6 + 10 * top.phase
        paint.polygon([(middle - neck, 0), (middle + neck, 0), (middle, depth)], top.trim)


def _paint_trimmings(paint: _Cloth, top: Top) -> None:
    middle, rows = COLUMNS / 2, paint.rows
    if "hem" in top.trimmed:
        paint.bar(0, rows - 7, COLUMNS, rows, top.trim)
    if "belt" in top.trimmed and top.cut.hem > 1.3:
        paint.bar(0, rows * 0.52, COLUMNS, rows * 0.57, top.trim)
    if "badge" in top.trimmed:
        x, y = middle + 22, rows * 0.22
        paint.bar(x, y, x + 9, y + 9, top.trim)
    if "pocket" in top.trimmed:
        for side in (-1, 1):
            x, y = middle + side * 22, rows * (0.68 if top.cut.hem < 1.3 else 0.6)
            paint.bar(x - 9, y, x + 9, y + 16, scaled(top.shade.rgb, 0.7))
    turn, height, radius = top.stain
    if radius:
        x, y, r = _column(turn), rows * height, radius * ROWS_PER_STATURE
        paint.polygon(
            [(x + r * across, y + r * down) for across, down in round_outline(10)], scaled(top.shade.rgb, 0.6)
        )


def _column(turn: float) -> float:
    return (turn / (2 * math.pi) + 0.5) * COLUMNS


def _paint_print(paint: _Cloth, figure: Print) -> None:
    x, y = _column(figure.turn) % COLUMNS, paint.rows * figure.height
    half = figure.size * ROWS_PER_STATURE / 2
    for outline in SHAPES[figure.shape]:
        paint.polygon([(x + half * across, y + half * down) for across, down in outline], figure.rgb, Part.PRINT)


def wrap(texture: Bytes, yaw: float, width: int, height: int) -> Bytes:
    """Return the visible part of a texture that is wrapped around the body.

    Args:
        texture: uint8 (rows, COLUMNS, ...).
        yaw: Turn of the person from the camera, in radians; 0 faces the camera.
        width: Width of the result, in pixels.
        height: Height of the result, in pixels.

    Returns:
        uint8 (height, width, ...): the column at u (-1 left edge, 1 right edge) shows the angle arcsin(u) - yaw.
    """
    across = (np.arange(width) + 0.5) / width * 2 - 1
    turn = np.arcsin(across) - yaw
    columns = ((turn / (2 * math.pi) + 0.5) * COLUMNS).astype(np.int64) % COLUMNS
    rows = (np.arange(height) * (texture.shape[0] / height)).astype(np.int64)
    view: Bytes = texture.take(rows, axis=0).take(columns, axis=1)
    return view
