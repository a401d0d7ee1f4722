"""Images that a list names and that are not there: counted by folder; of none, where they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fixtures import FIXTURES

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError


@pytest.fixture
def cuhk(tmp_path: Path) -> Path:
    return FIXTURES["CUHK-PEDES"].write(tmp_path / "sets" / "data")


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_data(path)
    assert f"None of the 12 images that {path / 'reid_raw.json'} names is there, such as " in caught.value.what
    return caught.value.remedy


def test_missing_images_are_counted_by_folder_in_one_warning(cuhk: Path) -> None:
    for name in ("Market", "test_query", "train_query"):
        shutil.rmtree(cuhk / "imgs" / name)
    (cuhk / "imgs" / "CUHK01" / "0003001.png").unlink()
    data = read_data(cuhk)
    (warning,) = data.warnings
    assert warning == (
        "5 of 12 images are missing of those that reid_raw.json names: Market 2 of 2, CUHK01 1 of 3, test_query 1 of "
        "1, train_query 1 of 1. The 7 others are used: figures of such data cannot be compared with published ones."
    )
    assert len(data.manifest) == 7
    assert data.dropped == ()


def test_missing_images_of_a_flat_folder_are_counted_as_its_own(tmp_path: Path) -> None:
    root = FIXTURES["RSTPReid"].write(tmp_path / "data")
    (root / "imgs" / "0000_c1_0001.jpg").unlink()
    (warning,) = read_data(root).warnings
    assert "1 of 18 images is missing of those that data_captions.json names: imgs 1 of 18. The 17 others" in warning


def test_many_folders_are_not_all_listed(tmp_path: Path) -> None:
    from captioned import entry, write_list

    entries = [entry("train", number, f"{number:02}/1.jpg", ["A man."]) for number in range(15)]
    root = write_list(tmp_path / "data", "ICFG-PEDES", entries)
    (root / "imgs" / "00").mkdir(parents=True)
    (root / "imgs" / "00" / "1.jpg").touch()
    (warning,) = read_data(root).warnings
    assert "14 of 15 images are missing" in warning
    assert warning.count("1 of 1") == 10
    assert "and 4 more folders. The 1 other is used" in warning


def test_without_any_image_it_is_said_where_they_should_be(cuhk: Path) -> None:
    shutil.rmtree(cuhk / "imgs")
    remedy = refusal(cuhk)
    assert remedy == (
        f"They should be in {cuhk / 'imgs' / 'cam_a'}. Unpack or link them there, or move reid_raw.json next to their "
        "folder."
    )
    (cuhk / "imgs").mkdir()
    assert refusal(cuhk) == remedy


def test_images_that_are_near_are_named_with_what_to_move(cuhk: Path) -> None:
    sets, imgs = cuhk.parent, cuhk / "imgs"
    (cuhk / "reid_raw.json").rename(sets / "reid_raw.json")
    assert f"There are such files in {imgs}: move reid_raw.json to {cuhk}." in refusal(sets)
    (sets / "annotations").mkdir()
    (sets / "reid_raw.json").rename(sets / "annotations" / "reid_raw.json")
    assert f"There are such files in {imgs}: move reid_raw.json to {cuhk}." in refusal(sets / "annotations")
    (sets / "annotations" / "reid_raw.json").rename(imgs / "reid_raw.json")
    assert f"There are such files in {imgs}: move reid_raw.json to {cuhk}." in refusal(imgs)
    imgs.rename(sets / "CUHK")
    inside = refusal(sets / "CUHK")
    assert f"There are such files in {sets / 'CUHK'}: move its folders and images into a folder imgs." in inside
    (sets / "CUHK" / "reid_raw.json").rename(cuhk / "reid_raw.json")
    (sets / "CUHK").rename(cuhk / "images")
    assert f"There are such files in {cuhk / 'images'}: rename it to {imgs}." in refusal(cuhk)


def test_a_list_whose_paths_start_at_the_root_is_looked_for_around_it(tmp_path: Path) -> None:
    root = FIXTURES["UFine6926"].write(tmp_path / "data")
    shutil.move(root / "images", tmp_path / "images")
    (root / "images").mkdir()
    with pytest.raises(DataError) as caught:
        read_data(root)
    assert f"There are such files in {tmp_path}: move UFine6926.json to {tmp_path}." in caught.value.remedy
