"""Draw people in groups of look-alikes, whose captions hardly differ.

All members of a group share the style of the top. Kind and colour of trousers or skirt are shared by pairs, and in a
share `SAME_LEGS` of the groups by all four. Hair, shoes, bag and hat come from the group with probability `KINSHIP`.
Shades, sizes of patterns and prints, proportions and trimmings are drawn for each person, and no caption names them; a
caption may say that there is a scarf or a print. The two constants set how well captions alone separate the people.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from scing_cli.core.synthetic.dice import around, between, chance, dice, pick, weighted
from scing_cli.core.synthetic.palette import HAIR_COLOURS, RGB, SKINS, Shade, shade, vary
from scing_cli.core.synthetic.wardrobe import (
    HAIR,
    Bag,
    Bottom,
    Hat,
    Shoes,
    Top,
    draw_bag,
    draw_bottom,
    draw_bottom_style,
    draw_hat,
    draw_shoes,
    draw_top,
    draw_top_style,
)

GROUP = 4  # look-alikes per group
KINSHIP = 0.9
SAME_LEGS = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Build:
    """Proportions as shares of the stature.

    There is no stature: the box that a detector draws has the height of the person.
    """

    shoulders: float
    hips: float
    girth: float
    hip_height: float
    head: float
    arms: float


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """Skin, hair, glasses and beard."""

    skin: RGB
    hair: str
    shade: Shade
    volume: float
    fringe: float
    glasses: RGB | None
    beard: float


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """One synthetic pedestrian."""

    build: Build
    head: Head
    top: Top
    bottom: Bottom
    shoes: Shoes
    bag: Bag
    hat: Hat
    scarf: Shade | None


def draw_people(count: int, *key: int | str) -> tuple[Person, ...]:
    """Return `count` people in groups of `GROUP` look-alikes.

    Args:
        count: Number of people.
        key: Equal keys give equal people. `write_world` uses keys that begin with "world"; a script that draws other
            people begins its keys with another word.
    """
    return tuple(_draw_person(number, key) for number in range(count))


def _draw_person(number: int, key: tuple[int | str, ...]) -> Person:
    group, member = divmod(number, GROUP)
    own = dice(*key, "person", number)
    style = draw_top_style(dice(*key, "top", group))
    pair = member // 2 if chance(dice(*key, "legs", group), 1 - SAME_LEGS) else 0
    kind, colour = draw_bottom_style(dice(*key, "bottom", group, pair))

    def source(part: str) -> np.random.Generator:
        """Return the generator for what captions say of a part: that of the group, or one of this person alone."""
        return dice(*key, part, group) if chance(own, KINSHIP) else dice(*key, part, group, member)

    shoes, bag, hat, hair = (source(part) for part in ("shoes", "bag", "hat", "hair"))
    return Person(
        build=_draw_build(own),
        head=_draw_head(own, hair),
        top=draw_top(style, own),
        bottom=draw_bottom(kind, colour, own),
        shoes=_own_shoes(draw_shoes(shoes), own),
        bag=_own_bag(draw_bag(bag), own),
        hat=_own_hat(draw_hat(hat), own),
        scarf=draw_hat(own).shade if chance(own, 0.2) else None,
    )


def _draw_build(rng: np.random.Generator) -> Build:
    broad = around(rng, 0.0, 1.0)
    return Build(
        shoulders=0.112 + 0.01 * broad + around(rng, 0.0, 0.007),
        hips=0.088 + 0.006 * broad + around(rng, 0.0, 0.006),
        girth=0.07 + 0.013 * broad + abs(around(rng, 0.0, 0.011)),
        hip_height=0.5 + around(rng, 0.0, 0.016),
        head=0.135 + around(rng, 0.0, 0.006),
        arms=1.0 + 0.1 * broad + around(rng, 0.0, 0.06),
    )


def _draw_head(own: np.random.Generator, words: np.random.Generator) -> Head:
    """Return a head: hair style and colour come from `words`, everything else from `own`."""
    hair = weighted(words, HAIR)
    name = pick(words, list(HAIR_COLOURS))
    glasses = pick(own, ((24, 24, 28), (110, 60, 40), (190, 190, 195)))
    return Head(
        skin=vary(pick(own, SKINS), own, 0.5),
        hair=hair,
        shade=Shade(name, vary(HAIR_COLOURS[name], own, 0.8)),
        volume=between(own, 0.9, 1.2),
        fringe=between(own, 0.15, 0.5),
        glasses=glasses if chance(own, 0.22) else None,
        beard=between(own, 0.3, 1.0) if hair != "long" and chance(own, 0.2) else 0.0,
    )


def _own_shoes(shoes: Shoes, own: np.random.Generator) -> Shoes:
    mine = draw_shoes(own)
    return dataclasses.replace(mine, kind=shoes.kind, shade=shade(shoes.shade.name, own))


def _own_bag(bag: Bag, own: np.random.Generator) -> Bag:
    mine = draw_bag(own)
    return dataclasses.replace(mine, kind=bag.kind, shade=shade(bag.shade.name, own), pocket=mine.pocket)


def _own_hat(hat: Hat, own: np.random.Generator) -> Hat:
    mine = draw_hat(own)
    return dataclasses.replace(mine, kind=hat.kind, shade=shade(hat.shade.name, own))
