"""User folders: people, cameras, splits, or plain images."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.datasets.camera_levels import SHORT_NUMBER
from scing_cli.core.datasets.file_names import stated
from scing_cli.core.datasets.folder_names import IDENTITY_NUMBER, is_aside, looks_like_camera
from scing_cli.core.datasets.listing import SYSTEM, SYSTEM_STARTS, THUMBNAILS
from scing_cli.core.datasets.not_people import doubt_people
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import SPLITS, Sample


def test_a_folder_per_person_is_for_training(touch) -> None:
    data = read_data(touch("anna/2.jpg", "anna/1.PNG", "ben k./a b.webp", "ben k./Thumbs.db", ".git/x.jpg"))
    assert data.layout == "identity-folders"
    assert data.manifest.samples == (
        Sample("anna/1.PNG", "anna", "", "train"),
        Sample("anna/2.jpg", "anna", "", "train"),
        Sample("ben k./a b.webp", "ben k.", "", "train"),
    )
    assert data.notes == ("2 folders are read as one person each.",)


def test_a_folder_per_camera_may_lie_in_a_persons(touch) -> None:
    data = read_data(touch("anna/door/1.jpg", "anna/yard/2.jpg", "ben/door/deep/3.jpg", "ben/4.jpg"))
    assert [(row.path, row.identity, row.camera) for row in data.manifest] == [
        ("anna/door/1.jpg", "anna", "door"),
        ("anna/yard/2.jpg", "anna", "yard"),
        ("ben/4.jpg", "ben", ""),
        ("ben/door/deep/3.jpg", "ben", "door"),
    ]
    assert data.notes == ("2 folders are read as one person each, and their subfolders as 2 cameras.",)


def test_folders_named_as_splits_hold_people(touch) -> None:
    data = read_data(touch("train/anna/1.jpg", "query/ben/1.jpg", "gallery/ben/yard/2.jpg", "notes/x.jpg"))
    assert data.layout == "split-folders"
    assert [(row.identity, row.camera, row.split) for row in data.manifest] == [
        ("anna", "", "train"),
        ("ben", "", "query"),
        ("ben", "yard", "gallery"),
    ]


def test_an_image_in_no_persons_folder_is_dropped(touch) -> None:
    data = read_data(touch("train/anna/1.jpg", "train/2.jpg"), layout="split-folders")
    assert data.dropped == (Dropped("train/2.jpg", "it is not in a person's folder"),)


def test_images_without_labels(touch) -> None:
    data = read_data(touch("b.jpg", "a.jpg", "more/c.jpg"))
    assert data.layout == "images"
    assert data.manifest.samples == (Sample("a.jpg"), Sample("b.jpg"), Sample("more/c.jpg"))
    assert data.notes == (
        "These images have no labels: they can be embedded and searched.",
        "If each folder is one person: --layout identity-folders.",
    )


def test_a_named_layout_reads_the_same_folder_otherwise(touch) -> None:
    root = touch("anna/1.jpg", "ben/2.jpg")
    assert [row.identity for row in read_data(root, layout="images").manifest] == ["", ""]
    with pytest.raises(DataError, match="has none of the folders train, val, query, gallery"):
        read_data(root, layout="split-folders")


def test_links_to_folders_are_followed_once(touch) -> None:
    root = touch("anna/1.jpg")
    (root / "anna" / "again").symlink_to(root)
    (root / "ben").symlink_to(root / "anna", target_is_directory=True)
    assert [row.path for row in read_data(root).manifest] == ["anna/1.jpg"]


def test_captions_are_joined(touch) -> None:
    root = touch("anna/1.jpg")
    (root / "captions.csv").write_text("path,caption\nanna/1.jpg,A woman in red.\n")
    assert read_data(root).manifest.samples[0].caption == "A woman in red."


def test_an_empty_folder_has_no_layout(touch) -> None:
    root = touch("readme.txt")
    with pytest.raises(DataError, match="has no known layout"):
        read_data(root)


WORD = st.text(st.characters(categories=["L", "N", "P", "Zs", "S"], exclude_characters="/"), min_size=1, max_size=6)
PASSED_OVER = SYSTEM | THUMBNAILS
NAME = WORD.filter(lambda word: not word.startswith((".", *SYSTEM_STARTS)) and word.casefold() not in PASSED_OVER)


@settings(deadline=None, max_examples=80)
@given(
    people=st.lists(NAME, min_size=2, max_size=4, unique=True),
    cameras=st.lists(NAME.filter(lambda name: not is_aside(name)), max_size=2, unique=True),
    splits=st.lists(st.sampled_from(SPLITS), min_size=1, unique=True),
    name=NAME.filter(lambda name: not stated(f"{name}.jpg").camera),
    deeper=st.booleans(),
)
def test_people_and_cameras_are_called_as_their_folders_are(
    people, cameras, splits, name, deeper, tmp_path_factory
) -> None:
    """Any words, in any order, with and without cameras that people share; one folder that all share is not one."""
    numbered = all(map(IDENTITY_NUMBER.fullmatch, people)) and any(map(SHORT_NUMBER.fullmatch, cameras))
    constant = len(cameras) == 1 and not looks_like_camera(cameras) and not numbered
    root = tmp_path_factory.mktemp("own")
    expected = {}
    for split, person, camera in itertools.product(splits, people, cameras or [""]):
        way = [split, person, *([camera] if camera else []), *(["deep"] if deeper and camera else [])]
        file = root.joinpath(*way, f"{name}.jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        expected["/".join((*way, file.name))] = (person, "" if constant else camera, split)
    assume(not any(doubt_people(root / split) for split in splits))
    rows = read_data(root).manifest
    assert {row.path: (row.identity, row.camera, row.split) for row in rows} == expected
    assert len(rows) == len(expected)


def test_a_folder_that_goes_while_it_is_read_is_passed_over(touch, monkeypatch) -> None:
    from scing_cli.core.datasets import listing

    root, listed = touch("anna/1.jpg", "ben/2.jpg", "carl/3.jpg"), listing.list_folder

    def slow(folder: Path) -> listing.Listing:
        if folder.name == "anna" and (root / "ben").exists():
            (root / "ben" / "2.jpg").unlink()
            (root / "ben").rmdir()
        return listed(folder)

    monkeypatch.setattr(listing, "list_folder", slow)
    assert [row.identity for row in read_data(root).manifest] == ["anna", "carl"]


def test_what_lies_beside_the_splits_is_said(touch) -> None:
    data = read_data(touch("train/anna/1.jpg", "test/ben/1.jpg", "notes/a.txt", "loose.jpg"))
    assert data.layout == "split-folders"
    assert [row.identity for row in data.manifest] == ["anna"]
    assert "Not read: notes, test, 1 image; the splits are named train, val, query, gallery." in data.notes
    assert any(
        note.startswith("A folder test is read as the gallery only next to a folder query") for note in data.notes
    )


def test_cameras_in_the_names_of_files_in_folders_of_people_are_read(touch) -> None:
    some = [f"gallery/001{person}/001{person}_c{camera}s1_{camera}.jpg" for person in range(3) for camera in range(2)]
    data = read_data(touch(*some))
    assert [(row.identity, row.camera) for row in data.manifest] == [(f"001{who}", n) for who in range(3) for n in "01"]
    assert data.notes[1] == "The cameras are read from the file names: 0010_c0s1_0.jpg names camera 0."
    assert "IDENTITY_cCAMERA" not in " ".join(read_data(touch("gallery/0011/c1/0011_c1.jpg"), layout="images").notes)
