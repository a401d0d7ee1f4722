"""People, drawn in small groups that share a top's words: look-alikes that only a close look tells apart.

All members of a group share the style of the top; pairs, and in a share `SAME_LEGS` of the groups all four, share
kind and colour of trousers or skirt as well; hair, shoes, bag and hat are the group's own with probability `KINSHIP`.
Shades, sizes of patterns and prints, proportions and trimmings are each person's own, and no caption names them; a
scarf or print may be told of as such. The two constants set how much captions alone can tell.
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

GROUP = 4
KINSHIP = 0.9
SAME_LEGS = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Build:
    """Proportions as shares of the stature; of that there is none: the box that a detector draws follows the person."""

    shoulders: float
    hips: float
    girth: float
    hip_height: float
    head: float
    arms: float


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """Skin, hair and what is worn in the face."""

    skin: RGB
    hair: str
    shade: Shade
    volume: float
    fringe: float
    glasses: RGB | None
    beard: float


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """One drawn pedestrian."""

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
        count: How many.
        key: What the draw is a function of. `write_world` uses keys that begin with "world"; a script that draws its
            own people begins its keys with another word, and so meets none of them.
    """
    return tuple(_draw_person(place, key) for place in range(count))


def _draw_person(place: int, key: tuple[int | str, ...]) -> Person:
    group, member = divmod(place, GROUP)
    own = dice(*key, "person", place)
    style = draw_top_style(dice(*key, "top", group))
    pair = member // 2 if chance(dice(*key, "legs", group), 1 - SAME_LEGS) else 0
    kind, colour = draw_bottom_style(dice(*key, "bottom", group, pair))

    def source(part: str) -> np.random.Generator:
        """Return the dice of the group or the person's own: what words say of the part comes from it."""
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
    """Return a head whose hair style and colour come from `words`, all else from the person's own dice."""
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
