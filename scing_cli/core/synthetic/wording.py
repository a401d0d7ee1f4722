"""The words of captions: a `Wording` holds them, `USUAL` is the one that captions have by default.

The shipped models were pretrained with captions in the usual wording. `unmet.py` has another one, in other words.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from scing_cli.core.synthetic.dice import chance, pick

Table = Mapping[str, tuple[str, ...]]
Compose = Callable[[Mapping[str, list[str]], str, np.random.Generator], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Wording:
    """How captions name what they name. `{}` and `{a}` are a colour, `{b}` is a second one, `{n}` is a noun.

    Args:
        colours: Names of each colour; a colour that is missing has its own name.
        hair_colours: The same for hair.
        tops: Nouns of each kind of top.
        patterns: Noun phrases of each pattern, without an article.
        plain: What stands before the colour of a top without pattern and print.
        bottoms: Nouns of trousers and shorts; noun phrases of skirts.
        shoes: Nouns of each kind.
        bags: Nouns of each kind.
        hats: Nouns of each kind.
        hair: Noun phrases of each style.
        others: Noun phrases of all other attributes.
        compose: Makes a sentence of noun phrases by role (worn, with, carried) and the view: front, back or side.
    """

    colours: Table
    hair_colours: Table
    tops: Table
    patterns: Table
    plain: tuple[str, ...]
    bottoms: Table
    shoes: Table
    bags: Table
    hats: Table
    hair: Table
    others: Table
    compose: Compose

    def colour(self, name: str, rng: np.random.Generator) -> str:
        """Return a name of a colour of clothes."""
        return only_or_pick(rng, self.colours.get(name, (name,)))

    def hair_colour(self, name: str, rng: np.random.Generator) -> str:
        """Return a name of a colour of hair."""
        return only_or_pick(rng, self.hair_colours.get(name, (name,)))

    def other(self, name: str, rng: np.random.Generator) -> str:
        """Return a noun phrase of `others`."""
        return only_or_pick(rng, self.others[name])


def only_or_pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Return one of the options; a single option needs no draw."""
    return options[0] if len(options) == 1 else pick(rng, options)


def sentence(words: str) -> str:
    """Return the words with a capital letter, the right articles and a full stop."""
    text = articles(words)
    return f"{text[0].upper()}{text[1:]}."


def articles(words: str) -> str:
    """Return the words with "an" instead of "a" before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", words)


_WHO = ("a person", "a pedestrian", "someone", "a walker", "a passer-by")
_VIEWS: Table = {
    "front": ("seen from the front", "facing the camera"),
    "back": ("seen from behind", "turned away"),
    "side": ("seen from the side", "in profile"),
}
_WEAR = ("wearing", "in", "dressed in", "who wears")


def _compose(phrases: Mapping[str, list[str]], view: str, rng: np.random.Generator) -> str:
    """Return one sentence with the phrases and, in some captions, the view of the person."""
    words = {role: list(some) for role, some in phrases.items()}
    if chance(rng, 0.4):
        words["worn"].reverse()
    tail = [f"{pick(rng, _WEAR)} {_join(words['worn'])}"] if words["worn"] else []
    tail += [f"{pick(rng, ('carrying', 'with'))} {_join(words['carried'])}"] if words["carried"] else []
    if words["with"]:
        tail.insert(0 if chance(rng, 0.5) else len(tail), f"with {_join(words['with'])}")
    glue = pick(rng, (", ", " and ")) if len(tail) == 2 else ", "
    text = f"{pick(rng, _WHO)} {glue.join(tail)}"
    if chance(rng, 0.3):
        seen = pick(rng, _VIEWS[view])
        text = f"{seen}, {text}" if chance(rng, 0.5) else f"{text}, {seen}"
    return sentence(text)


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


USUAL = Wording(
    colours={},
    hair_colours={},
    tops={
        "t-shirt": ("t-shirt", "tee", "short-sleeved top"),
        "vest top": ("vest top", "tank top", "sleeveless top"),
        "sweater": ("sweater", "jumper", "pullover"),
        "shirt": ("shirt", "button-up shirt", "collared shirt"),
        "hoodie": ("hoodie", "hooded top", "hooded sweatshirt"),
        "jacket": ("jacket", "short jacket"),
        "coat": ("coat", "long coat", "overcoat"),
    },
    patterns={
        "striped": ("{a} and {b} striped {n}", "{a} {n} with {b} stripes", "striped {a} {n}"),
        "pinstriped": ("{a} {n} with thin {b} lines", "{a} {n} with upright {b} stripes", "pinstriped {a} {n}"),
        "checked": ("{a} and {b} checked {n}", "{a} {n} with {b} checks", "checked {a} {n}"),
        "dotted": ("{a} {n} with {b} dots", "{a} and {b} dotted {n}", "dotted {a} {n}"),
        "two-tone": ("{a} and {b} {n}", "two-tone {n} in {a} and {b}", "{n} that is {a} above and {b} below"),
        "banded": ("{a} {n} with a {b} band", "{a} {n} with a broad {b} stripe"),
    },
    plain=("", "", "plain "),
    bottoms={
        "trousers": ("trousers", "pants", "long trousers"),
        "jeans": ("jeans", "denim trousers"),
        "shorts": ("shorts", "short trousers"),
        "skirt": ("a {} skirt", "a {} knee-length skirt"),
        "long skirt": ("a long {} skirt", "a {} maxi skirt"),
    },
    shoes={"trainers": ("trainers", "sneakers"), "shoes": ("shoes",), "boots": ("boots", "high boots")},
    bags={
        "backpack": ("backpack", "rucksack"),
        "shoulder bag": ("shoulder bag", "crossbody bag"),
        "handbag": ("handbag", "small bag"),
        "shopping bag": ("shopping bag", "carrier bag"),
    },
    hats={
        "cap": ("cap", "baseball cap"),
        "woolly hat": ("woolly hat", "beanie", "knitted hat"),
        "sun hat": ("sun hat", "brimmed hat"),
    },
    hair={
        "short": ("short {} hair",),
        "long": ("long {} hair",),
        "tied": ("{} hair tied back",),
        "curly": ("curly {} hair",),
        "no": ("no {} hair",),
    },
    others={
        "open jacket": ("open jacket",),
        "scarf": ("a {} scarf",),
        "bald": ("a bald head", "no hair"),
        "print front": ("a print on the front",),
        "print back": ("a print on the back",),
        "bare arms": ("bare arms",),
        "bare legs": ("bare legs",),
        "long sleeves": ("long sleeves",),
        "short sleeves": ("short sleeves",),
        "turned front": ("the face to the camera",),
        "turned back": ("the back to the camera",),
        "turned side": ("one side to the camera",),
        "hidden": ("much of the body hidden",),
    },
    compose=_compose,
)
