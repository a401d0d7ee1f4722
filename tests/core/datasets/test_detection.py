"""Detection of a folder's layout and of the data inside it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.datasets import detect, read_data
from scing_cli.core.errors import DataError
from scing_cli.core.layouts import LAYOUTS, LayoutSpec, Variant
from scing_cli.core.manifest import Sample

VARIANTS = [
    pytest.param(name, variant, id=f"{name}-{place}")
    for name, spec in LAYOUTS.items()
    for place, variant in enumerate(spec.variants)
    if not (variant.lists or variant.spectra or variant.strips)  # their markers have content
]


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_variant_is_detected_by_its_markers_alone(name: str, variant: Variant, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for folder in variant.folders:
        assert _detected(root) != name
        (root / folder).mkdir(parents=True)
    for file in variant.files:
        assert _detected(root) != name
        (root / file).touch()
    (root / "further folder").mkdir()
    assert detect(root) == name
    assert read_data(root).layout == name
    assert detect(tmp_path) == name
    assert read_data(tmp_path).manifest.root == root


def _detected(folder: Path) -> str:
    try:
        return detect(folder)
    except DataError:
        return "none"


def test_two_layouts_that_fit_are_refused(make_market, monkeypatch) -> None:
    twin = LayoutSpec("a twin", LAYOUTS["market1501"].module, (Variant({"query": ("query",)}),))
    monkeypatch.setattr("scing_cli.core.datasets.detection.LAYOUTS", {**LAYOUTS, "twin": twin})
    root = make_market()
    with pytest.raises(DataError, match=r"(?s)fits several layouts: market1501, twin\..*--layout NAME"):
        detect(root)
    assert read_data(root, layout="market1501").layout == "market1501"


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    for layout in ("auto", *LAYOUTS):
        with pytest.raises(DataError, match=r"nowhere does not exist"):
            read_data(tmp_path / "nowhere", layout=layout)


def test_an_unknown_layout_lists_the_known_and_the_closest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"(?s)The layout 'market-1501' is unknown\..*mean market1501\? Known layouts are auto and\n"
        r"  market1501: Market-1501, Duke",
    ):
        read_data(tmp_path, layout="market-1501")


def test_a_folder_of_no_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "query").mkdir()
    with pytest.raises(DataError) as caught:
        read_data(tmp_path)
    text = str(caught.value)
    assert "has no known layout" in text
    assert "bounding_box_train, query, bounding_box_test (market1501); found query" in text
    assert "list_train.txt, list_query.txt, list_gallery.txt, mask_train_v2, mask_test_v2 (msmt17)" in text
    assert "scing embed --images DIR" in text


def test_a_marker_that_is_a_file_does_not_count(make_market) -> None:
    root = make_market()
    (root / "query").rmdir()
    (root / "query").touch()
    with pytest.raises(DataError, match="has no known layout"):
        read_data(root)


def test_data_one_folder_deeper_is_read_and_said(make_market) -> None:
    root = make_market(train=["0001_c1.jpg"], name="Market-1501-v15.09.15")
    (root.parent / "readme.txt").touch()
    data = read_data(root.parent)
    assert data.manifest.root == root
    assert data.manifest.name == "Market-1501-v15.09.15"
    assert data.notes == (f"Read from {root}.",)


def test_two_data_sets_one_folder_deeper_are_refused(make_market) -> None:
    first, second = make_market(name="a"), make_market(name="b")
    with pytest.raises(DataError) as caught:
        read_data(first.parent)
    assert caught.value.what == f"{first.parent} contains 2 data sets: a, b."
    assert caught.value.remedy == f"Choose one, such as {first}."
    assert read_data(second).manifest.root == second


def test_a_folder_with_half_the_markers_is_never_read_as_people(make_market) -> None:
    root = make_market(train=["0001_c1.jpg"], query=["0001_c2.jpg"])
    (root / "bounding_box_test").rmdir()
    with pytest.raises(DataError, match="has no known layout"):
        read_data(root)


def test_a_csv_in_a_folder_of_no_layout_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "mine.CSV").touch()
    (tmp_path / "1.jpg").touch()
    with pytest.raises(DataError, match=r"Did you mean .*mine\.CSV\?"):
        read_data(tmp_path)
    assert read_data(tmp_path, layout="images").manifest.samples == (Sample("1.jpg"),)


def test_a_named_layout_still_needs_its_folders(tmp_path: Path) -> None:
    (tmp_path / "query").mkdir()
    with pytest.raises(DataError) as caught:
        read_data(tmp_path, layout="market1501")
    assert caught.value.what == (
        f"{tmp_path} lacks what --layout market1501 needs:\n  bounding_box_train, bounding_box_test"
    )


def test_a_named_layout_of_the_other_kind_is_refused(make_market) -> None:
    root = make_market()
    with pytest.raises(DataError, match=r"--layout csv needs a file; .* is a folder"):
        read_data(root, layout="csv")
    file = root / "a.csv"
    file.touch()
    for layout in set(LAYOUTS) - {"csv"}:
        with pytest.raises(DataError, match=rf"--layout {layout} needs a folder; .*a\.csv is a file"):
            read_data(file, layout=layout)


def test_part_of_a_data_set_is_never_read_as_another(tmp_path: Path) -> None:
    """P-DukeMTMC-reID without its occluded training bodies: its `test` looks like Occluded-REID."""
    root = tmp_path / "P-DukeMTMC-reID"
    for name in ("train/whole_body_images", "test/whole_body_images", "test/occluded_body_images"):
        (root / name / "0001").mkdir(parents=True)
        (root / name / "0001" / "0001_1_f1.jpg").touch()
    for path in (root, tmp_path):
        with pytest.raises(DataError, match=r"(?s)no known layout.*Found .*test/occluded_body_images"):
            read_data(path)
    (root / "train" / "occluded_body_images").mkdir()
    for path in (root, tmp_path):
        assert detect(path) == "p-dukemtmc"


@pytest.mark.parametrize("above", ["reid", "reid/sets", "reid/of/many/sets"])
def test_a_data_set_in_part_is_not_taken_for_people_however_deep(make_market, tmp_path: Path, above: str) -> None:
    root = make_market(train=["0001_c1.jpg"], query=["0001_c2.jpg"])
    moved = tmp_path / above / "Market-1501"
    moved.parent.mkdir(parents=True)
    root.rename(moved)
    data = read_data(tmp_path / "reid")
    assert (data.layout, data.manifest.root, data.notes[0]) == ("market1501", moved, f"Read from {moved}.")
    (moved / "bounding_box_test").rmdir()
    with pytest.raises(DataError, match=r"(?s)no known layout.*Found .*Market-1501/bounding_box_train"):
        read_data(tmp_path / "reid")


def test_a_data_set_in_two_versions_says_so(tmp_path: Path) -> None:
    for name in ("train", "test", "mask_train_v2", "mask_test_v2"):
        (tmp_path / name).mkdir()
    for name in ("train", "query", "gallery"):
        (tmp_path / f"list_{name}.txt").touch()
    for layout in ("auto", "msmt17"):
        with pytest.raises(DataError) as caught:
            read_data(tmp_path, layout=layout)
        assert caught.value.what == (
            f"{tmp_path} matches msmt17 in 2 ways:\n  train, test\n  mask_train_v2, mask_test_v2"
        )


def test_flat_folders_of_other_names_are_not_occluded_reid(touch) -> None:
    data = read_data(touch("query/0011_c1s1_000001_00.jpg", "gallery/0011_c2s1_000001_00.jpg"))
    assert data.layout == "split-files"
    with pytest.raises(
        DataError, match=r"not named as 0001_c1 \(identity, camera\), as in Market-1501: query/0011_1_c1"
    ):
        read_data(touch("query/0011_1_c1_1.jpg", "query/0012_1_c1_1.jpg"))


def test_an_image_is_no_data_set(tmp_path: Path) -> None:
    photo = tmp_path / "photo.PNG"
    photo.touch()
    with pytest.raises(DataError, match=r"photo\.PNG is an image, not a data set"):
        read_data(photo)
