"""File names that speak against the folders around them as people."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError

PEOPLE = ("anna", "ben", "carl")


@settings(deadline=None, max_examples=60)
@given(
    people=st.lists(
        st.sampled_from(["anna", "ben", "Meier, Carl", "Dora_Ost", "1001", "1003", "p7", "p12"]),
        min_size=4,
        max_size=8,
        unique=True,
    ),
    folders=st.sampled_from([("5a", "5b"), ("Team Red", "Team Blue"), ("Haus X", "Haus Y")]),
    sign=st.sampled_from(["_", "-"]),
    counts=st.integers(2, 3),
)
def test_folders_of_several_files_of_several_people_are_refused(
    people, folders, sign, counts, tmp_path_factory
) -> None:
    root = tmp_path_factory.mktemp("mixed")
    for place, who in enumerate(people):
        folder = root / folders[place % 2]
        folder.mkdir(exist_ok=True)
        for number in range(100, 100 + counts):
            (folder / f"{who}{sign}{number}.jpg").touch()
    with pytest.raises(DataError, match="begin with"):
        read_data(root)


def test_numbers_of_sessions_times_and_views_are_not_people(touch) -> None:
    names = ["1_1", "1_2", "2_1", "2_2"], ["12-30", "12-40", "13-30", "13-50"], ["img_1", "img_2", "video_1", "video_2"]
    root = touch(*(f"{who}/{name}.jpg" for who, files in zip(PEOPLE, names, strict=True) for name in files))
    assert set(read_data(root).manifest.identities()) == set(PEOPLE)


def test_one_folder_with_files_of_several_people_is_named(touch) -> None:
    files = [f"team/{who}_{n}.jpg" for who in ("dora", "emil") for n in "12"]
    notes = read_data(touch("anna/1.jpg", "ben/1.jpg", "carl/1.jpg", *files)).notes
    assert "Some of them may hold images of several people: team." in notes


def test_files_named_by_people_are_noted(touch) -> None:
    data = read_data(touch(*(f"{folder}/{who}.jpg" for folder in ("Class 1", "Class 2") for who in ("anna", "ben"))))
    (note,) = [note for note in data.notes if note.startswith("The files may be named by people")]
    assert "such as anna.jpg and ben.jpg." in note
    assert note.endswith("The same names are in several folders: anna.jpg, ben.jpg.")


@pytest.mark.parametrize("name", ["{}", "IMG_{}", "front", "image"])
def test_other_files_are_not_noted_as_named_by_people(touch, name: str) -> None:
    notes = read_data(touch(*(f"{who}/{name.format(n)}.jpg" for who in PEOPLE for n in "12"))).notes
    assert not any("named by people" in note for note in notes)


def test_files_that_state_another_identity_than_their_folder_are_warned_of(touch) -> None:
    root = touch(*(f"{part}/0001/0002_c{c}s1_1.jpg" for part in ("query", "gallery") for c in "12"))
    assert any(text.startswith("4 of 4 file names begin with another identity") for text in read_data(root).warnings)
