"""Published counts: which data set the data at hand looks like, and where it differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets.published import COUNTED, PARTS, PUBLISHED, PartCount, compare

Parts = Mapping[str, PartCount]


def changed(name: str, part: str, **counts: int) -> Parts:
    parts = dict(PUBLISHED[name].parts)
    return {**parts, part: dataclasses.replace(parts[part], **counts)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_fit_themselves_without_a_difference(name: str) -> None:
    found = compare(PUBLISHED[name].parts)
    assert found is not None
    assert (found.name, found.parts, found.differences) == (name, PUBLISHED[name].parts, ())
    assert PUBLISHED[name].source


@pytest.mark.parametrize("name", PUBLISHED)
@given(data=st.data())
def test_every_part_whose_counts_differ_is_named_with_both_numbers(name: str, data: st.DataObject) -> None:
    parts, wrong = {}, {}
    for part, known in PUBLISHED[name].parts.items():
        found = PartCount(
            identities=data.draw(st.integers(round(known.identities * 0.91), round(known.identities * 1.09))),
            images=data.draw(st.integers(round(known.images * 0.981), round(known.images * 1.019))),
            cameras=data.draw(st.integers(1, 9)),
        )
        parts[part] = found
        counts = {what: (getattr(found, what), getattr(known, what)) for what in COUNTED}
        wrong[part] = {what: pair for what, pair in counts.items() if pair[0] != pair[1]}
    comparison = compare({**parts, "val": PartCount(3, 3, 3)})
    assert comparison is not None
    assert comparison.name == name
    assert [difference.part for difference in comparison.differences] == [part for part in PARTS if wrong[part]]
    for difference in comparison.differences:
        for what, (found_count, known_count) in wrong[difference.part].items():
            assert f"{found_count:,} {what} (published: {known_count:,})" in difference.text
        assert difference.text.count("published") == len(wrong[difference.part])
        doubted = {what for what in COUNTED if PUBLISHED[name].doubts(difference.part, what)}
        assert difference.sure == bool(set(wrong[difference.part]) - doubted)


def test_widely_quoted_counts_without_a_source_are_not_sure() -> None:
    found = compare(changed("Occluded-Duke", "query", identities=520))
    assert found is not None
    assert [(one.text, one.sure) for one in found.differences] == [("query has 520 identities (published: 519)", False)]
    found = compare(changed("Occluded-Duke", "query", identities=520, images=2_209))
    assert found is not None
    assert found.differences[0].sure


def test_a_part_that_should_be_empty_must_be() -> None:
    found = compare({part: count for part, count in PUBLISHED["Occluded-REID"].parts.items() if part != "train"})
    assert found is not None
    assert (found.name, found.differences) == ("Occluded-REID", ())
    assert compare(changed("Occluded-REID", "train", images=1, identities=1)) is None


def test_a_doubt_may_be_of_one_part_alone() -> None:
    found = compare(changed("P-DukeMTMC-reID", "gallery", identities=630))
    assert found is not None
    assert [one.sure for one in found.differences] == [False]
    found = compare(changed("P-DukeMTMC-reID", "query", identities=630))
    assert found is not None
    assert [one.sure for one in found.differences] == [True]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("factor", [0.0, 0.97, 1.03])
def test_too_many_or_too_few_images_are_other_data(part: str, factor: float) -> None:
    images = round(PUBLISHED["Market-1501"].parts[part].images * factor)
    assert compare(changed("Market-1501", part, images=images)) is None
    without = {name: count for name, count in PUBLISHED["Market-1501"].parts.items() if name != part}
    assert compare(without) is None


def worlds() -> Iterator[tuple[int, int, int, int]]:
    """Yield the rendered worlds (identities, test identities, cameras, images per camera) nearest to published counts."""
    for published in PUBLISHED.values():
        train, query, gallery = (published.parts[part].images for part in PARTS)
        for cameras in range(1, 40):
            for images in range(1, 25):
                for others in (round(query / cameras), round(gallery / cameras / images)):
                    yield max(2, round(train / cameras / images)), max(1, others), cameras, images


def test_no_rendered_world_looks_like_a_published_data_set() -> None:
    """Some have as many images in every part; their gallery has as many people as their queries, no more."""
    near_by_images = 0
    for identities, others, cameras, images in worlds():
        parts = {
            "train": PartCount(identities, identities * cameras * images, cameras),
            "query": PartCount(others, others * cameras, cameras),
            "gallery": PartCount(others, others * cameras * images, cameras),
        }
        assert compare(parts) is None
        near_by_images += any(
            all(abs(parts[part].images / known.parts[part].images - 1) <= 0.02 for part in PARTS)
            for known in PUBLISHED.values()
            if known.parts["train"].images
        )
    assert near_by_images
