"""Clothes and bags: tables of kinds, and functions that draw one piece with details that no caption names.

Lengths are shares of the person's stature. A style is what a caption can say of a piece (kind, colour, pattern). Two
people with one style still differ in shade, size of the pattern, print, hem, trimmings and wear.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from scing_cli.core.synthetic.dice import around, between, chance, pick, weighted
from scing_cli.core.synthetic.palette import COLOURS, RGB, Shade, scaled, shade, vary
from scing_cli.core.synthetic.prints import SHAPES, Print


@dataclasses.dataclass(frozen=True, slots=True)
class TopKind:
    """How one kind of top is cut.

    Args:
        sleeve: Covered share of the arm, 0 to 1.
        hem: Height of the hem; 0 is the shoulder, 1 the hip.
        ease: Width added to the body on each side.
        front: `plain`, `buttons`, `open` (an inner shirt shows) or `zip`.
        collar: Whether it has a collar.
        hood: Whether it has a hood.
    """

    sleeve: float
    hem: float
    ease: float
    front: str = "plain"
    collar: bool = False
    hood: bool = False


TOPS: Mapping[str, TopKind] = MappingProxyType(
    {
        "t-shirt": TopKind(0.36, 1.08, 0.002),
        "vest top": TopKind(0.0, 1.04, 0.0),
        "sweater": TopKind(0.97, 1.1, 0.006),
        "shirt": TopKind(0.95, 1.12, 0.003, front="buttons", collar=True),
        "hoodie": TopKind(0.98, 1.12, 0.008, hood=True),
        "jacket": TopKind(0.97, 1.06, 0.009, front="open", collar=True),
        "coat": TopKind(0.97, 1.6, 0.012, front="zip", collar=True),
    }
)
TOP_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"t-shirt": 5, "vest top": 1, "sweater": 3, "shirt": 3, "hoodie": 3, "jacket": 4, "coat": 2}
)
PATTERNS: Mapping[str, float] = MappingProxyType(
    {"plain": 8, "striped": 3, "pinstriped": 2, "checked": 3, "dotted": 2, "two-tone": 3, "banded": 2}
)
BOTTOMS: Mapping[str, float] = MappingProxyType({"trousers": 5, "jeans": 5, "shorts": 3, "skirt": 2, "long skirt": 1})
LENGTHS: Mapping[str, float] = MappingProxyType(
    {"trousers": 0.97, "jeans": 0.97, "shorts": 0.5, "skirt": 0.48, "long skirt": 0.82}
)
SHOES: Mapping[str, float] = MappingProxyType({"trainers": 5, "shoes": 3, "boots": 3})
BAGS: Mapping[str, float] = MappingProxyType({"": 6, "backpack": 4, "shoulder bag": 3, "handbag": 2, "shopping bag": 2})
HATS: Mapping[str, float] = MappingProxyType({"": 9, "cap": 3, "woolly hat": 2, "sun hat": 1})
HAIR: Mapping[str, float] = MappingProxyType({"short": 6, "long": 4, "tied": 2, "curly": 2, "no": 1})

_COMMON = {"black": 4.0, "white": 3.0, "grey": 3.0, "navy": 2.0, "blue": 2.0, "red": 2.0}
_TOP_COLOURS = {name: _COMMON.get(name, 1.0) for name in COLOURS}
_BOTTOM_COLOURS = {
    "black": 5,
    "navy": 3,
    "grey": 3,
    "beige": 2,
    "brown": 1,
    "olive": 1,
    "white": 1,
    "red": 0.5,
    "teal": 0.5,
}
_JEANS = {"blue": 3, "navy": 4, "light blue": 3, "black": 2, "grey": 1}
_SHOE_COLOURS = {"black": 5, "white": 4, "grey": 2, "brown": 2, "red": 1, "blue": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class TopStyle:
    """What a caption can say of a top; all look-alikes of a group share it."""

    kind: str
    colour: str
    second: str
    pattern: str
    printed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Top:
    """One top: its style, and all details in which it differs from other tops with this style."""

    style: TopStyle
    shade: Shade
    second: Shade
    period: float
    phase: float
    duty: float
    hem: float
    cut: TopKind
    inner: RGB
    trim: RGB
    trimmed: tuple[str, ...]
    prints: tuple[Print, ...]
    stain: tuple[float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Bottom:
    """Trousers, shorts or a skirt; a trimming is None if there is none."""

    kind: str
    shade: Shade
    length: float
    width: float
    belt: RGB | None
    side: RGB | None
    cuff: RGB | None
    patch: tuple[RGB, int, float] | None
    fade: float


@dataclasses.dataclass(frozen=True, slots=True)
class Shoes:
    """Footwear, its sole and the socks above it."""

    kind: str
    shade: Shade
    sole: RGB
    sock: RGB
    sock_height: float


@dataclasses.dataclass(frozen=True, slots=True)
class Bag:
    """A bag; the kind is empty if there is none. `side` is 1 for the person's left, -1 for the right."""

    kind: str
    shade: Shade
    strap: RGB
    pocket: RGB
    size: float
    side: int
    shape: float


@dataclasses.dataclass(frozen=True, slots=True)
class Hat:
    """A hat; the kind is empty if there is none."""

    kind: str
    shade: Shade
    band: RGB
    detail: bool


