"""What the entries of folders are: images, folders to enter, or something to pass over, at any depth."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.listing import SYSTEM, find_images
from scing_cli.core.datasets.passed_over import is_loss, passed_text
from scing_cli.core.errors import DataError


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder)[0]]


def test_images_are_sorted_by_code_point_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    names = ["a/b.png", "a.jpg", "a b/ä.JPG", "B.tiff", "z/y/x.webp", "é.bmp"]
    make(tmp_path, *names, ".hidden/a.jpg", "a/.b.jpg", "a/._c.jpg", "Thumbs.db", "notes.txt", "jpg", "a/.jpg")
    assert names_in(tmp_path) == sorted(names) == ["B.tiff", "a b/ä.JPG", "a.jpg", "a/b.png", "z/y/x.webp", "é.bmp"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "real/a.jpg").touch()
    (tmp_path / "data/linked").symlink_to(tmp_path / "real")
    (tmp_path / "real/loop").symlink_to(tmp_path / "data")
    assert find_images(tmp_path / "data") == ([tmp_path / "data/linked/a.jpg"], ())


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/b.jpg", "data/own/a.jpg")
    (tmp_path / "data/own/up").symlink_to(tmp_path)
    found, passed = find_images(tmp_path / "data")
    assert found == [tmp_path / "data/own/a.jpg"]
    assert passed_text(passed) == "Passed over: 1 link to a folder above (own/up/)."


def test_nothing_to_list(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert find_images(tmp_path / "empty") == ([], ())
    with pytest.raises(DataError, match="nowhere is missing"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="file is not a folder"):
        find_images(tmp_path / "file")


RUBBISH = st.sampled_from([*sorted(SYSTEM), "._1.jpg", "._anna", "Thumbs.db:encryptable"])
SPELT = st.sampled_from([str, str.upper, str.lower, str.title])


@settings(deadline=None, max_examples=60)
@given(rubbish=st.lists(st.tuples(RUBBISH, SPELT, st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_rubbish_of_systems_is_nowhere_a_person_a_camera_or_an_image(rubbish, tmp_path_factory) -> None:
    """Folders and files of file systems, in any case, at any depth, with images inside."""
    root = make(tmp_path_factory.mktemp("own"), "anna/door/deep/1.jpg")
    places = {root.joinpath(*("anna", "door", "deep")[:depth], spell(name)): is_folder
              for name, spell, depth, is_folder in rubbish}  # fmt: skip
    for place, is_folder in places.items():
        make(place, "anna/2.jpg") if is_folder else place.touch()
    data = read_data(root)
    assert [(row.path, row.identity, row.camera) for row in data.manifest] == [("anna/door/deep/1.jpg", "anna", "door")]
    assert {entry.reason for entry in data.passed} == {"system file or folder"}
    assert sum(entry.count for entry in data.passed) == len(places)
    assert names_in(root) == ["anna/door/deep/1.jpg"]
    assert not is_loss(data.passed)


def test_every_reason_is_counted_by_suffix_in_one_line(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b/c.CR2", "b/d.cr2", "b/@eaDir/x.jpg", "b/.hid", "n.txt", "b/m.TXT", "b/k.csv", "Makefile")
    (tmp_path / "b/gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "b/pipe.jpg")
    found, passed = find_images(tmp_path)
    assert found == [tmp_path / "a.jpg"]
    assert is_loss(passed)
    assert passed_text(passed) == (
        "Passed over: 2 .cr2 files (convert to JPEG); 2 dangling links (loop, …); "
        "1 file or folder of the system (@eaDir); 1 hidden file or folder (b/.hid); 1 pipe or device (b/pipe.jpg); "
        "other files: 2 .txt, 1 without a suffix, 1 .csv."
    )


def test_a_subfolder_that_cannot_be_entered_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, asked = make(tmp_path / "own", "anna/1.jpg", "ben/2.jpg", "carl/3.jpg"), os.access
    monkeypatch.setattr(os, "access", lambda path, *how, **more: Path(path).name != "ben" and asked(path, *how, **more))
    data = read_data(root)
    assert [row.identity for row in data.manifest] == ["anna", "carl"]
    assert passed_text(data.passed) == "Passed over: 1 unreadable folder (ben)."
    assert names_in(root) == ["anna/1.jpg", "carl/3.jpg"]


def test_a_subfolder_that_cannot_be_listed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may say that a folder can be entered and refuse later, such as on a network drive."""
    root, scan = make(tmp_path / "own", "anna/1.jpg", "ben/door/2.jpg"), os.scandir

    def refusing(path):
        if Path(path).name == "door":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert names_in(root) == ["anna/1.jpg"]
    assert passed_text(find_images(root)[1]) == "Passed over: 1 unreadable folder (ben/door/)."
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        find_images(root / "ben" / "door")


def test_a_folder_without_a_usable_image_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no known layout.*\n(.*\n)*Passed over: 2 \.nef files"):
        read_data(make(tmp_path, "anna/1.nef", "ben/2.NEF"))


def test_a_part_that_cannot_be_read_is_an_error(touch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole part must not be missing: only subfolders are passed over."""
    root, scan = (
        touch("bounding_box_train/0001_c1.jpg", "query/0002_c1.jpg", "bounding_box_test/0002_c2.jpg"),
        os.scandir,
    )

    def refusing(path):
        if Path(path).name == "query":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="query cannot be listed: Permission denied"):
        read_data(root)


@settings(deadline=None, max_examples=40)
@given(rubbish=RUBBISH, spell=SPELT, depth=st.integers(0, 2), is_folder=st.booleans())
def test_a_list_that_names_rubbish_of_systems_is_read_without_it(
    rubbish, spell, depth, is_folder, tmp_path_factory
) -> None:
    """Lists are often made with `find`, which enters every folder."""
    name = spell(rubbish)
    path = "/".join([*["a", "b"][:depth], *([name, "1.jpg"] if is_folder else [name])])
    source = tmp_path_factory.getbasetemp() / "m.csv"
    with source.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["path", "identity"], [path, "1"], ["c/._2.jpg", "1"], ["x._1.jpg", "2"]])
    data = read_data(source)
    assert [row.path for row in data.manifest] == ["x._1.jpg"]
    assert sum(entry.count for entry in data.passed) == 2


def test_known_lists_of_a_layout_are_not_counted(touch) -> None:
    root = touch("anna/1.jpg", "anna/notes.csv")
    (root / "captions.csv").write_text("path,caption\nanna/1.jpg,A woman in red.\n")
    assert passed_text(read_data(root).passed) == "Passed over: other file: 1 .csv."


@pytest.mark.parametrize("name", ["thumbs", "Thumbs", "_thumbs", "thumbnails", ".thumb"])
def test_folders_of_small_copies_are_passed_over_and_counted(touch, name: str) -> None:
    data = read_data(touch("anna/1.jpg", f"anna/{name}/1.jpg", "ben/1.jpg", f"{name}/anna/1.jpg"))
    assert [row.path for row in data.manifest] == ["anna/1.jpg", "ben/1.jpg"]
    assert sum(entry.count for entry in data.passed) == 2
