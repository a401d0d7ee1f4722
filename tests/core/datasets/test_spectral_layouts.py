"""Data sets of several spectra, from empty files with their true names; at their true sizes, with the document's counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import spectral

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.inspect import compare_counts, count_distractors, count_parts
from scing_cli.core.datasets.published_counts import PUBLISHED, PartCount
from scing_cli.core.errors import DataError

VIS = ("vis", "ni", "th")


def make(root: Path, paths: Iterable[str]) -> Path:
    """Make empty files: no reader opens an image, except the first ones of RGBNT100's folders."""
    made = set()
    for path in paths:
        file = root / path
        if file.parent not in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            made.add(file.parent)
        os.close(os.open(file, os.O_CREAT))
    return root


def test_rgbnt201_has_its_test_part_twice_and_one_row_for_three_images(tmp_path):
    names = [f"000028_cam{camera}_{flag}_{number:02}.jpg" for camera, flag, number in ((1, 0, 2), (2, 1, 3))]
    paths = [f"train_171/{spectrum}/{name}" for name in names for spectrum in ("RGB", "NI", "TI")]
    paths += [f"test/{spectrum}/000258_cam1_0_02.jpg" for spectrum in ("RGB", "NI", "TI")]
    data = read_data(make(tmp_path / "RGBNT201", [*paths, "test/RGB/cover.jpg"]))
    assert data.layout == "rgbnt201"
    assert [(row.identity, row.camera, row.split) for row in data.manifest] == [
        ("000028", "1", "train"),
        ("000028", "2", "train"),
        ("000258", "1", "query"),
        ("000258", "1", "gallery"),
    ]
    assert data.manifest.samples[2].images == {
        "rgb": ("test/RGB/000258_cam1_0_02.jpg", None),
        "nir": ("test/NI/000258_cam1_0_02.jpg", None),
        "tir": ("test/TI/000258_cam1_0_02.jpg", None),
    }
    assert [fault.path for fault in data.dropped] == ["test/RGB/cover.jpg"]
    assert data.manifest.objects() == "person"


def test_rgbnt201_at_its_size(tmp_path):
    """171 and 30 identities, 3,951 and 836 observations, 4 and 2 cameras; a missing image is counted by spectrum."""
    paths = []
    for part, identities, cameras in (("train_171", 171, (2592, 1142, 88, 129)), ("test", 30, (365, 471))):
        for camera, count in enumerate(cameras, 1):
            names = [f"{number % identities + 1:06}_cam{camera}_0_{number:05}.jpg" for number in range(count)]
            paths += [f"{part}/{spectrum}/{name}" for name in names for spectrum in ("RGB", "NI", "TI")]
    root = make(tmp_path / "RGBNT201", paths)
    data = read_data(root)
    assert count_parts(data.manifest) == PUBLISHED["RGBNT201"].parts
    assert compare_counts(data.manifest, layout=data.layout).differences == ()
    assert data.warnings == ()
    (root / paths[-1]).unlink()
    assert paths[-1].startswith("test/TI/")
    (warning,) = read_data(root).warnings
    assert warning == f"1 of 4,787 observations has no thermal image, such as {paths[-1].replace('TI', 'RGB')}."


@pytest.mark.parametrize("query", ["query3", "query"])
def test_msvr310_at_its_size_has_queries_of_identities_with_several_scenes(tmp_path, query):
    """591 queries of 52 identities, 464 distractors; by an oracle that counts scenes from the names."""
    train = [(f"{identity:04}", scene) for identity in range(155) for scene in scenes_of(identity, 1_032, 155, 155)]
    gallery = [(f"{identity + 155:04}", scene) for identity in range(52) for scene in scenes_of(identity, 591, 52, 52)]
    gallery += [
        (f"{identity + 207:04}", scene) for identity in range(103) for scene in scenes_of(identity, 464, 103, 0)
    ]
    names: dict[str, list[str]] = {"bounding_box_train": [], "bounding_box_test": []}
    for part, rows in (("bounding_box_train", train), ("bounding_box_test", gallery)):
        names[part] = [f"{who}/{{}}/{who}_s{scene:03}_v{n % 8}_{n:03}.jpg" for n, (who, scene) in enumerate(rows)]
    scenes: dict[str, set[str]] = {}
    for name in names["bounding_box_test"]:
        scenes.setdefault(name[:4], set()).add(name.split("_")[1])
    names[query] = [name for name in names["bounding_box_test"] if len(scenes[name[:4]]) > 1]
    assert len(names[query]) == 591
    paths = (f"{part}/{name.format(spectrum)}" for part, all_ in names.items() for name in all_ for spectrum in VIS)
    data = read_data(make(tmp_path / "MSVR310", paths))
    assert data.layout == "msvr310"
    assert (data.dropped, data.warnings) == ((), ())
    assert count_parts(data.manifest) == PUBLISHED["MSVR310"].parts
    assert count_distractors(data.manifest) == PartCount(103, 464, 0)
    assert compare_counts(data.manifest, layout=data.layout).differences == ()
    expected = Counter((name[:4], name.split("_s")[1][:3], "query") for name in names[query])
    assert Counter((row.identity, row.scene, row.split) for row in data.manifest.part("query")) == expected
    assert all(len(row.images) == 3 for row in data.manifest)
    assert data.manifest.objects() == "vehicle"
    assert data.manifest.cameras() == ()


def scenes_of(number: int, images: int, identities: int, several: int) -> list[int]:
    """Return the scene of each image of an identity: two scenes for the first `several` identities, one for others."""
    share = images // identities + (number < images % identities)
    return [1 + (place % 2 if number < several else 0) for place in range(share)]


