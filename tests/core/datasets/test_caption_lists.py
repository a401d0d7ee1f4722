"""Where lists of images with captions are found, and that the folders next to them are never read as people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from captioned import CAPTIONED
from fixtures import FIXTURES, put

from scing_cli.core.datasets import detect, read_data
from scing_cli.core.errors import DataError


@pytest.fixture(params=CAPTIONED)
def written(request, tmp_path: Path) -> tuple[str, Path]:
    return request.param, FIXTURES[request.param].write(tmp_path / "sets" / "data")


def error_of(path: Path, layout: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        read_data(path, layout=layout)
    return caught.value


def test_a_data_set_is_found_from_above_and_not_from_inside(written: tuple[str, Path]) -> None:
    name, root = written
    layout = name.lower()
    assert detect(root) == detect(root.parent) == detect(root.parent.parent) == layout
    assert read_data(root.parent).manifest.root == root
    folder = root / ("images" if layout == "ufine6926" else "imgs")
    error = error_of(folder)
    assert error.what == f"{folder} is a part of the data set {root}."
    error = error_of(root / (CAPTIONED[name][0]))
    assert "is a JSON file, not a data set" in error.what


def test_two_data_sets_next_to_each_other_are_refused(written: tuple[str, Path]) -> None:
    _, root = written
    shutil.copytree(root, root.parent / "other")
    assert "contains 2 data sets: data, other" in error_of(root.parent).what


@pytest.mark.parametrize("content", [None, b"", b"\0\0", b'[{"file_path": "cam_a/1.bmp", "capt'])
@pytest.mark.parametrize("name", ["CUHK-PEDES", "ICFG-PEDES", "RSTPReid"])
def test_a_list_of_another_name_next_to_imgs_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    root = FIXTURES[name].write(tmp_path / "sets" / "data")
    source = root / CAPTIONED[name][0]
    (root / "list (1).JSON").write_bytes(source.read_bytes() if content is None else content)
    source.unlink()
    (tmp_path / "sets" / "more").mkdir()
    for place in (root, root.parent, root.parent.parent):
        error = error_of(place)
        assert error.what.startswith(f"{root} has list (1).JSON next to imgs, a name that no layout has.")
        assert "reid_raw.json (cuhk-pedes), ICFG-PEDES.json (icfg-pedes), data_captions.json (rstpreid)" in error.remedy
    assert len(read_data(root, layout="images").manifest)


def test_a_damaged_list_of_a_known_name_is_one_message(written: tuple[str, Path]) -> None:
    name, root = written
    source = root / CAPTIONED[name][0]
    source.write_bytes(source.read_bytes()[:-200])
    assert f"{CAPTIONED[name][0]} cannot be read as a list of images with captions" in error_of(root).what


def test_a_list_next_to_two_folders_of_people_is_found_too(tmp_path: Path) -> None:
    root = FIXTURES["ICFG-PEDES"].write(tmp_path / "anna")
    (root / "ICFG-PEDES.json").rename(root / "icfg.json")
    put(tmp_path / "ben" / "1.jpg", 1, 1)
    assert f"{root} has icfg.json next to imgs" in error_of(tmp_path).what


def test_images_of_cuhk_pedes_without_their_list_say_which_is_missing(tmp_path: Path) -> None:
    root = FIXTURES["CUHK-PEDES"].write(tmp_path / "data")
    (root / "reid_raw.json").unlink()
    for place in (root, root / "imgs", tmp_path):
        error = error_of(place)
        assert "has folders of CUHK-PEDES (CUHK01, CUHK03, cam_a, cam_b), but its list reid_raw.json" in error.what
    assert "reid_raw.json or caption_all.json" in error_of(root, layout="cuhk-pedes").what


def test_several_lists_next_to_images_are_refused_and_other_files_are_not_lists(tmp_path: Path) -> None:
    root = FIXTURES["UFine6926"].write(tmp_path / "data")
    (root / "licence.json").write_text('{"file_path": "captions"}')
    (root / "metrics.json").write_text("[1, 2]")
    (root / "folder.json").mkdir()
    assert detect(root) == "ufine6926"
    shutil.copy(root / "UFine6926.json", root / "UFine3C.json")
    assert "has several lists next to images: UFine3C.json, UFine6926.json." in error_of(root).what
    for place in (root, tmp_path):
        error = error_of(place, layout="ufine6926")
        assert error.what.startswith(f"{root} has several lists next to images: UFine3C.json, UFine6926.json.")
        assert error.remedy == "Move all but one of them out of the folder."
    for name in ("UFine3C.json", "UFine6926.json"):
        (root / name).unlink()
    assert "*.json" in error_of(root, layout="ufine6926").what


def test_a_json_of_another_kind_next_to_images_changes_nothing(tmp_path: Path) -> None:
    for person in ("anna", "ben"):
        put(tmp_path / "images" / person / "1.jpg", 1, 1)
    assert detect(tmp_path) == "identity-folders"
    (tmp_path / "settings.json").write_text(json.dumps({"a": 1}))
    assert "images is named like a folder of images" in error_of(tmp_path).what
