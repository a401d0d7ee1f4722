"""A wording that no shipped model has met: other nouns, other names of colours, other sentences, the same facts.

It makes the domain gap of text-to-image data sets offline: what the images show is known, how it is said is not. Two in
three names of colours, clothes, bags, hats and hair are usual ones: without known words, a caption would say nothing to
the pretrained model. Patterns, other attributes and sentences are never usual ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from scing_cli.core.synthetic.dice import chance, pick
from scing_cli.core.synthetic.wording import USUAL, Table, Wording, sentence

_WHO = ("an individual", "somebody", "one figure", "a stroller", "a bystander")
_VIEWS: Table = {
    "front": ("viewed head-on", "looking toward the lens"),
    "back": ("photographed from the rear", "viewed from the rear"),
    "side": ("photographed sideways", "showing one flank"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of sentence.

    Args:
        frame: The whole sentence; `{who}` is the person with the view, `{clauses}` what follows.
        roles: The clause of each role.
        glue: What stands between clauses.
        last: What stands before the last of several noun phrases.
    """

    frame: str
    roles: Table
    glue: str = ", "
    last: str = " plus "


_SHAPES = (
    _Shape(
        "pictured: {who}, {clauses}",
        {
            "worn": ("clad in {}", "attired in {}", "sporting {}"),
            "with": ("displaying {}", "recognisable by {}"),
            "carried": ("toting {}", "hauling {}"),
        },
    ),
    _Shape(
        "try spotting {who} {clauses}",
        {
            "worn": ("whose outfit comprises {}", "whose garments are {}"),
            "with": ("whose looks include {}",),
            "carried": ("whose luggage is {}",),
        },
    ),
    _Shape(
        "visible here: {who}; {clauses}",
        {"worn": ("outfit: {}", "garments: {}"), "with": ("features: {}",), "carried": ("luggage: {}",)},
        glue="; ",
        last=", ",
    ),
    _Shape(
        "observed: {clauses}; all belong to {who}", {"worn": ("{}",), "with": ("{}",), "carried": ("{}",)}, last=", "
    ),
    _Shape(
        "{clauses}; that describes {who}",
        {"worn": ("outfitted with {}", "clad in {}"), "with": ("displaying {}",), "carried": ("burdened by {}",)},
        last=" as well as ",
    ),
)


def _compose(phrases: Mapping[str, list[str]], view: str, rng: np.random.Generator) -> str:
    """Return one sentence with the phrases in a random order and, in some captions, the view of the person."""
    shape = pick(rng, _SHAPES)
    clauses = []
    for role in ("carried", "with", "worn"):
        if words := list(phrases[role]):
            rng.shuffle(words)
            listed = shape.last.join(filter(None, (", ".join(words[:-1]), words[-1])))
            clauses.append(pick(rng, shape.roles[role]).format(listed))
    rng.shuffle(clauses)
    who = pick(rng, _WHO)
    if chance(rng, 0.3):
        who = f"{who} {pick(rng, _VIEWS[view])}"
    return sentence(shape.frame.format(who=who, clauses=shape.glue.join(clauses)))


def _mixed(unmet: Table, usual: Table | None = None) -> Table:
    """Return both names of each entry, two usual ones for each other; without `usual`, an entry's key is its name."""
    mixed = {}
    for key, names in unmet.items():
        known = usual[key] if usual else (key,)
        mixed[key] = (*names, *(known[number % len(known)] for number in range(2 * len(names))))
    return mixed


