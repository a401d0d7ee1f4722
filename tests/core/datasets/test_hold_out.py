"""People held out for testing: every query has a true match, and nothing else changes."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets.hold_out import HeldOut, divide_people
from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.manifest import Manifest, Sample

PEOPLE = st.dictionaries(
    st.text("abc", min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["", "1", "2", "door"]), st.integers(1, 3), min_size=1, max_size=3),
    min_size=1,
    max_size=12,
)


def drawn(people: dict[str, dict[str, int]], splits: list[str]) -> Manifest:
    rows = [
        Sample(f"{name}/{camera}-{number}.jpg", name, camera, splits[place % len(splits)])
        for place, (name, cameras) in enumerate(people.items())
        for camera, count in cameras.items()
        for number in range(count)
    ]
    return Manifest(Path("data"), (*rows, Sample("unknown.jpg")), "data")


def divide(manifest: Manifest, share: float, **options) -> HeldOut | None:
    """Return the division, or None if there are too few people for it."""
    try:
        return divide_people(manifest, share, **options)
    except DataError:
        return None


def has_match(query: Sample, gallery: list[Sample], cameras: bool) -> bool:
    return any(
        row.identity == query.identity and not (cameras and row.camera and row.camera == query.camera)
        for row in gallery
    )


@given(
    people=PEOPLE,
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
    splits=st.sampled_from([[""], ["train"], ["", "train"]]),
)
def test_every_query_has_a_match_and_no_further_one_is_possible(people, share, seed, splits) -> None:
    manifest = drawn(people, splits)
    held = divide(manifest, share, seed=seed)
    cameras = len(manifest.cameras()) > 1
    testable = [
        name
        for name, views in people.items()
        if sum(views.values()) > 1 and (not cameras or len(views) > 1 or "" in views)
    ]
    wanted = max(2, round(share * len(people)))
    assert (held is None) == (len(people) < 4 or len(people) - wanted < 2 or len(testable) < 2)
    if held is None:
        return
    rows = {split: [row for row in held.manifest if row.split == split] for split in ("train", "query", "gallery", "")}
    tested = {row.identity for row in rows["query"]}
    assert len(tested) == held.tested == min(wanted, len(testable))
    assert {row.identity for row in rows["train"]} == people.keys() - tested
    assert {row.identity for row in rows["gallery"]} == tested
    assert rows[""] == [Sample("unknown.jpg")]
    assert (held.trained, held.queries, held.untestable) == (
        len(people) - len(tested),
        len(rows["query"]),
        len(people) - len(testable),
    )
    assert [dataclasses.replace(row, split="") for row in held.manifest] == [
        dataclasses.replace(row, split="") for row in manifest
    ]
    places = [(row.identity, row.camera) for row in rows["query"]]
    assert len(set(places)) == len(places)
    assert all(has_match(query, rows["gallery"], cameras) for query in rows["query"])
    for further in rows["gallery"]:
        taken = cameras and (further.identity, further.camera) in places
        rest = [row for row in rows["gallery"] if row is not further]
        mine = [row for row in (*rows["query"], further) if row.identity == further.identity]
        assert taken or not cameras or not all(has_match(query, rest, cameras) for query in mine)


@given(people=PEOPLE, seed=st.integers(0, 3), order=st.randoms(use_true_random=False))
def test_the_division_depends_on_the_seed_and_not_on_the_order(people, seed, order: random.Random) -> None:
    manifest = drawn(people, ["train"])
    mixed = dataclasses.replace(manifest, samples=tuple(order.sample(manifest.samples, len(manifest))))
    first, second = divide(manifest, 0.5, seed=seed), divide(mixed, 0.5, seed=seed)
    assert (first is None) == (second is None)
    assert first is None or second is None or set(first.manifest) == set(second.manifest)


def test_seeds_draw_different_people() -> None:
    manifest = drawn({f"person {number}": {"1": 2, "2": 2} for number in range(20)}, [""])
    drawn_people = {divide_people(manifest, 0.3, seed=seed).manifest.part("query").identities() for seed in range(5)}
    assert len(drawn_people) == 5
    assert {len(people) for people in drawn_people} == {6}


def test_unreadable_images_are_neither_queries_nor_matches() -> None:
    manifest = drawn({name: {"1": 1, "2": 1} for name in "abcdefgh"}, [""])
    broken = {row.path for row in manifest if row.camera == "2" and row.identity in "abcdef"}
    held = divide_people(manifest, 0.5, seed=0, unreadable=broken)
    assert (held.manifest.part("query").identities(), held.untestable) == (("g", "h"), 6)


def test_people_of_val_stay_in_val() -> None:
    manifest = drawn({name: {"1": 2, "2": 2} for name in "abcdefgh"}, ["train", "val"])
    held = divide_people(manifest, 0.5, seed=0)
    assert held.manifest.part("val").samples == manifest.part("val").samples
    assert held.tested == held.trained == 2


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_data_that_is_divided_is_refused(split: str) -> None:
    manifest = drawn({name: {"1": 2} for name in "abcd"}, ["train", split])
    with pytest.raises(DataError, match=f"data has images in the split {split} already"):
        divide_people(manifest, 0.3, seed=0)


@pytest.mark.parametrize(
    ("people", "share", "said"),
    [
        ({"a": {"1": 4}, "b": {"1": 4}, "c": {"1": 4}}, 0.3, "needs at least 4 people, .* data has 3"),
        ({name: {"1": 2} for name in "abcde"}, 0.9, "leaves 1 person of 5 for training"),
        (
            {name: {"1": 1} for name in "abcde"},
            0.3,
            "0 of 5 people in data can be tested.*another image of the same person",
        ),
        ({"a": {"2": 3}} | {name: {"1": 3} for name in "bcde"}, 0.3, "0 of 5 people .*another image by another camera"),
    ],
)
def test_too_few_people_are_refused_with_the_numbers(people, share: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        divide_people(drawn(people, [""]), share, seed=0)


@pytest.mark.parametrize("share", [0, 1, -0.3, 30, float("nan")])
def test_a_share_outside_the_range_is_refused(share: float) -> None:
    with pytest.raises(SettingError, match="must be more than 0 and less than 1"):
        divide_people(drawn({"a": {"1": 2}}, [""]), share, seed=0)
