"""Folder levels that are not people: read by what their names say, or refused with the layout that would force it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.folder_names import is_aside, is_part, is_place, named_cameras
from scing_cli.core.datasets.folder_words import SPLIT_NAMES
from scing_cli.core.errors import DataError

ELSEWHERE = {
    "MSMT17 without lists": (
        [
            f"{part}/{who}/{who}_000_0{camera}_0303morning_0015_0.jpg"
            for part in ("train", "test")
            for who in ("0000", "0001")
            for camera in (1, 2)
        ],
        "files named as in msmt17, such as .* also needs list_train.txt, list_query.txt, list_gallery.txt",
    ),
    "MARS": (
        [
            "bbox_train/0001/0001C1T0001F001.jpg",
            "bbox_train/0002/0002C2T0001F001.jpg",
            "bbox_test/0003/0003C1T01F01.jpg",
        ],
        "bbox_test, bbox_train are named like parts of a data set",
    ),
    "SYSU-MM01 by camera and file": (
        ["cam1/0001.jpg", "cam2/0001.jpg", "exp/train_id.txt"],
        "cam1, cam2 are named like cameras",
    ),
    "VIPeR": (["cam_a/000_45.bmp", "cam_a/001_90.bmp", "cam_b/000_90.bmp"], "cam_a, cam_b are named like cameras"),
    "VehicleID": (
        ["image/1.jpg", "image/2.jpg", "train_test_split/train_list.txt"],
        "train_test_split is named like a part",
    ),
    "LTCC": (["train/0001_1_c1_1.png", "query/0002_1_c1_1.png", "test/0002_2_c2_1.png"], "not named as 0001_c1"),
    "LTCC, test only": (["query/0002_1_c1_1.png", "gallery/0002_2_c2_1.png"], "not named as 0001_c1"),
    "CUHK03": (
        ["images_labeled/1_001_1_01.png", "images_labeled/1_002_1_01.png", "images_detected/1_001_1_01.png"],
        "images_detected, images_labeled are named like folders of images",
    ),
    "CUHK-PEDES, its images": (
        ["cam_a/000_45.bmp", "cam_b/1.jpg", "Market/1.jpg"],
        "cam_a, cam_b are named like cameras",
    ),
    "spectra without a name in common": (
        ["RGB/0001_c1_1.jpg", "NI/0001_c1_2.jpg", "TI/0002_c1_1.jpg"],
        "are named like folders of images",
    ),
    "PRID-2011": (
        [
            f"{shot}_shot/cam_{camera}/person_{who}/1.png"
            for shot in ("multi", "single")
            for camera in "ab"
            for who in "123"
        ],
        r"two levels below them, folders of the same names recur \(person_1, person_2, person_3\)",
    ),
    "files of many people": (
        [f"site {site}/000{who}_c1_{number}.jpg" for site in "AB" for who in "123" for number in "12"],
        "the files in site A begin with different identities, such as 0001_c1_1.jpg and 0002_c1_1.jpg",
    ),
    "files of many people, without cameras": (
        [f"site {site}/000{who}_0{number}.jpg" for site in "AB" for who in "123" for number in "12"],
        "the files in site A begin with different identities, such as 0001_01.jpg and 0002_01.jpg",
    ),
    "files of many people by day": (
        [f"site {site}/Monday/000{who}_c1_{number}.jpg" for site in "AB" for who in "123" for number in "12"],
        "the files in site A/Monday begin with different identities",
    ),
    "people by camera": (["0001_c1/1.jpg", "0001_c2/1.jpg", "0002_c1/1.jpg"], "0001_c1, 0001_c2 are named as 0001_c1"),
    "people by part": (
        ["anna/train/1.jpg", "anna/test/2.jpg", "ben/train/1.jpg"],
        r"inside them .* parts .*\(test, train\)",
    ),
    "days": (
        [f"{day}/{who}/1.jpg" for day in ("Monday", "Tuesday") for who in ("anna", "ben", "carl")],
        r"the same names \(anna, ben, carl\) are inside several of them",
    ),
    "months": (["2024-01/anna/1.jpg", "2024-02/ben/1.jpg"], "2024-01, 2024-02 are named like dates"),
    "one camera": (["cam1/0001/1.jpg", "cam1/0002/1.jpg"], "cam1 is named like a camera"),
    "cameras by split": (["train/cam1/1.jpg", "query/cam1/2.jpg", "gallery/cam2/2.jpg"], "cam1 is named like a camera"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_data_that_scing_has_no_reader_for_is_refused_with_what_was_seen(touch, name: str) -> None:
    paths, seen = ELSEWHERE[name]
    root = touch(*paths)
    with pytest.raises(DataError, match=rf"(?s){seen}") as caught:
        read_data(root)
    assert "is missing" not in caught.value.what
    # The remedies work as they are printed.
    layouts = [line.partition("--layout ")[2].removesuffix(".") for line in caught.value.remedy.splitlines()]
    named = [layout for layout in layouts if layout]
    assert named
    for layout in named:
        assert read_data(root, layout=layout).layout == layout


def test_folders_of_people_are_forced_by_name(touch) -> None:
    root = touch("cam1/1.jpg", "cam2/1.jpg")
    assert [row.identity for row in read_data(root, layout="identity-folders").manifest] == ["cam1", "cam2"]


def test_a_hint_names_no_layout_whose_files_are_named_otherwise(touch) -> None:
    """Two of the three folders of Market-1501 and of MSVR310, with other folders inside."""
    root = touch(
        *(f"{part}/0002/front/0002_s002_v0_000.jpg" for part in ("bounding_box_train", "query4", "bounding_box_test"))
    )
    with pytest.raises(DataError) as caught:
        read_data(root)
    assert "is missing" not in caught.value.what


@pytest.mark.parametrize("parts", [("image_train", "image_query", "image_test"), ("train", "query", "gallery")])
def test_strips_of_several_pictures_are_not_taken_for_people(tmp_path: Path, parts: tuple[str, str, str]) -> None:
    """As in RGBNT100, three pictures side by side in each file, but in other folders than those of RGBNT100."""
    for part in parts:
        for camera in (1, 2):
            file = tmp_path / part / f"0501_c000{camera}_000.jpg"
            file.parent.mkdir(exist_ok=True)
            Image.new("RGB", (768, 128)).save(file)
    with pytest.raises(DataError, match=r"its images are strips: 0501_c0001_000\.jpg has 768 x 128 pixels") as caught:
        read_data(tmp_path)
    layout = caught.value.remedy.rpartition("--layout ")[2].removesuffix(".")
    assert len(read_data(tmp_path, layout=layout).manifest) == 6


def test_a_part_of_files_by_split_is_refused(touch) -> None:
    root = touch("train/0001_c1.jpg", "query/0002_c1.jpg", "test/0002_c2.jpg", "loose.txt", "notes/a.txt")
    assert {row.split for row in read_data(root).manifest} == {"train", "query", "gallery"}
    assert read_data(root).notes == ("Not read: notes; the splits are named train, val, query, gallery.",)
    for part in ("train", "query", "test"):
        with pytest.raises(DataError, match="is a part of the data set"):
            read_data(root / part)


def test_two_folders_of_one_split_are_refused(touch) -> None:
    with pytest.raises(DataError, match="train and training both name the split train"):
        read_data(touch("train/anna/1.jpg", "training/ben/1.jpg"))


@pytest.mark.parametrize(
    ("paths", "root", "people"),
    [
        (["x/anna/1.jpg", "x/ben/1.jpg"], "x", {"anna", "ben"}),
        (["x/y/people/anna/1.jpg"], "x/y/people", {"anna"}),
        (["set/sequences/cam1/p1/1.jpg", "set/sequences/cam2/p1/1.jpg"], "set/sequences", {"p1"}),
        (["anna/cam1/1.jpg", "anna/cam2/1.jpg"], "", {"anna"}),
        (["anna/door/1.jpg"], "", {"anna"}),
        (["anna/001/1.jpg", "anna/002/1.jpg", "ben/001/1.jpg"], "", {"anna", "ben"}),
        (["0001/1/1.jpg", "0002/1/1.jpg", "0001/2/1.jpg", "0001/3/1.jpg", "0002/3/1.jpg"], "", {"0001", "0002"}),
        (["anna/1.jpg"], "", {"anna"}),
        (["anna/0001_0.jpg", "anna/0002_0.jpg", "ben/0001_1.jpg", "ben/0002_0.jpg"], "", {"anna", "ben"}),
        (
            ["anna/20240101_1.jpg", "anna/20240101_2.jpg", "anna/20240102_1.jpg", "ben/20240102_2.jpg"],
            "",
            {"anna", "ben"},
        ),
        ([f"{who}/2024-05-0{day}/1.jpg" for who in ("anna", "ben") for day in range(1, 5)], "", {"anna", "ben"}),
    ],
)
def test_a_folder_that_wraps_people_is_entered(touch, paths: list[str], root: str, people: set[str]) -> None:
    data = touch(*paths)
    found = read_data(data)
    assert found.manifest.root == data / root
    assert set(found.manifest.identities()) == people
    assert (f"Read from {data / root}." in found.notes) == bool(root)


PLAIN = st.text("abdeklmor", min_size=2, max_size=6).filter(
    lambda word: not any(says(word) for says in (is_part, is_aside, is_place))
)
JOINED = st.sampled_from(["_", "-", " ", ""])
PARTS = st.builds(
    lambda before, join, part, after: f"{before}{join if before else ''}{part}{after}",
    st.sampled_from(["", "image", "bounding_box", "bbox", "Images"]),
    st.sampled_from(["_", "-", " "]),
    st.sampled_from(["train", "Train", "test", "TEST", "query", "gallery", "val", "probe", "valid"]),
    st.sampled_from(["", "_all", "3", "-set", "_v2"]),
)
CAMERAS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["cam", "Camera", "CAM"]),
    JOINED,
    st.integers(0, 99).map(str) | st.sampled_from("abc"),
)


def write(root: Path, paths: Iterable[str]) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@settings(deadline=None, max_examples=80)
@given(levels=st.lists(st.lists(PLAIN | PARTS | CAMERAS, min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_part_and_no_camera_ever_becomes_a_person(levels: list[list[str]], tmp_path_factory) -> None:
    """Folders of any of these names inside each other: whatever is read without being refused, people are people."""
    root = write(
        tmp_path_factory.mktemp("any"), ("/".join((*way, f"{number}.jpg")) for number, way in enumerate(levels))
    )
    try:
        data = read_data(root)
    except DataError:
        return
    people = data.manifest.identities()
    assert not any(map(is_part, people))
    assert len(named_cameras(people)) < 2 or len(named_cameras(people)) < len(people)


@settings(deadline=None, max_examples=40)
@given(
    people=st.lists(PLAIN, min_size=2, max_size=5, unique=True),
    cameras=st.lists(CAMERAS, min_size=2, max_size=4, unique_by=str.lower),
    split=st.booleans(),
)
def test_people_and_named_cameras_are_told_apart_in_either_order(people, cameras, split, tmp_path_factory) -> None:
    base = tmp_path_factory.mktemp("either")
    parts = ("train/", "query/", "gallery/") if split else ("",)
    pairs = [(part, person, camera) for part in parts for person in people for camera in cameras]
    write(base / "one", (f"{part}{person}/{camera}/1.jpg" for part, person, camera in pairs))
    write(base / "other", (f"{part}{camera}/{person}/1.jpg" for part, person, camera in pairs))
    one, other = (
        {(row.identity, row.camera, row.split) for row in read_data(base / name).manifest} for name in ("one", "other")
    )
    assert one == other == {(person, camera, part.removesuffix("/") or "train") for part, person, camera in pairs}


@settings(deadline=None, max_examples=40)
@given(
    above=st.lists(PLAIN, max_size=4),
    folders=st.permutations(sorted({*SPLIT_NAMES, "test"})),
    rows=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 20)), min_size=1, max_size=6, unique=True),
    flat=st.booleans(),
    capital=st.booleans(),
)
def test_parts_of_any_usual_name_are_read_below_any_folders(
    above, folders, rows, flat, capital, tmp_path_factory
) -> None:
    """By file names if flat, by folders otherwise; `test` holds the gallery where another folder holds the queries."""
    chosen = {SPLIT_NAMES.get(name, "gallery"): name for name in folders}
    assume("query" in chosen)
    root = tmp_path_factory.mktemp("parts")
    expected = set()
    for split, name in chosen.items():
        for who, camera in rows:
            folder = "/".join([*above, name.capitalize() if capital else name])
            write(root, [f"{folder}/{who:04}_c{camera}.jpg" if flat else f"{folder}/{who:04}/{camera:02}/1.jpg"])
            expected.add((f"{who:04}", str(camera) if flat else f"{camera:02}", split))
    data = read_data(root)
    assert data.layout == ("split-files" if flat else "split-folders")
    assert {(row.identity, row.camera, row.split) for row in data.manifest} == expected
    assert data.manifest.root == root.joinpath(*above)
