"""Paths in lists whose files are spelled otherwise on disk."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.disk_names import MANY, paths_on_disk
from scing_cli.core.errors import DataError

PART = st.text(st.sampled_from("aäéñÅ한 _1"), min_size=1, max_size=6).filter(lambda part: part.strip())


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@settings(deadline=None, max_examples=60)
@given(parts=st.lists(PART, min_size=1, max_size=3), on_disk=st.sampled_from([nfc, nfd]), upper=st.booleans())
def test_a_file_is_found_whatever_its_unicode_form_and_suffix(parts, on_disk, upper, tmp_path_factory) -> None:
    """In folders of any form too; the row gets the path on disk."""
    root = tmp_path_factory.mktemp("own")
    path = on_disk("/".join(parts)) + (".JPG" if upper else ".jpg")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()
    for form in (nfc, nfd):
        for suffix in (".jpg", ".JPG", ".Jpg"):
            listed = form("/".join(parts)) + suffix
            (root / "m.csv").write_text(f"path,identity\n{listed},1\n", encoding="utf-8")
            data = read_data(root / "m.csv")
            assert [row.path for row in data.manifest] == [path]
            assert any("on disk" in note for note in data.notes) == (listed != path)


def test_many_files_of_one_folder(tmp_path: Path) -> None:
    names = [f"{number}é.jpg" for number in range(MANY + 1)]
    for name in names:
        (tmp_path / nfd(name)).touch()
    assert paths_on_disk(tmp_path, map(nfc, names)) == {nfc(name): nfd(name) for name in names}
    assert paths_on_disk(tmp_path, map(nfd, names)) == {}


def test_the_note_shows_both_spellings(tmp_path: Path) -> None:
    (tmp_path / nfd("é.jpg")).touch()
    (tmp_path / "b.JPG").touch()
    (tmp_path / "m.csv").write_text("path\né.jpg\nb.jpg\nno.jpg\n", encoding="utf-8")
    data = read_data(tmp_path / "m.csv")
    assert [row.path for row in data.manifest] == [nfd("é.jpg"), "b.JPG", "no.jpg"]
    assert data.notes[-1] == (
        "2 paths differ from their names on disk in Unicode form or case, such as '\\xe9.jpg' (on disk 'e\\u0301.jpg'): "
        "the files on disk are used."
    )


def test_two_files_that_fit_are_not_guessed(tmp_path: Path) -> None:
    for name in ("a.JPG", "a.Jpg"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system ignores case")
    assert paths_on_disk(tmp_path, ["a.jpg", "A.jpg"]) == {}
    assert paths_on_disk(tmp_path, ["a.JPG", "a.Jpg"]) == {}


def test_a_file_that_has_a_row_already_gets_no_second_one(tmp_path: Path) -> None:
    (tmp_path / "a.JPG").touch()
    (tmp_path / "m.csv").write_text("path,split\na.JPG,query\na.jpg,query\na.jpg,gallery\n")
    rows = read_data(tmp_path / "m.csv").manifest.samples
    assert [(row.path, row.split) for row in rows] == [("a.JPG", "query"), ("a.jpg", "query"), ("a.JPG", "gallery")]


def test_captions_are_joined_whatever_the_unicode_form(touch) -> None:
    root = touch(nfd("zoë/é.jpg"))
    (root / "captions.csv").write_text("path,caption\nzoë/é.JPG,A woman in red.\n", encoding="utf-8")
    data = read_data(root)
    assert [row.caption for row in data.manifest] == ["A woman in red."]
    assert not any("captions.csv names" in note for note in data.notes)


@pytest.mark.parametrize("other", [nfd("Zoë"), "zoë"])
def test_a_folder_in_another_spelling_is_suggested(tmp_path: Path, other: str) -> None:
    (tmp_path / other).mkdir()
    with pytest.raises(DataError) as caught:
        read_data(tmp_path / "Zoë")
    assert "Did you mean " in caught.value.remedy
    assert (ascii if other == nfd("Zoë") else repr)(str(tmp_path / other)) in caught.value.remedy
    with pytest.raises(DataError) as caught:
        read_data(tmp_path / "Tom")
    assert "Did you mean" not in caught.value.remedy
