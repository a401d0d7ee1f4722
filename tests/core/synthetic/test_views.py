"""Single synthetic images: what they show, what their captions say, and occlusion."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scing_cli.core.synthetic import Person, draw_cameras, draw_people, render, render_view
from scing_cli.core.synthetic.canvas import SIZE, Canvas, Part
from scing_cli.core.synthetic.captions import LEAST, Seen, visible_facts
from scing_cli.core.synthetic.dice import dice
from scing_cli.core.synthetic.figure import draw_figure
from scing_cli.core.synthetic.occluders import THINGS, Layer, cover, slide_in
from scing_cli.core.synthetic.palette import COLOURS
from scing_cli.core.synthetic.prints import Print
from scing_cli.core.synthetic.rig import Placement, Pose, Rig
from scing_cli.core.synthetic.textures import COLUMNS, wrap

PEOPLE = draw_people(16, "test views")
CAMERAS = draw_cameras(6, "test views")
MIDDLE = Placement(x=64, top=12, unit=232, stretch=1.0, elevation=0.1)


def figure(person: Person, yaw: float) -> np.ndarray:
    """Draw somebody who stands still; return the map of parts."""
    canvas = Canvas(Image.new("RGB", SIZE))
    draw_figure(canvas, Rig(person, Pose(yaw, 0.0, 0.0, (0.0, 0.0), 0, 0.0), MIDDLE))
    return np.asarray(canvas.parts)


def pixels(parts: np.ndarray) -> dict[Part, int]:
    return {part: int((parts[::2, ::2] == part).sum()) for part in Part}


def facts(person: Person, parts: np.ndarray, yaw: float) -> list[str]:
    return [fact.words for fact in visible_facts(person, Seen(pixels(parts), yaw), dice("words"))]


def test_render_gives_an_image_and_words() -> None:
    image, caption = render(PEOPLE[0], CAMERAS[0], "test", 1)
    assert (image.mode, image.size) == ("RGB", (64, 128))
    assert render(PEOPLE[0], CAMERAS[0], "test", 1)[0].tobytes() == image.tobytes()
    assert render(PEOPLE[0], CAMERAS[0], "test", 2)[0].tobytes() != image.tobytes()
    assert caption[0].isupper()


@given(key=st.integers(0, 2**40), who=st.integers(0, 15), camera=st.integers(0, 5), occluded=st.booleans())
@settings(deadline=None, max_examples=60)
def test_any_image_names_three_attributes_of_its_person(key: int, who: int, camera: int, *, occluded: bool) -> None:
    person = PEOPLE[who]
    result = render_view(person, CAMERAS[camera], "any", key, occluded=occluded)
    assert len(set(result.named)) >= LEAST
    assert all(words in result.caption for words in result.named)
    own = {person.top.style.colour, person.top.style.second, person.bottom.shade.name, person.shoes.shade.name}
    own |= {person.bag.shade.name, person.hat.shade.name, person.head.shade.name, "light blue", "blue"}
    own |= {person.scarf.name} if person.scarf else set()
    spoken = result.caption.lower().replace(",", "").replace(".", "").split()
    assert {colour for colour in COLOURS if colour in spoken} <= own
    if occluded:
        assert 0.3 <= result.hidden <= 0.6
    else:
        assert result.hidden < 0.5


def test_a_print_on_the_chest_is_seen_from_the_front_alone() -> None:
    chest = (Print("disc", (250, 250, 0), 0.12, 0.0, 0.4),)
    person = next(p for p in PEOPLE if p.top.cut.front == "plain" and p.bag.kind in {"", "handbag"})
    person = dataclasses.replace(person, top=dataclasses.replace(person.top, prints=chest))
    front, back = figure(person, 0.0), figure(person, math.pi)
    assert "a print on the front" in facts(person, front, 0.0)
    assert not any("print" in words for words in facts(person, back, math.pi))
    side = pixels(figure(person, math.pi / 3))[Part.PRINT]
    assert 0 < side < pixels(front)[Part.PRINT]


def test_a_backpack_is_seen_from_behind_and_hides_the_back() -> None:
    bag = dataclasses.replace(PEOPLE[0].bag, kind="backpack", size=1.0)
    person = dataclasses.replace(PEOPLE[0], bag=bag)
    assert pixels(figure(person, math.pi))[Part.BAG] > 2 * pixels(figure(person, 0.0))[Part.BAG]


def test_what_is_hidden_is_not_named() -> None:
    person = PEOPLE[2]
    parts = figure(person, 0.0).copy()
    shown = facts(person, parts, 0.0)
    shoes = f"{person.shoes.shade.name} "
    assert any(
        words.startswith(shoes) and words.split()[-1] in {"trainers", "sneakers", "shoes", "boots"} for words in shown
    )
    parts[130:] = Part.SCENE
    nouns = {words.split()[-1] for words in facts(person, parts, 0.0)}
    assert not nouns & {"trainers", "sneakers", "shoes", "boots"}


def test_only_what_shows_its_own_colour_is_named() -> None:
    """Straps, pockets and hat bands have colours of their own: no words are for them."""
    strapped = next(p for p in PEOPLE if not p.scarf)
    for kind in ("backpack", "shoulder bag"):
        person = dataclasses.replace(strapped, bag=dataclasses.replace(strapped.bag, kind=kind, side=1))
        yaw = 0.0 if kind == "backpack" else -math.pi / 2
        parts = figure(person, yaw).copy()
        assert pixels(parts)[Part.TRIM] > 0
        parts[parts == Part.BAG] = Part.SCENE
        assert not any(words.split()[-1] in {"backpack", "rucksack", "bag"} for words in facts(person, parts, yaw))


def test_boots_are_shoes_where_trousers_hide_the_shaft() -> None:
    for person in PEOPLE[:6]:
        shod = dataclasses.replace(person, shoes=dataclasses.replace(person.shoes, kind="boots"))
        for kind, length, noun in (("trousers", 0.97, "shoes"), ("shorts", 0.5, "boots")):
            legs = dataclasses.replace(person.bottom, kind=kind, length=length)
            one = dataclasses.replace(shod, bottom=legs)
            named = {words.split()[-1] for words in facts(one, figure(one, 0.3), 0.3)}
            assert named & {"shoes", "boots", "trainers"} == {noun}


@pytest.mark.parametrize("pattern", ["striped", "two-tone", "banded"])
def test_a_pattern_that_the_camera_loses_is_not_told(pattern: str) -> None:
    style = dataclasses.replace(PEOPLE[0].top.style, pattern=pattern, colour="grey", second="teal", printed=False)
    top = dataclasses.replace(PEOPLE[0].top, style=style, prints=())
    person = dataclasses.replace(PEOPLE[0], top=top)
    for away, told in ((60, True), (10, False)):
        seen = dataclasses.replace(top.second, rgb=tuple(part + away for part in top.shade.rgb))
        one = dataclasses.replace(person, top=dataclasses.replace(top, second=seen))
        count = pixels(figure(one, 0.0))
        first = visible_facts(one, Seen(count, 0.0), dice("words"))[0].words
        assert "grey" in first
        assert ("teal" in first or "strip" in first) is told
        assert visible_facts(one, Seen(count, 0.0, clarity=0.1), dice("words"))[0].words.count("teal") == 0


def test_a_jacket_is_open_from_the_front_alone() -> None:
    style = dataclasses.replace(PEOPLE[0].top.style, kind="jacket", pattern="plain")
    person = dataclasses.replace(PEOPLE[0], top=dataclasses.replace(PEOPLE[0].top, style=style))
    for yaw, possible in ((0.0, True), (math.pi, False), (2.0, False)):
        seen = Seen(pixels(figure(person, yaw)), yaw)
        told = {visible_facts(person, seen, dice("words", key))[0].words for key in range(40)}
        assert any("open" in words for words in told) is possible


def test_words_begin_as_english_wants_them() -> None:
    for key in range(300):
        caption = render_view(PEOPLE[key % 16], CAMERAS[key % 6], "articles", key).caption.lower()
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption), caption


@pytest.mark.parametrize("bare", [True, False])
def test_nothing_is_told_twice_of_a_hidden_person(bare: bool) -> None:
    parts = np.zeros(SIZE[::-1], np.uint8)
    parts[100:130, 60:90] = Part.BARE_ARM if bare else Part.HAIR
    for person in PEOPLE:
        told = facts(person, parts, 0.0)
        assert len(told) >= LEAST
        assert len(set(told)) == len(told)


def test_an_image_that_shows_almost_nothing_still_gets_three() -> None:
    parts = np.zeros(SIZE[::-1], np.uint8)
    parts[100:110, 60:70] = Part.SLEEVE
    assert len(facts(PEOPLE[1], parts, 0.0)) >= LEAST


def test_turning_wraps_the_cloth() -> None:
    cloth = np.tile(np.arange(COLUMNS, dtype=np.uint8), (10, 1))
    middle = COLUMNS // 2
    assert abs(int(wrap(cloth, 0.0, 41, 10)[5, 20]) - middle) <= 1
    assert wrap(cloth, math.pi, 41, 10)[5, 20] in {0, 1, COLUMNS - 1}
    to_the_right = np.argmin(np.abs(wrap(cloth, math.pi / 4, 41, 10)[5].astype(int) - middle))
    assert to_the_right > 30


@pytest.mark.parametrize("kind", sorted(THINGS))
@pytest.mark.parametrize("wanted", [0.1, 0.3])
def test_things_hide_about_what_is_wanted(kind: str, wanted: float) -> None:
    canvas = Canvas(Image.new("RGB", SIZE))
    draw_figure(canvas, Rig(PEOPLE[3], Pose(0.3, 0.3, 1.0, (0.2, 0.2), 0, 0.0), MIDDLE))
    body = np.asarray(canvas.parts) != Part.SCENE
    layer = THINGS[kind](dice("thing", kind))
    cover(canvas, layer, slide_in(layer, body, wanted))
    hidden = 1 - (np.asarray(canvas.parts) != Part.SCENE).sum() / body.sum()
    if kind == "pole":
        assert hidden <= wanted + 0.06  # a thin pole cannot hide more than its width
    else:
        assert hidden == pytest.approx(wanted, abs=0.06)


def test_sliding_finds_the_share_exactly_where_it_can() -> None:
    body = np.zeros(SIZE[::-1], bool)
    body[28:228, 32:96] = True
    layer = Layer(Image.new("RGB", SIZE), Image.new("L", SIZE, 255), (0, 256), (0, 0))
    share = slide_in(layer, body, 0.5)
    assert layer.at(share)[1] == pytest.approx(128, abs=6)