UNMET = Wording(
    colours=_mixed(
        {
            "black": ("ebony", "inky"),
            "white": ("ivory", "snowy"),
            "grey": ("slate", "ashen"),
            "red": ("crimson", "scarlet"),
            "maroon": ("burgundy", "claret"),
            "blue": ("cobalt", "sapphire"),
            "navy": ("indigo", "midnight"),
            "light blue": ("azure", "sky-coloured"),
            "green": ("emerald", "jade"),
            "olive": ("khaki", "mossy"),
            "teal": ("turquoise", "peacock-coloured"),
            "yellow": ("mustard", "sunflower"),
            "orange": ("tangerine", "amber"),
            "purple": ("violet", "plum"),
            "pink": ("rosy", "blush"),
            "brown": ("chocolate", "walnut"),
            "beige": ("sandy", "tan"),
        }
    ),
    hair_colours=_mixed(
        {
            "black": ("raven", "inky"),
            "brown": ("brunette", "chestnut"),
            "blond": ("flaxen", "fair"),
            "red": ("ginger", "auburn"),
            "grey": ("silver", "ashen"),
        }
    ),
    tops=_mixed(
        {
            "t-shirt": ("jersey", "half-sleeve jersey"),
            "vest top": ("singlet", "camisole"),
            "sweater": ("knit", "fleece"),
            "shirt": ("blouse", "buttoned blouse"),
            "hoodie": ("anorak", "cagoule"),
            "jacket": ("blazer", "windbreaker"),
            "coat": ("trenchcoat", "mackintosh"),
        },
        USUAL.tops,
    ),
    patterns={
        "striped": ("{a} {n} ringed by {b} hoops", "{a} {n} layered in {b} bars"),
        "pinstriped": ("{a} {n} ruled in vertical {b} streaks", "{a} {n} traced by slim {b} columns"),
        "checked": ("{a} {n} gridded in {b}", "plaid {n} mixing {a} plus {b}"),
        "dotted": ("{a} {n} sprinkled in {b} spots", "{a} {n} speckled {b}"),
        "two-tone": ("{n} shifting midway from {a} to {b}", "colour-blocked {n}, {a} over {b}"),
        "banded": ("{a} {n} crossed by one wide {b} swath", "{a} {n} girdled once in {b}"),
    },
    plain=("", "", "unpatterned "),
    bottoms=_mixed(
        {
            "trousers": ("slacks", "chinos"),
            "jeans": ("denims", "rugged denims"),
            "shorts": ("bermudas", "cut-offs"),
            "skirt": ("a {} kilt", "a knee-high {} kilt"),
            "long skirt": ("a {} sarong", "a sweeping {} sarong"),
        },
        USUAL.bottoms,
    ),
    shoes=_mixed(
        {
            "trainers": ("runners", "plimsolls"),
            "shoes": ("footwear",),
            "boots": ("wellingtons", "gumboots"),
        },
        USUAL.shoes,
    ),
    bags=_mixed(
        {
            "backpack": ("knapsack", "haversack"),
            "shoulder bag": ("satchel", "messenger pouch"),
            "handbag": ("purse", "clutch"),
            "shopping bag": ("tote", "grocery sack"),
        },
        USUAL.bags,
    ),
    hats=_mixed(
        {
            "cap": ("snapback", "peaked headgear"),
            "woolly hat": ("toque", "bobble toque"),
            "sun hat": ("panama", "fedora"),
        },
        USUAL.hats,
    ),
    hair=_mixed(
        {
            "short": ("cropped {} locks", "a {} buzzcut"),
            "long": ("flowing {} locks", "{} tresses"),
            "tied": ("gathered {} locks", "a {} updo"),
            "curly": ("frizzy {} locks", "{} ringlets"),
            "no": ("{} locks absent",),
        },
        USUAL.hair,
    ),
    others={
        "open jacket": ("unfastened blazer", "unfastened windbreaker"),
        "scarf": ("a {} muffler", "a {} neckerchief"),
        "bald": ("a shaven scalp", "a hairless crown"),
        "print front": ("an emblem across the chest", "a motif across the chest"),
        "print back": ("an emblem across the shoulder blades", "a motif across the shoulder blades"),
        "bare arms": ("uncovered forearms", "exposed forearms"),
        "bare legs": ("uncovered shins", "exposed calves"),
        "long sleeves": ("cloth reaching the wrists",),
        "short sleeves": ("cloth ending near the elbows",),
        "turned front": ("eyes toward the lens",),
        "turned back": ("shoulder blades toward the lens",),
        "turned side": ("one flank toward the lens",),
        "hidden": ("large portions concealed",),
    },
    compose=_compose,
)