def draw_top_style(rng: np.random.Generator) -> TopStyle:
    """Return a random style of a top."""
    kind = weighted(rng, TOP_WEIGHTS)
    colour = weighted(rng, _TOP_COLOURS)
    second = weighted(rng, {name: weight for name, weight in _TOP_COLOURS.items() if name != colour})
    pattern = weighted(rng, PATTERNS)
    printed = pattern in {"plain", "two-tone"} and TOPS[kind].front == "plain" and chance(rng, 0.6)
    return TopStyle(kind, colour, second, pattern, printed)


def draw_top(style: TopStyle, rng: np.random.Generator) -> Top:
    """Return a random top with this style."""
    cut = TOPS[style.kind]
    second = shade(style.second, rng)
    trims = [name for name in ("collar", "cuffs", "hem", "badge", "pocket", "elbows", "belt") if chance(rng, 0.4)]
    prints = tuple(_draw_print(second.rgb, rng, turn) for turn in _print_turns(style, rng))
    return Top(
        style=style,
        shade=shade(style.colour, rng),
        second=second,
        period=between(rng, 0.028, 0.085),
        phase=between(rng, 0.0, 1.0),
        duty=between(rng, 0.25, 0.6),
        hem=cut.hem + around(rng, 0.0, 0.08),
        cut=cut,
        inner=vary(COLOURS[pick(rng, list(COLOURS))], rng),
        trim=vary(COLOURS[pick(rng, list(COLOURS))], rng),
        trimmed=tuple(trims),
        prints=prints,
        stain=(between(rng, -3.1, 3.1), between(rng, 0.2, 0.9), between(rng, 0.0, 0.03) if chance(rng, 0.3) else 0.0),
    )


def _print_turns(style: TopStyle, rng: np.random.Generator) -> list[float]:
    """Return the angles of the prints around the body: on the chest, on the back, on both or none."""
    turns = [around(rng, 0.0, 0.3)] if style.printed else []
    if chance(rng, 0.6 if style.printed else 0.3):
        turns.append(np.pi + around(rng, 0.0, 0.15))
    return turns


def _draw_print(rgb: RGB, rng: np.random.Generator, turn: float) -> Print:
    return Print(pick(rng, tuple(SHAPES)), vary(rgb, rng), between(rng, 0.05, 0.15), turn, between(rng, 0.22, 0.5))


def draw_bottom(kind: str, colour: str, rng: np.random.Generator) -> Bottom:
    """Return random trousers, shorts or a skirt with this kind and colour."""
    own = shade(colour, rng)
    patch = (scaled(own.rgb, between(rng, 0.5, 1.7)), pick(rng, (-1, 1)), between(rng, 0.3, 0.75))
    return Bottom(
        kind=kind,
        shade=own,
        length=LENGTHS[kind] + around(rng, 0.0, 0.06),
        width=between(rng, 0.8, 1.45),
        belt=_maybe(rng, 0.5),
        side=_maybe(rng, 0.45),
        cuff=_maybe(rng, 0.45),
        patch=patch if chance(rng, 0.4) else None,
        fade=between(rng, 0.0, 0.35) if kind == "jeans" else 0.0,
    )


def draw_bottom_style(rng: np.random.Generator) -> tuple[str, str]:
    """Return a random kind and colour of trousers, shorts or a skirt."""
    kind = weighted(rng, BOTTOMS)
    return kind, weighted(rng, _JEANS if kind == "jeans" else _BOTTOM_COLOURS)


def _maybe(rng: np.random.Generator, probability: float) -> RGB | None:
    colour = vary(COLOURS[pick(rng, list(COLOURS))], rng)
    return colour if chance(rng, probability) else None


def draw_shoes(rng: np.random.Generator) -> Shoes:
    """Return a random pair of shoes."""
    own = shade(weighted(rng, _SHOE_COLOURS), rng)
    kind = weighted(rng, SHOES)
    sole = pick(rng, ((225, 225, 220), (40, 40, 44), scaled(own.rgb, 0.6)))
    return Shoes(kind, own, vary(sole, rng), vary(pick(rng, list(COLOURS.values())), rng), between(rng, 0.1, 0.7))


def draw_bag(rng: np.random.Generator) -> Bag:
    """Return a random bag; its kind may be empty."""
    own = shade(weighted(rng, _TOP_COLOURS), rng)
    kind = weighted(rng, BAGS)
    return Bag(
        kind=kind,
        shade=own,
        strap=scaled(own.rgb, between(rng, 0.5, 0.9)),
        pocket=pick(rng, (scaled(own.rgb, 0.75), scaled(own.rgb, 1.3), vary(pick(rng, list(COLOURS.values())), rng))),
        size=between(rng, 0.8, 1.25),
        side=pick(rng, (-1, 1)),
        shape=between(rng, 0.0, 1.0),
    )


def draw_hat(rng: np.random.Generator) -> Hat:
    """Return a random hat; its kind may be empty."""
    own = shade(weighted(rng, _TOP_COLOURS), rng)
    kind = weighted(rng, HATS)
    return Hat(kind, own, vary(pick(rng, list(COLOURS.values())), rng), chance(rng, 0.5))
