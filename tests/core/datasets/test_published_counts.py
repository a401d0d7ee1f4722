"""Published counts: which data set the data at hand looks like, and where it differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scing_cli.core.datasets.published_counts import COUNTED, OF_SPECTRA, PARTS, PUBLISHED, PartCount, compare

Parts = Mapping[str, PartCount]


def changed(name: str, part: str, **counts: int) -> Parts:
    parts = dict(PUBLISHED[name].parts)
    return {**parts, part: dataclasses.replace(parts[part], **counts)}


def layout_if_needed(name: str) -> str:
    """Return the layout of a data set that is not recognised by counts alone: of several spectra, or without a source."""
    published = PUBLISHED[name]
    return published.layout if "images" in published.unsure or published.layout in OF_SPECTRA else ""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_fit_themselves_without_a_difference(name: str) -> None:
    found = compare(PUBLISHED[name].parts, layout=layout_if_needed(name))
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
    others = [published.parts for other, published in PUBLISHED.items() if other != name]
    sizes = {part: (found.images, found.identities) for part, found in parts.items()}
    assume(not any((other[part].images, other[part].identities) == sizes[part] for other in others for part in PARTS))
    comparison = compare({**parts, "val": PartCount(3, 3, 3)}, layout=layout_if_needed(name))
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
    found = compare(changed("Occluded-REID", "train", images=1, identities=1))
    assert found is not None
    assert [one.text for one in found.differences] == ["train has 1 identities (published: 0), 1 images (published: 0)"]


def test_a_doubt_may_be_of_one_part_alone() -> None:
    found = compare(changed("P-DukeMTMC-reID", "gallery", identities=630))
    assert found is not None
    assert [one.sure for one in found.differences] == [False]
    found = compare(changed("P-DukeMTMC-reID", "query", identities=630))
    assert found is not None
    assert [one.sure for one in found.differences] == [True]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.97, 1.03, 2.0])
@pytest.mark.parametrize("layout", ["market1501", "csv"])
def test_the_more_is_missing_in_a_part_the_louder(part: str, factor: float, layout: str) -> None:
    """The other two parts say which data set it is."""
    images = round(PUBLISHED["Market-1501"].parts[part].images * factor)
    found = compare(changed("Market-1501", part, images=images), layout=layout)
    assert found is not None
    assert (found.name, [one.part for one in found.differences]) == ("Market-1501", [part])
    assert found.differences[0].sure
    without = {name: count for name, count in PUBLISHED["Market-1501"].parts.items() if name != part}
    found = compare(without, layout=layout)
    assert found is not None
    assert [one.part for one in found.differences] == [part]


def test_the_parts_that_agree_tell_data_sets_of_one_layout_apart() -> None:
    for name, other in (("Occluded-Duke", "DukeMTMC-reID"), ("DukeMTMC-reID", "Occluded-Duke")):
        parts = {**PUBLISHED[name].parts, "train": PUBLISHED[other].parts["train"], "query": PartCount(1, 1, 1)}
        found = compare(parts, layout="market1501")
        assert found is not None
        assert found.name == other  # training and gallery are its own


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_counts_of_which_no_part_agrees_are_other_data(factor: float) -> None:
    known = PUBLISHED["Market-1501"].parts
    parts = {part: dataclasses.replace(known[part], images=round(known[part].images * factor)) for part in PARTS}
    assert compare(parts, layout="market1501") is None
    assert compare(parts, layout="csv") is None


@pytest.mark.parametrize("name", ["MSMT17", "P-DukeMTMC-reID", "Occluded-REID", "Occluded-Market"])
def test_a_layout_of_one_data_set_says_which_it_is(name: str) -> None:
    found = compare({"query": PartCount(2, 4, 0)}, layout=PUBLISHED[name].layout)
    assert found is not None
    assert found.name == name
    assert "query has 2 identities" in " ".join(one.text for one in found.differences)


def test_a_world_with_as_many_queries_and_cameras_of_its_own_is_other_data() -> None:
    assert (
        compare({"train": PartCount(9, 90, 5), "query": PartCount(200, 1_000, 5), "gallery": PartCount(200, 9, 5)})
        is None
    )


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
