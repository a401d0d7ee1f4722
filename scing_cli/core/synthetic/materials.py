"""How people and scenes look to near-infrared and thermal cameras: the same shapes in other shades.

A material's near-infrared reflectance has nothing to do with its visible colour: it is drawn for each piece of cloth
of each person. Most dyes are transparent there, so patterns and prints are faint. A thermal camera sees warmth: skin
is bright, cloth is flat and warmer the thinner it is, and bags are as cold as their surroundings.

Shades of grey stand for both, as RGB triples with three equal values, because people are drawn in RGB.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from scing_cli.core.spectra import VISIBLE
from scing_cli.core.synthetic.dice import around, between, dice
from scing_cli.core.synthetic.palette import RGB, Shade, clip_rgb
from scing_cli.core.synthetic.people import Head, Person
from scing_cli.core.synthetic.wardrobe import TOPS, Bag, Bottom, Hat, Shoes, Top

Draw = Callable[[], RGB]
_DARKEST, _BRIGHTEST = 52.0, 212.0  # near-infrared reflectance of cloth
_FAINT = 0.3  # contrast of patterns and prints in near infra-red
_THIN = MappingProxyType({"t-shirt": 22.0, "vest top": 24.0, "shirt": 14.0, "sweater": -4.0, "hoodie": -8.0})
_WARMTH: Mapping[str, float] = MappingProxyType({**dict.fromkeys(TOPS, -18.0), **_THIN})
"""Kind of top -> how much warmer its surface is than the mean of clothes; jackets and coats keep the warmth inside."""


@functools.lru_cache(maxsize=1024)
def dressed(person: Person, spectrum: str) -> Person:
    """Return a person in the shades of a spectrum: equal people give equal shades; shapes stay as they are."""
    if spectrum == VISIBLE:
        return person
    # The person is the key, so that passers-by need no number of their own.
    rng = dice(spectrum, repr(person))
    return _reflecting(person, rng) if spectrum == "nir" else _radiating(person, rng)


def surroundings(picture: Image.Image, spectrum: str, ambient: float) -> Image.Image:
    """Return a picture of things, RGB, in the shades of a spectrum.

    Args:
        picture: RGB, as painted for visible light.
        spectrum: One of `SPECTRA`.
        ambient: For a thermal camera, the shade of the surroundings' temperature, 0 to 255.
    """
    if spectrum == VISIBLE:
        return picture
    red, green, blue = (np.asarray(band, dtype=np.float32) for band in picture.split())
    if spectrum == "nir":  # plants are bright, sky and glass are dark
        grey = 0.55 * red + 0.85 * green - 0.5 * blue + 12
    else:
        grey = ambient + 0.16 * (0.3 * red + 0.6 * green + 0.1 * blue - 128)
    image = Image.fromarray(np.clip(grey + 0.5, 0, 255).astype(np.uint8))
    return (image if spectrum == "nir" else image.filter(ImageFilter.BoxBlur(2))).convert("RGB")


def _grey(value: float) -> RGB:
    return clip_rgb(value, value, value)


def _reflecting(person: Person, rng: np.random.Generator) -> Person:
    """Return a person as near-infrared light shows them."""

    def cloth() -> RGB:
        return _grey(between(rng, _DARKEST, _BRIGHTEST))

    base = between(rng, _DARKEST, _BRIGHTEST)

    def dye() -> RGB:
        return _grey(base + _FAINT * (between(rng, _DARKEST, _BRIGHTEST) - base))

    head = dataclasses.replace(
        person.head,
        skin=_grey(around(rng, 198.0, 8.0)),  # skin of every colour is alike here
        shade=Shade(person.head.shade.name, _grey(around(rng, 104.0, 26.0))),
        glasses=person.head.glasses and _grey(60.0),
    )
    return _painted(person, head, _top(person.top, _grey(base), dye, cloth), cloth)


def _radiating(person: Person, rng: np.random.Generator) -> Person:
    """Return a person as a thermal camera shows them: the brighter, the warmer."""
    warmth = 140.0 + _WARMTH[person.top.style.kind] + around(rng, 0.0, 7.0)

    def flat() -> RGB:
        return _grey(warmth + around(rng, 0.0, 2.0))

    def lukewarm() -> RGB:
        return _grey(around(rng, 126.0, 7.0))

    def cold() -> RGB:
        return _grey(around(rng, 84.0, 6.0))

    head = _warm_head(person.head, rng)
    top = dataclasses.replace(_top(person.top, _grey(warmth), flat, flat), inner=_grey(warmth + 26.0))
    legs = _grey(around(rng, 134.0, 7.0))
    warm = _painted(person, head, top, lukewarm)
    return dataclasses.replace(
        warm,
        bottom=_bottom(person.bottom, legs, lambda: _grey(legs[0] + around(rng, 0.0, 2.0))),
        shoes=_shoes(person.shoes, cold),
        bag=_bag(person.bag, cold),
    )


def _warm_head(head: Head, rng: np.random.Generator) -> Head:
    return dataclasses.replace(
        head,
        skin=_grey(around(rng, 226.0, 4.0)),
        shade=Shade(head.shade.name, _grey(around(rng, 150.0, 9.0))),
        glasses=head.glasses and _grey(96.0),  # glass lets no warmth through
    )


def _painted(person: Person, head: Head, top: Top, draw: Draw) -> Person:
    return dataclasses.replace(
        person,
        head=head,
        top=top,
        bottom=_bottom(person.bottom, draw(), draw),
        shoes=_shoes(person.shoes, draw),
        bag=_bag(person.bag, draw),
        hat=_hat(person.hat, draw),
        scarf=person.scarf and Shade(person.scarf.name, draw()),
    )


def _top(top: Top, base: RGB, dye: Draw, cloth: Draw) -> Top:
    return dataclasses.replace(
        top,
        shade=Shade(top.shade.name, base),
        second=Shade(top.second.name, dye()),
        inner=cloth(),
        trim=dye(),
        prints=tuple(dataclasses.replace(figure, rgb=dye()) for figure in top.prints),
    )


def _bottom(bottom: Bottom, base: RGB, draw: Draw) -> Bottom:
    return dataclasses.replace(
        bottom,
        shade=Shade(bottom.shade.name, base),
        belt=bottom.belt and draw(),
        side=bottom.side and draw(),
        cuff=bottom.cuff and draw(),
        patch=bottom.patch and (draw(), *bottom.patch[1:]),
        fade=0.0,
    )


def _shoes(shoes: Shoes, draw: Draw) -> Shoes:
    return dataclasses.replace(shoes, shade=Shade(shoes.shade.name, draw()), sole=draw(), sock=draw())


def _bag(bag: Bag, draw: Draw) -> Bag:
    return dataclasses.replace(bag, shade=Shade(bag.shade.name, draw()), strap=draw(), pocket=draw())


def _hat(hat: Hat, draw: Draw) -> Hat:
    return dataclasses.replace(hat, shade=Shade(hat.shade.name, draw()), band=draw())