def test_msvr310_rows_have_the_scene_and_no_camera(tmp_path):
    data = read_data(spectral.msvr310(tmp_path / "MSVR310"))
    row = data.manifest.samples[0]
    assert row.extra == (
        ("near_infrared", "bounding_box_train/0001/ni/0001_s001_v1_000.jpg"),
        ("thermal", "bounding_box_train/0001/th/0001_s001_v1_000.jpg"),
        ("scene", "001"),
        ("view", "1"),
        ("object", "vehicle"),
    )
    (tmp_path / "MSVR310" / "query3" / "0011" / "vis" / "0012_s002_v3_000.jpg").touch()
    (fault,) = read_data(tmp_path / "MSVR310").dropped
    assert fault.reason == "its name says identity 0012, its folder 0011"


def test_rgbnt100_is_told_from_market_by_its_images(tmp_path):
    root = spectral.rgbnt100(tmp_path / "RGBNT100")
    data = read_data(root)
    assert (data.layout, data.manifest.name, data.manifest.root) == ("rgbnt100", "RGBNT100", root / "rgbir")
    row = data.manifest.samples[0]
    assert (row.path, row.identity, row.camera) == ("bounding_box_train/0501_c0001_000.jpg", "0501", "0001")
    assert list(row.images.items()) == [(name, (row.path, part)) for part, name in enumerate(("rgb", "nir", "tir"))]
    assert data.manifest.objects() == "vehicle"
    whole = read_data(root, layout="market1501").manifest
    assert (whole.spectra(), len(whole)) == ((), len(data.manifest))
    for file in root.rglob("*.jpg"):  # of one view each: Market-1501
        spectral.put_view(file, 1, 0, 0, (16, 32))
    assert read_data(root).layout == "market1501"
    with pytest.raises(DataError, match=r"lacks what --layout rgbnt100 needs:\n  images that are strips"):
        read_data(root / "rgbir", layout="rgbnt100")


def test_wmveid863_is_paired_in_sorted_order_and_unequal_numbers_are_refused(tmp_path):
    root = spectral.wmveid863(tmp_path / "WMVEID863")
    data = read_data(root)
    assert data.layout == "wmveid863"
    first = data.manifest.samples[0]
    assert first.paths == tuple(
        f"train/0001/{spectrum}/0001_v0_n1_{number:05}.jpg" for spectrum, number in zip(VIS, (0, 3, 6), strict=True)
    )
    assert first.extra[-3:] == (("view", "0"), ("night", "1"), ("object", "vehicle"))
    (root / "test" / "0012" / "th" / "0012_v1_n1_00007.jpg").unlink()
    with pytest.raises(DataError) as caught:
        read_data(root)
    assert caught.value.what == (
        f"{root} has 1 folder with different numbers of images per spectrum:\n"
        "  test/0012: visible 2, near-infrared 2, thermal 1"
    )


OWN = {
    "spectra above splits": ("{spectrum}/{split}/{who}/{number}.jpg", True),
    "splits above spectra": ("{split}/{spectrum}/{who}/{number}.jpg", True),
    "names say who": ("{split}/{spectrum}/{who}_c1_{number}.jpg", True),
    "spectra inside people": ("{split}/{who}/{spectrum}/{number}.jpg", False),
}


@pytest.mark.parametrize("name", OWN)
def test_own_folders_pair_images_of_one_name(touch, name):
    pattern, found = OWN[name]
    folders = {"rgb": "Visible", "nir": "near-infrared", "tir": "TI"}
    paths = {
        (who, split, number, spectrum): pattern.format(split=split, spectrum=folder, who=who, number=number)
        for split, people in {"train": ("0001", "0002"), "query": ("0003",), "test": ("0003",)}.items()
        for who in people
        for number in (1, 2)
        for spectrum, folder in folders.items()
        if (who, number, spectrum) != ("0002", 2, "rgb")
    }
    data = read_data(touch(*paths.values()), layout="auto" if found else "spectrum-folders")
    assert data.layout == "spectrum-folders"
    rows = {(row.identity, row.split): [] for row in data.manifest}
    for row in data.manifest:
        rows[row.identity, row.split].append({spectrum: path for spectrum, (path, _) in row.images.items()})
    expected: dict[tuple[str, str], list[dict[str, str]]] = {}
    for who, split in dict.fromkeys((who, split) for who, split, _, _ in paths):
        expected[who, "gallery" if split == "test" else split] = [
            {spectrum: path for (w, s, n, spectrum), path in paths.items() if (w, s, n) == (who, split, number)}
            for number in (1, 2)
        ]
    assert rows == expected
    assert any(note.startswith("1 of 8 observations has no visible image, such as ") for note in data.notes)
    assert "Folders of spectra: TI as thermal, Visible as visible, near-infrared as near-infrared." in " ".join(
        data.notes
    )


def test_own_folders_without_labels_and_with_files_that_are_lost(touch):
    root = touch("rgb/a.jpg", "ir/a.png", "rgb/b.jpg", "vis/b.jpg", "other/c.jpg")
    data = read_data(root, layout="spectrum-folders")
    assert [(row.paths, row.split) for row in data.manifest] == [(("rgb/a.jpg", "ir/a.png"), ""), (("rgb/b.jpg",), "")]
    assert {fault.path: fault.reason for fault in data.dropped} == {
        "other/c.jpg": "it is in no folder of a spectrum",
        "vis/b.jpg": "another visible image has its name: rgb/b.jpg",
    }
