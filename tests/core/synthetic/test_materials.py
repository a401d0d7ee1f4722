"""People in near infra-red and as warmth: shades of their own, the same shapes."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.synthetic import Person, draw_people
from scing_cli.core.synthetic.canvas import SIZE
from scing_cli.core.synthetic.materials import dressed, surroundings
from scing_cli.core.synthetic.palette import Shade

PEOPLE = draw_people(64, "test materials")


def shapes(value: object) -> object:
    """Return all that is no colour."""
    if isinstance(value, Shade):
        return value.name
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(part, int) for part in value):
        return "colour"
    if isinstance(value, tuple):
        return tuple(map(shapes, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: shapes(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


def colours(value: object) -> list[tuple[int, int, int]]:
    if isinstance(value, Shade):
        return [value.rgb]
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(part, int) for part in value):
        return [value]
    if isinstance(value, tuple):
        return list(itertools.chain.from_iterable(map(colours, value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return list(itertools.chain.from_iterable(colours(getattr(value, f.name)) for f in dataclasses.fields(value)))
    return []


def luminance(rgb: tuple[int, int, int]) -> float:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def test_visible_light_changes_nothing() -> None:
    assert dressed(PEOPLE[0], "rgb") is PEOPLE[0]
    picture = Image.new("RGB", SIZE, (10, 20, 30))
    assert surroundings(picture, "rgb", 0.0) is picture


@pytest.mark.parametrize("spectrum", ["nir", "tir"])
def test_every_shade_is_grey_and_every_shape_stays(spectrum: str) -> None:
    for person in PEOPLE:
        other = dressed(person, spectrum)
        assert all(len(set(rgb)) == 1 for rgb in colours(other))
        ours, theirs = shapes(person), shapes(other)
        for each in (ours, theirs):
            each["bottom"].pop("fade")  # type: ignore[index]  # washed-out colour, not a shape
        assert ours == theirs


@pytest.mark.parametrize("spectrum", ["nir", "tir"])
def test_shades_belong_to_the_person(spectrum: str) -> None:
    again = draw_people(8, "test materials")
    dressed.cache_clear()
    assert [dressed(person, spectrum) for person in again] == [dressed(person, spectrum) for person in PEOPLE[:8]]
    tops = {dressed(person, spectrum).top.shade.rgb for person in PEOPLE}
    assert len(tops) > 16


def test_near_infrared_cloth_has_nothing_to_do_with_its_visible_colour() -> None:
    def pieces(person: Person) -> list[tuple[int, int, int]]:
        return [person.top.shade.rgb, person.bottom.shade.rgb, person.shoes.shade.rgb]

    people = draw_people(400, "many materials")
    visible = np.array([[luminance(rgb) for rgb in pieces(person)] for person in people])
    near = np.array([[rgb[0] for rgb in pieces(dressed(person, "nir"))] for person in people])
    assert np.all(np.abs([np.corrcoef(visible[:, k], near[:, k])[0, 1] for k in range(3)]) < 0.15)
    assert np.all(near.std(axis=0) > 30)  # enough to tell people apart
    groups = near[:, 0].reshape(-1, 4)  # look-alikes
    assert np.mean(groups.std(axis=1)) > 25


def test_patterns_are_faint_in_near_infrared_and_gone_in_thermal() -> None:
    visible, near, warm = (
        [abs(luminance(top.shade.rgb) - luminance(top.second.rgb)) for top in tops]
        for tops in ([dressed(person, spectrum).top for person in PEOPLE] for spectrum in ("rgb", "nir", "tir"))
    )
    assert np.mean(warm) < 5 < np.mean(near) < 0.5 * np.mean(visible)


def test_skin_is_warm_bags_are_cold_and_thick_clothes_keep_the_warmth() -> None:
    warm = [dressed(person, "tir") for person in PEOPLE]
    for person in warm:
        cloth = person.top.shade.rgb[0]
        assert person.head.skin[0] > person.top.inner[0] > cloth > person.bag.shade.rgb[0]
        assert person.head.skin[0] > person.head.shade.rgb[0]
    means = {
        kind: np.mean([p.top.shade.rgb[0] for p in warm if p.top.style.kind == kind]) for kind in ("t-shirt", "coat")
    }
    assert means["t-shirt"] > means["coat"] + 20


def test_plants_are_bright_in_near_infrared_and_things_have_the_temperature_of_the_air() -> None:
    def shade(rgb: tuple[int, int, int], spectrum: str, ambient: float = 80.0) -> int:
        return int(np.asarray(surroundings(Image.new("RGB", SIZE, rgb), spectrum, ambient))[9, 9, 0])

    assert shade((62, 108, 58), "nir") > shade((92, 106, 180), "nir") + 40
    for rgb in ((0, 0, 0), (120, 40, 200), (255, 255, 255)):
        assert abs(shade(rgb, "tir") - 80) <= 22
