"""Captions of single images, in varied wording, that name only what is visible.

Captions are coarse on purpose. They name kinds, colours and patterns, but no exact shade, proportion or trimming, so
that re-identification still has something to learn.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import chance, pick
from scing_cli.core.synthetic.palette import RGB
from scing_cli.core.synthetic.people import Person

LEAST = 3  # attributes per caption
SHAFT = 0.75  # trouser legs longer than this share of the leg cover the shaft of a boot
OPEN = 0.3  # an open front is visible where the cosine of the yaw is greater
APART = 22.0  # least difference of a channel, of 255, at which two colours look different


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What an image shows.

    Args:
        pixels: Final pixels per part.
        yaw: Turn of the person from the camera, in radians.
        clarity: Factor by which the camera scales a colour difference.
    """

    pixels: Mapping[Part, int]
    yaw: float
    clarity: float = 1.0

    def shows(self, parts: tuple[Part, ...], least: float) -> bool:
        """Return whether at least `least` pixels, and never fewer than two, show any of the parts."""
        return sum(self.pixels[part] for part in parts) >= max(2.0, least)

    def tells_apart(self, one: RGB, other: RGB) -> bool:
        """Return whether two colours of a garment still look different in this image."""
        return self.clarity * max(abs(a - b) for a, b in zip(one, other, strict=True)) >= APART


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """One visible attribute.

    Args:
        role: `worn` (after "wearing"), `with` or `carried`.
        words: A noun phrase with its article.
        weight: Relative probability that a caption names it.
    """

    role: str
    words: str
    weight: float


_TOP_WORDS: Mapping[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee", "short-sleeved top"),
    "vest top": ("vest top", "tank top", "sleeveless top"),
    "sweater": ("sweater", "jumper", "pullover"),
    "shirt": ("shirt", "button-up shirt", "collared shirt"),
    "hoodie": ("hoodie", "hooded top", "hooded sweatshirt"),
    "jacket": ("jacket", "short jacket"),
    "coat": ("coat", "long coat", "overcoat"),
}
_PATTERN_WORDS: Mapping[str, tuple[str, ...]] = {
    "striped": ("{a} and {b} striped {n}", "{a} {n} with {b} stripes", "striped {a} {n}"),
    "pinstriped": ("{a} {n} with thin {b} lines", "{a} {n} with upright {b} stripes", "pinstriped {a} {n}"),
    "checked": ("{a} and {b} checked {n}", "{a} {n} with {b} checks", "checked {a} {n}"),
    "dotted": ("{a} {n} with {b} dots", "{a} and {b} dotted {n}", "dotted {a} {n}"),
    "two-tone": ("{a} and {b} {n}", "two-tone {n} in {a} and {b}", "{n} that is {a} above and {b} below"),
    "banded": ("{a} {n} with a {b} band", "{a} {n} with a broad {b} stripe"),
}
_BOTTOM_WORDS: Mapping[str, tuple[str, ...]] = {
    "trousers": ("trousers", "pants", "long trousers"),
    "jeans": ("jeans", "denim trousers"),
    "shorts": ("shorts", "short trousers"),
    "skirt": ("a {} skirt", "a {} knee-length skirt"),
    "long skirt": ("a long {} skirt", "a {} maxi skirt"),
}
_SHOE_WORDS: Mapping[str, tuple[str, ...]] = {
    "trainers": ("trainers", "sneakers"),
    "shoes": ("shoes",),
    "boots": ("boots", "high boots"),
}
_BAG_WORDS: Mapping[str, tuple[str, ...]] = {
    "backpack": ("backpack", "rucksack"),
    "shoulder bag": ("shoulder bag", "crossbody bag"),
    "handbag": ("handbag", "small bag"),
    "shopping bag": ("shopping bag", "carrier bag"),
}
_HAT_WORDS: Mapping[str, tuple[str, ...]] = {
    "cap": ("cap", "baseball cap"),
    "woolly hat": ("woolly hat", "beanie", "knitted hat"),
    "sun hat": ("sun hat", "brimmed hat"),
}
_WHO = ("a person", "a pedestrian", "someone", "a walker", "a passer-by")
_VIEWS: Mapping[str, tuple[str, ...]] = {
    "front": ("seen from the front", "facing the camera"),
    "back": ("seen from behind", "turned away"),
    "side": ("seen from the side", "in profile"),
}
_WEAR = ("wearing", "in", "dressed in", "who wears")


