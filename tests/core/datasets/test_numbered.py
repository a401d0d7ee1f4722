"""Occluded-REID and P-DukeMTMC-reID, from folders of empty files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.manifest import Sample


def test_occluded_reid_as_it_comes(touch) -> None:
    root = touch(
        "occluded_body_images/002/002_01.tif",
        "occluded_body_images/001/001_02.TIF",
        "whole_body_images/001/001_01.tif",
        "whole_body_images/001/Thumbs.db",
        "readme.txt",
    )
    data = read_data(root)
    assert data.layout == "occluded-reid"
    assert data.manifest.samples == (
        Sample("occluded_body_images/001/001_02.TIF", "001", "", "query"),
        Sample("occluded_body_images/002/002_01.tif", "002", "", "query"),
        Sample("whole_body_images/001/001_01.tif", "001", "", "gallery"),
    )
    assert (data.junk, data.dropped, data.notes) == (0, (), ())


@pytest.mark.parametrize("folder", ["", "Occluded_REID/"])
def test_occluded_reid_in_flat_folders(touch, folder: str) -> None:
    root = touch(f"{folder}query/001_01.jpg", f"{folder}gallery/001_02.jpg", f"{folder}gallery/200_5.jpg")
    data = read_data(root)
    assert data.layout == "occluded-reid"
    assert [(row.identity, row.camera, row.split) for row in data.manifest] == [
        ("001", "", "query"),
        ("001", "", "gallery"),
        ("200", "", "gallery"),
    ]


def test_p_dukemtmc_takes_the_first_field_and_no_camera(touch) -> None:
    root = touch(
        "train/whole_body_images/0001/0001_2_f0046182.jpg",
        "train/occluded_body_images/0001/0001_3_f0046302.jpg",
        "test/whole_body_images/0005/0005_1_f1.jpg",
        "test/occluded_body_images/0005/0005_2_f2.jpg",
    )
    data = read_data(root)
    assert data.layout == "p-dukemtmc"
    assert [(row.path.split("/")[1], row.identity, row.camera, row.split) for row in data.manifest] == [
        ("whole_body_images", "0001", "", "train"),
        ("occluded_body_images", "0001", "", "train"),
        ("occluded_body_images", "0005", "", "query"),
        ("whole_body_images", "0005", "", "gallery"),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("003/004_01.tif", "its name says identity 004, its folder 003"),
        ("003/photo.tif", "its name does not start with IDENTITY_NUMBER, such as 001_01"),
        ("003/٣_01.tif", "its name does not start with IDENTITY_NUMBER, such as 001_01"),
    ],
)
def test_other_names_are_dropped_with_a_reason(touch, name: str, reason: str) -> None:
    root = touch(f"whole_body_images/{name}", "whole_body_images/003/003_01.tif", "occluded_body_images/3/003_2.tif")
    data = read_data(root)
    assert data.dropped == (Dropped(f"whole_body_images/{name}", reason),)
    assert [row.identity for row in data.manifest] == ["003", "003"]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_both_schemes_of_occluded_reid_say_the_same(data: st.DataObject, tmp_path_factory) -> None:
    """The same images, written in any order, as folders per identity and flat."""
    image = st.tuples(st.booleans(), st.integers(0, 300), st.integers(0, 99), st.sampled_from([".tif", ".jpg", ".TIF"]))
    images = data.draw(st.lists(image, min_size=1, max_size=10, unique_by=lambda one: one[:3]))
    base = tmp_path_factory.mktemp("both")
    for top in ("occluded_body_images", "whole_body_images"):
        (base / "deep" / top).mkdir(parents=True)
    for top in ("query", "gallery"):
        (base / "flat" / top).mkdir(parents=True)
    for asked, identity, number, suffix in images:
        name = f"{identity:03}_{number:02}{suffix}"
        for folder in (
            base / "deep" / ("occluded_body_images" if asked else "whole_body_images") / f"{identity:03}",
            base / "flat" / ("query" if asked else "gallery"),
        ):
            folder.mkdir(exist_ok=True)
            (folder / name).touch()
    expected = [
        (f"{identity:03}", "", split, f"{identity:03}_{number:02}{suffix}")
        for split in ("query", "gallery")
        for asked, identity, number, suffix in sorted(images, key=lambda one: (one[1], one[2]))
        if asked == (split == "query")
    ]
    for scheme in ("deep", "flat"):
        rows = read_data(base / scheme).manifest
        assert [(row.identity, row.camera, row.split, row.path.rpartition("/")[2]) for row in rows] == expected


@settings(deadline=None, max_examples=60)
@given(
    images=st.lists(
        st.tuples(
            st.sampled_from(["train", "test"]),
            st.sampled_from(["whole", "occluded"]),
            st.integers(1, 9000),
            st.integers(1, 8),
            st.integers(0, 10**7 - 1),
        ),
        max_size=10,
        unique=True,
    )
)
def test_any_images_of_p_dukemtmc_in_any_order(images, tmp_path_factory) -> None:
    root = tmp_path_factory.mktemp("pduke")
    for part in ("train", "test"):
        for kind in ("whole", "occluded"):
            (root / part / f"{kind}_body_images").mkdir(parents=True)
    expected = set()
    for part, kind, identity, field, frame in images:
        path = f"{part}/{kind}_body_images/{identity:04}/{identity:04}_{field}_f{frame:07}.jpg"
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
        split = "train" if part == "train" else "query" if kind == "occluded" else "gallery"
        expected.add(Sample(path, f"{identity:04}", "", split))
    data = read_data(root)
    assert (data.layout, set(data.manifest), len(data.manifest)) == ("p-dukemtmc", expected, len(expected))
