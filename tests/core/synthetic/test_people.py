"""Look-alikes share what words can say, and differ in what they cannot."""

from __future__ import annotations

import itertools

import pytest

from scing_cli.core.synthetic import Person, draw_cameras, draw_people
from scing_cli.core.synthetic.people import GROUP
from scing_cli.core.synthetic.prints import SHAPES
from scing_cli.core.synthetic.scenes import SCENES
from scing_cli.core.synthetic.wardrobe import BAGS, HATS, PATTERNS, TOPS

PEOPLE = draw_people(64, "test people")


def said(person: Person) -> tuple[object, ...]:
    """All that a caption can name."""
    bag, hat, head = person.bag, person.hat, person.head
    return (
        person.top.style,
        (person.bottom.kind, person.bottom.shade.name),
        (person.shoes.kind, person.shoes.shade.name),
        bag.kind and (bag.kind, bag.shade.name),
        hat.kind and (hat.kind, hat.shade.name),
        (head.hair, head.shade.name),
    )


def test_groups_share_a_top_in_words_but_not_in_cloth() -> None:
    for start in range(0, 64, GROUP):
        group = PEOPLE[start : start + GROUP]
        assert len({person.top.style for person in group}) == 1
        assert len({person.top for person in group}) == GROUP
        assert len({person.top.shade.rgb for person in group}) > 1
        assert len({(person.bottom.kind, person.bottom.shade.name) for person in group}) <= 2


def test_some_people_are_one_in_words_and_none_in_looks() -> None:
    pairs = list(itertools.combinations(PEOPLE, 2))
    twins = [(one, other) for one, other in pairs if said(one) == said(other)]
    assert 10 <= len(twins) <= 100
    for one, other in twins:
        assert one.build != other.build
        assert one.top != other.top
        assert one.bottom != other.bottom


def test_groups_differ_from_each_other() -> None:
    styles = {PEOPLE[start].top.style for start in range(0, 64, GROUP)}
    assert len(styles) >= 14


def test_a_person_does_not_depend_on_how_many_are_drawn() -> None:
    assert draw_people(5, "test people") == PEOPLE[:5]


@pytest.mark.parametrize("other", [("pretrain", 0), ("world", 1), ("world", "0")])
def test_other_keys_meet_nobody_of_a_world(other: tuple[int | str, ...]) -> None:
    assert set(draw_people(40, "world", 0)).isdisjoint(draw_people(40, *other))


def test_every_kind_turns_up() -> None:
    people = draw_people(1200, "many")
    assert {person.top.style.kind for person in people} == set(TOPS)
    assert {person.top.style.pattern for person in people} == set(PATTERNS)
    assert {person.bag.kind for person in people} == set(BAGS)
    assert {person.hat.kind for person in people} == set(HATS)
    assert {figure.shape for person in people for figure in person.top.prints} == set(SHAPES)


def test_cameras_differ_in_place_and_light() -> None:
    cameras = draw_cameras(6, "test cameras")
    assert {camera.scene.kind for camera in cameras} == set(SCENES)
    for field in ("gain", "cast", "gamma", "contrast", "blur", "noise", "scale", "heading"):
        assert len({getattr(camera, field) for camera in cameras}) == 6
    assert draw_cameras(2, "test cameras") == cameras[:2]
