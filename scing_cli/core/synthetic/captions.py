"""Captions of single images, in varied wording, that name only what is visible.

Captions are coarse on purpose. They name kinds, colours and patterns, but no exact shade, proportion or trimming, so
that re-identification still has something to learn.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import chance, dice, pick
from scing_cli.core.synthetic.palette import RGB
from scing_cli.core.synthetic.people import Person
from scing_cli.core.synthetic.unmet import UNMET
from scing_cli.core.synthetic.wording import USUAL, Wording, articles, only_or_pick

WORDINGS: Mapping[str, Wording] = MappingProxyType({"usual": USUAL, "unmet": UNMET})
TOLD = 2  # captions of an image, where a wording is asked for
LEAST = 3  # attributes per caption
SHAFT = 0.75  # trouser legs longer than this share of the leg cover the shaft of a boot
OPEN = 0.3  # an open front is visible where the cosine of the yaw is greater
APART = 22.0  # least difference of a channel, of 255, at which two colours look different


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What an image shows.

    Args:
        pixels: Pixels per part, of 64 x 128.
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
        name: What it is; an image has one fact of a name at most.
        role: `worn` (after "wearing"), `with` or `carried`.
        words: A noun phrase with its article.
        weight: Relative probability that a caption names it.
    """

    name: str
    role: str
    words: str
    weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about one image, and the phrases of the attributes (three or more) that it names."""

    text: str
    named: tuple[str, ...]


def write_captions(person: Person, seen: Seen, *key: int | str, wording: str = "") -> tuple[Caption, ...]:
    """Return one caption of an image in the usual wording; if a wording is named, two different ones in it.

    All captions of an image name the same attributes, whatever the wording.

    Args:
        person: The person.
        seen: What the image shows.
        key: Decides attributes and words.
        wording: A key of `WORDINGS`, or empty.
    """
    rng = dice(*key, "words")
    facts = visible_facts(person, seen, rng)
    count = max(LEAST, min(len(facts), LEAST + 1 + int(rng.random() * 3)))
    chosen = list(range(LEAST)) if len(facts) <= LEAST else _choose(facts, count, rng)
    first = _caption([facts[row] for row in chosen], seen, rng, USUAL)
    if not wording:
        return (first,)
    captions = [first] if wording == "usual" else []
    words = WORDINGS[wording]
    for attempt in itertools.count():
        rng = dice(*key, "words", wording, attempt)
        facts = visible_facts(person, seen, rng, words)
        caption = _caption([facts[row] for row in chosen], seen, rng, words)
        if caption.text not in [one.text for one in captions]:
            captions.append(caption)
        if len(captions) == TOLD:
            break
    return tuple(captions)


def _caption(facts: list[Fact], seen: Seen, rng: np.random.Generator, wording: Wording) -> Caption:
    phrases = {role: [fact.words for fact in facts if fact.role == role] for role in ("worn", "with", "carried")}
    text = wording.compose(phrases, _side(seen.yaw), rng)
    return Caption(text, tuple(articles(fact.words) for fact in facts))


def visible_facts(person: Person, seen: Seen, rng: np.random.Generator, wording: Wording = USUAL) -> list[Fact]:
    """Return the visible attributes of the person, at least three; `rng` decides the words alone."""
    facts: list[Fact] = []
    # Accept smaller visible areas step by step until there are enough attributes.
    for share in (1.0, 0.4, 0.1):
        facts = [*_worn(person, seen, rng, share, wording), *_bodily(person, seen, rng, share, wording)]
        if len(facts) >= LEAST:
            return facts
    named = {fact.name for fact in facts}
    more = [fact for fact in _last_resort(person, seen, rng, wording) if fact.name not in named]
    return [*facts, *more][: max(LEAST, len(facts))]


def _worn(person: Person, seen: Seen, rng: np.random.Generator, share: float, wording: Wording) -> Iterator[Fact]:
    """Yield clothes and bags of which at least `share` of the pixels needed to recognise them are visible."""
    if seen.shows((Part.TOP, Part.SLEEVE, Part.PRINT), 60 * share):
        yield Fact("top", "worn", _top_words(person, seen, rng, wording), 6)
    if seen.shows((Part.LEGS,), 60 * share):
        yield Fact("legs", "worn", _bottom_words(person, rng, wording), 5)
    if seen.shows((Part.SHOES,), 14 * share):
        covered = person.shoes.kind == "boots" and person.bottom.length > SHAFT
        noun = pick(rng, wording.shoes["shoes" if covered else person.shoes.kind])  # the boot's shaft may be hidden
        yield Fact("shoes", "worn", f"{wording.colour(person.shoes.shade.name, rng)} {noun}", 2)
    if seen.shows((Part.HAT,), 16 * share):
        noun = pick(rng, wording.hats[person.hat.kind])
        yield Fact("hat", "worn", f"a {wording.colour(person.hat.shade.name, rng)} {noun}", 3)
    if person.scarf and seen.shows((Part.SCARF,), 10 * share):
        words = wording.other("scarf", rng).format(wording.colour(person.scarf.name, rng))
        yield Fact("scarf", "worn", words, 2)
    if seen.shows((Part.BAG,), 24 * share):
        noun = pick(rng, wording.bags[person.bag.kind])
        yield Fact("bag", "carried", f"a {wording.colour(person.bag.shade.name, rng)} {noun}", 3)


def _bodily(person: Person, seen: Seen, rng: np.random.Generator, share: float, wording: Wording) -> Iterator[Fact]:
    """Yield hair, prints and bare limbs of which enough is visible; `share` as in `_worn`."""
    if seen.shows((Part.HAIR,), 18 * share):
        colour = wording.hair_colour(person.head.shade.name, rng)
        yield Fact("hair", "with", only_or_pick(rng, wording.hair[person.head.hair]).format(colour), 3)
    elif person.head.hair == "no" and not person.hat.kind and seen.shows((Part.SCALP,), 18 * share):
        yield Fact("hair", "with", wording.other("bald", rng), 2)
    if seen.shows((Part.PRINT,), 12 * share) and (sides := _printed_sides(person, seen)):
        yield Fact("print", "with", wording.other(f"print {sides[0]}", rng), 1.5)
    if seen.shows((Part.BARE_ARM,), 40 * share):
        yield Fact("bare arms", "with", wording.other("bare arms", rng), 0.8)
    if seen.shows((Part.BARE_LEG,), 40 * share):
        yield Fact("bare legs", "with", wording.other("bare legs", rng), 0.8)


def _printed_sides(person: Person, seen: Seen) -> list[str]:
    """Return the sides with a visible print that differs enough in colour from its cloth, nearer sides first."""
    near = sorted(person.top.prints, key=lambda one: -math.cos(seen.yaw - one.turn))
    plain = [one for one in near if seen.tells_apart(one.rgb, person.top.shade.rgb)]
    return ["front" if math.cos(one.turn) > 0 else "back" for one in plain]


def _last_resort(person: Person, seen: Seen, rng: np.random.Generator, wording: Wording) -> list[Fact]:
    """Return attributes for an image that shows hardly anything of the person: sleeves, view, hidden body."""
    covered = person.top.cut.sleeve
    sleeves = "long sleeves" if covered > 0.5 else "short sleeves" if covered else "bare arms"
    names = [sleeves] if seen.pixels[Part.SLEEVE] + seen.pixels[Part.BARE_ARM] else []
    return [Fact(name, "with", wording.other(name, rng), 1) for name in (*names, f"turned {_side(seen.yaw)}", "hidden")]


def _choose(facts: list[Fact], count: int, rng: np.random.Generator) -> list[int]:
    """Return the rows of `count` facts, in the order given, sampled without replacement by their weights."""
    # Efraimidis and Spirakis: the largest values of u ** (1 / weight) are such a sample.
    keys = [float(rng.random()) ** (1 / fact.weight) for fact in facts]
    best = sorted(range(len(facts)), key=lambda row: -keys[row])[:count]
    return sorted(best)


def _side(yaw: float) -> str:
    turn = math.cos(yaw)
    return "front" if turn > 0.6 else "back" if turn < -0.6 else "side"


def _top_words(person: Person, seen: Seen, rng: np.random.Generator, wording: Wording) -> str:
    top = person.top
    noun = pick(rng, wording.tops[top.style.kind])
    if top.style.kind == "jacket" and math.cos(seen.yaw) > OPEN and chance(rng, 0.3):
        noun = wording.other("open jacket", rng)
    colour = wording.colour(top.style.colour, rng)
    if top.style.pattern == "plain" or not seen.tells_apart(top.shade.rgb, top.second.rgb):
        bare = top.style.pattern == "plain" and not top.prints
        return f"a {pick(rng, wording.plain) if bare else ''}{colour} {noun}"
    second = wording.colour(top.style.second, rng)
    return "a " + pick(rng, wording.patterns[top.style.pattern]).format(a=colour, b=second, n=noun)


def _bottom_words(person: Person, rng: np.random.Generator, wording: Wording) -> str:
    words = pick(rng, wording.bottoms[person.bottom.kind])
    colour = wording.colour(person.bottom.shade.name, rng)
    return words.format(colour) if "{}" in words else f"{colour} {words}"
