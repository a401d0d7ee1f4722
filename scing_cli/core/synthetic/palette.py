"""Colour names that captions use, and the shades that one name covers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from scing_cli.core.synthetic.dice import around

RGB = tuple[int, int, int]

COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "black": (34, 34, 38),
        "white": (228, 228, 224),
        "grey": (128, 130, 134),
        "red": (186, 40, 44),
        "maroon": (104, 28, 44),
        "blue": (44, 90, 178),
        "navy": (32, 42, 88),
        "light blue": (134, 176, 218),
        "green": (46, 124, 68),
        "olive": (104, 104, 56),
        "teal": (30, 130, 134),
        "yellow": (224, 190, 56),
        "orange": (220, 116, 40),
        "purple": (110, 64, 142),
        "pink": (222, 138, 166),
        "brown": (108, 74, 48),
        "beige": (204, 182, 146),
    }
)
HAIR_COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "black": (30, 26, 26),
        "brown": (82, 54, 36),
        "blond": (196, 162, 98),
        "red": (148, 70, 34),
        "grey": (150, 148, 146),
    }
)
SKINS: tuple[RGB, ...] = (
    (240, 208, 184),
    (224, 182, 148),
    (196, 148, 110),
    (150, 104, 74),
    (106, 72, 52),
    (72, 50, 40),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Shade:
    """A colour: its name in captions and its exact value.

    Args:
        name: A key of `COLOURS` or `HAIR_COLOURS`.
        rgb: The exact shade, 0 to 255 each.
    """

    name: str
    rgb: RGB


def clip_rgb(red: float, green: float, blue: float) -> RGB:
    """Return the nearest colour with 8 bits per channel."""
    return (max(0, min(255, round(red))), max(0, min(255, round(green))), max(0, min(255, round(blue))))


def scaled(rgb: RGB, factor: float) -> RGB:
    """Return the colour, darker (factor below 1) or lighter (above 1)."""
    return clip_rgb(rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """Mix two colours: a share of 0 returns `one`, 1 returns `other`."""
    parts = [a + (b - a) * share for a, b in zip(one, other, strict=True)]
    return clip_rgb(*parts)


def vary(rgb: RGB, rng: np.random.Generator, spread: float = 1.0) -> RGB:
    """Return a shade near `rgb`: lightness varies by about 22 % and hue a little, both times `spread`."""
    light = float(np.exp(around(rng, 0.0, 0.22 * spread)))
    lift = around(rng, 0.0, 9.0 * spread)
    tint = 14.0 * (0.45 + 0.55 * max(rgb) / 255)  # less for dark colours, where a small change of hue is visible
    parts = [part * light + lift + around(rng, 0.0, tint * spread) for part in rgb]
    return clip_rgb(*parts)


def shade(name: str, rng: np.random.Generator, spread: float = 1.0) -> Shade:
    """Return a random shade of a colour of `COLOURS`."""
    return Shade(name, vary(COLOURS[name], rng, spread))