def write_caption(person: Person, seen: Seen, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """Return a sentence about one image, and the phrases of the attributes (three or more) that it names."""
    facts = visible_facts(person, seen, rng)
    count = max(LEAST, min(len(facts), LEAST + 1 + int(rng.random() * 3)))
    chosen = facts[:LEAST] if len(facts) <= LEAST else _choose(facts, count, rng)
    return _compose(chosen, seen, rng), tuple(_articles(fact.words) for fact in chosen)


def visible_facts(person: Person, seen: Seen, rng: np.random.Generator) -> list[Fact]:
    """Return the visible attributes of the person, at least three; `rng` decides the wording."""
    facts: list[Fact] = []
    # Accept smaller visible areas step by step until there are enough attributes.
    for share in (1.0, 0.4, 0.1):
        facts = [*_worn(person, seen, rng, share), *_bodily(person, seen, rng, share)]
        if len(facts) >= LEAST:
            return facts
    named = {fact.words for fact in facts}
    more = [fact for fact in _last_resort(person, seen) if fact.words not in named]
    return [*facts, *more][: max(LEAST, len(facts))]


def _worn(person: Person, seen: Seen, rng: np.random.Generator, share: float) -> Iterator[Fact]:
    """Yield clothes and bags of which at least `share` of the pixels needed to recognise them are visible."""
    if seen.shows((Part.TOP, Part.SLEEVE, Part.PRINT), 60 * share):
        yield Fact("worn", _top_words(person, seen, rng), 6)
    if seen.shows((Part.LEGS,), 60 * share):
        yield Fact("worn", _bottom_words(person, rng), 5)
    if seen.shows((Part.SHOES,), 14 * share):
        covered = person.shoes.kind == "boots" and person.bottom.length > SHAFT
        kind = "shoes" if covered else person.shoes.kind  # the shaft of the boot is hidden
        yield Fact("worn", f"{person.shoes.shade.name} {pick(rng, _SHOE_WORDS[kind])}", 2)
    if seen.shows((Part.HAT,), 16 * share):
        yield Fact("worn", f"a {person.hat.shade.name} {pick(rng, _HAT_WORDS[person.hat.kind])}", 3)
    if person.scarf and seen.shows((Part.SCARF,), 10 * share):
        yield Fact("worn", f"a {person.scarf.name} scarf", 2)
    if seen.shows((Part.BAG,), 24 * share):
        yield Fact("carried", f"a {person.bag.shade.name} {pick(rng, _BAG_WORDS[person.bag.kind])}", 3)


def _bodily(person: Person, seen: Seen, rng: np.random.Generator, share: float) -> Iterator[Fact]:
    """Yield hair, prints and bare limbs of which enough is visible; `share` as in `_worn`."""
    if seen.shows((Part.HAIR,), 18 * share):
        yield Fact("with", _hair_words(person), 3)
    elif person.head.hair == "no" and not person.hat.kind and seen.shows((Part.SCALP,), 18 * share):
        yield Fact("with", pick(rng, ("a bald head", "no hair")), 2)
    if seen.shows((Part.PRINT,), 12 * share) and (sides := _printed_sides(person, seen)):
        yield Fact("with", f"a print on the {sides[0]}", 1.5)
    if seen.shows((Part.BARE_ARM,), 40 * share):
        yield Fact("with", "bare arms", 0.8)
    if seen.shows((Part.BARE_LEG,), 40 * share):
        yield Fact("with", "bare legs", 0.8)


def _printed_sides(person: Person, seen: Seen) -> list[str]:
    """Return the sides with a visible print that differs enough in colour from its cloth, nearer sides first."""
    near = sorted(person.top.prints, key=lambda one: -math.cos(seen.yaw - one.turn))
    plain = [one for one in near if seen.tells_apart(one.rgb, person.top.shade.rgb)]
    return ["front" if math.cos(one.turn) > 0 else "back" for one in plain]


def _last_resort(person: Person, seen: Seen) -> list[Fact]:
    """Return attributes for an image that shows hardly anything of the person: sleeves, view, hidden body."""
    sleeves = (
        "long sleeves" if person.top.cut.sleeve > 0.5 else "short sleeves" if person.top.cut.sleeve else "bare arms"
    )
    facts = [Fact("with", sleeves, 1)] if seen.pixels[Part.SLEEVE] + seen.pixels[Part.BARE_ARM] else []
    turned = {"front": "the face to the camera", "back": "the back to the camera", "side": "one side to the camera"}
    return [*facts, Fact("with", turned[_side(seen.yaw)], 1), Fact("with", "much of the body hidden", 1)]


def _choose(facts: list[Fact], count: int, rng: np.random.Generator) -> list[Fact]:
    """Return `count` facts, in the order given, sampled without replacement by their weights."""
    # Efraimidis and Spirakis: the largest values of u ** (1 / weight) are such a sample.
    keys = [float(rng.random()) ** (1 / fact.weight) for fact in facts]
    best = sorted(range(len(facts)), key=lambda row: -keys[row])[:count]
    return [facts[row] for row in sorted(best)]


def _compose(facts: list[Fact], seen: Seen, rng: np.random.Generator) -> str:
    """Return one sentence that names the facts and, in some captions, the view of the person."""
    words = {role: [fact.words for fact in facts if fact.role == role] for role in ("worn", "with", "carried")}
    if chance(rng, 0.4):
        words["worn"].reverse()
    tail = [f"{pick(rng, _WEAR)} {_join(words['worn'])}"] if words["worn"] else []
    tail += [f"{pick(rng, ('carrying', 'with'))} {_join(words['carried'])}"] if words["carried"] else []
    if words["with"]:
        tail.insert(0 if chance(rng, 0.5) else len(tail), f"with {_join(words['with'])}")
    glue = pick(rng, (", ", " and ")) if len(tail) == 2 else ", "
    text = f"{pick(rng, _WHO)} {glue.join(tail)}"
    if chance(rng, 0.3):
        view = pick(rng, _VIEWS[_side(seen.yaw)])
        text = f"{view}, {text}" if chance(rng, 0.5) else f"{text}, {view}"
    text = _articles(text)
    return f"{text[0].upper()}{text[1:]}."


def _side(yaw: float) -> str:
    turn = math.cos(yaw)
    return "front" if turn > 0.6 else "back" if turn < -0.6 else "side"


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _articles(words: str) -> str:
    return re.sub(r"\ba (?=[aeiou])", "an ", words)


def _top_words(person: Person, seen: Seen, rng: np.random.Generator) -> str:
    top = person.top
    noun = pick(rng, _TOP_WORDS[top.style.kind])
    if top.style.kind == "jacket" and math.cos(seen.yaw) > OPEN and chance(rng, 0.3):
        noun = "open jacket"
    if top.style.pattern == "plain" or not seen.tells_apart(top.shade.rgb, top.second.rgb):
        bare = top.style.pattern == "plain" and not top.prints
        return f"a {pick(rng, ('', '', 'plain ')) if bare else ''}{top.style.colour} {noun}"
    return "a " + pick(rng, _PATTERN_WORDS[top.style.pattern]).format(a=top.style.colour, b=top.style.second, n=noun)


def _bottom_words(person: Person, rng: np.random.Generator) -> str:
    words, colour = pick(rng, _BOTTOM_WORDS[person.bottom.kind]), person.bottom.shade.name
    return words.format(colour) if "{}" in words else f"{colour} {words}"


def _hair_words(person: Person) -> str:
    colour = person.head.shade.name
    return f"{colour} hair tied back" if person.head.hair == "tied" else f"{person.head.hair} {colour} hair"
