"""Figures that are printed on garments, as one table of unit shapes."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType

from scing_cli.core.synthetic.palette import RGB

Outline = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Print:
    """A figure printed on a garment.

    Args:
        shape: A key of `SHAPES`.
        rgb: Its colour.
        size: Its height in statures.
        turn: Angle around the body in radians; 0 is the chest, pi the back.
        height: Height on the garment, from the shoulder (0) to the hem (1).
    """

    shape: str
    rgb: RGB
    size: float
    turn: float
    height: float


def round_outline(corners: int, radius: float = 1.0, start: float = 0.0) -> Outline:
    """Return a regular polygon around the origin, its first corner at the top (y points down).

    >>> [(round(x), round(y)) for x, y in round_outline(4)]
    [(0, -1), (1, 0), (0, 1), (-1, 0)]
    """
    angles = [start + 2 * math.pi * corner / corners for corner in range(corners)]
    return tuple((radius * math.sin(angle), -radius * math.cos(angle)) for angle in angles)


def _box(left: float, top: float, right: float, bottom: float) -> Outline:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _star() -> Outline:
    return tuple(itertools.chain(*zip(round_outline(5), round_outline(5, 0.42, math.pi / 5), strict=True)))


_RING = (*round_outline(16), (0.0, -1.0), *reversed(round_outline(16, 0.55)), (0.0, -0.55))
_HEART = ((0, 1), (-1, -0.1), (-0.9, -0.75), (-0.4, -0.9), (0, -0.4), (0.4, -0.9), (0.9, -0.75), (1, -0.1))
_LINE = ((-1, 0.3), (-0.5, -0.5), (0, 0.3), (0.5, -0.5), (1, 0.3))
_ZIGZAG = (*_LINE, *((x, y + 0.5) for x, y in reversed(_LINE)))

SHAPES: Mapping[str, tuple[Outline, ...]] = MappingProxyType(
    {
        "disc": (round_outline(16),),
        "square": (_box(-0.9, -0.9, 0.9, 0.9),),
        "triangle": (round_outline(3),),
        "star": (_star(),),
        "heart": (_HEART,),
        "cross": (_box(-0.3, -1, 0.3, 1), _box(-1, -0.3, 1, 0.3)),
        "bars": (_box(-1.1, -0.8, 1.1, -0.35), _box(-1.1, -0.1, 1.1, 0.3), _box(-1.1, 0.55, 0.3, 0.95)),
        "ring": (_RING,),
        "letters": (
            _box(-1.4, -0.5, -1, 0.5),
            _box(-0.7, -0.5, 0.1, 0.5),
            _box(0.4, -0.5, 1.3, -0.2),
            _box(0.7, -0.5, 1, 0.5),
        ),
        "zigzag": (_ZIGZAG,),
    }
)
