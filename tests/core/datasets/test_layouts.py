"""The table of layouts and the door: detection, and what is refused."""

from __future__ import annotations

import importlib
import inspect
import itertools
from pathlib import Path

import pytest

from scing_cli.core.datasets import LAYOUTS, DataSet, LayoutSpec, detect, layouts, read_data
from scing_cli.core.errors import DataError


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_row_of_the_table_has_a_reader(name: str) -> None:
    spec = LAYOUTS[name]
    reader = importlib.import_module(spec.module).read
    signature = inspect.signature(reader, eval_str=True)
    assert [parameter.annotation for parameter in signature.parameters.values()] == [Path]
    assert signature.return_annotation is DataSet
    assert spec.summary
    assert not spec.summary.endswith(".")


@pytest.mark.parametrize("name", [name for name, spec in LAYOUTS.items() if spec.markers])
def test_every_folder_layout_is_detected_by_its_markers_alone(name: str, tmp_path: Path) -> None:
    for marker in LAYOUTS[name].markers:
        assert name not in str(_detected(tmp_path))
        (tmp_path / marker).mkdir(parents=True)
    (tmp_path / "further folder").mkdir()
    assert detect(tmp_path) == name
    assert read_data(tmp_path).layout == name


def _detected(folder: Path) -> str:
    try:
        return detect(folder)
    except DataError:
        return "none"


def test_no_layout_holds_another() -> None:
    for one, other in itertools.permutations([set(spec.markers) for spec in LAYOUTS.values() if spec.markers], 2):
        assert not one <= other


def test_the_table_is_frozen() -> None:
    with pytest.raises(TypeError):
        LAYOUTS["mine"] = LAYOUTS["csv"]  # type: ignore[index]


def test_two_layouts_that_fit_are_refused(make_market, monkeypatch) -> None:
    twin = LayoutSpec("a twin", ("query",), LAYOUTS["market1501"].module)
    monkeypatch.setattr(layouts, "LAYOUTS", {**LAYOUTS, "twin": twin})
    root = make_market()
    with pytest.raises(DataError, match=r"(?s)fits several layouts: market1501, twin\..*--layout NAME"):
        detect(root)
    assert read_data(root, layout="market1501").layout == "market1501"


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    for layout in ("auto", "market1501", "csv"):
        with pytest.raises(DataError, match=r"nowhere does not exist"):
            read_data(tmp_path / "nowhere", layout=layout)


def test_an_unknown_layout_lists_the_known_and_the_closest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"(?s)no layout 'market-1501'\..*mean market1501\? Known: auto, market1501, csv"
    ):
        read_data(tmp_path, layout="market-1501")


def test_a_folder_of_no_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "query").mkdir()
    with pytest.raises(DataError) as caught:
        read_data(tmp_path)
    text = str(caught.value)
    assert "has no known layout" in text
    assert "bounding_box_train, query, bounding_box_test (market1501); found query" in text
    assert "scing embed --images DIR" in text


def test_a_marker_that_is_a_file_does_not_count(make_market) -> None:
    root = make_market()
    (root / "query").rmdir()
    (root / "query").touch()
    with pytest.raises(DataError, match="has no known layout"):
        read_data(root)


def test_data_one_folder_deeper_is_pointed_at(make_market) -> None:
    root = make_market(name="Market-1501-v15.09.15")
    with pytest.raises(DataError) as caught:
        read_data(root.parent)
    assert caught.value.remedy == f"Did you mean {root}?"


def test_a_csv_in_a_folder_of_no_layout_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "mine.CSV").touch()
    with pytest.raises(DataError, match=r"Did you mean .*mine\.CSV\?"):
        read_data(tmp_path)


def test_a_named_layout_still_needs_its_folders(tmp_path: Path) -> None:
    (tmp_path / "query").mkdir()
    with pytest.raises(
        DataError, match="lacks the folders of --layout market1501: bounding_box_test, bounding_box_train"
    ):
        read_data(tmp_path, layout="market1501")


def test_a_named_layout_of_the_other_kind_is_refused(make_market) -> None:
    root = make_market()
    with pytest.raises(DataError, match=r"--layout csv needs a file; .* is a folder"):
        read_data(root, layout="csv")
    file = root / "a.csv"
    file.touch()
    with pytest.raises(DataError, match=r"--layout market1501 needs a folder; .*a\.csv is a file"):
        read_data(file, layout="market1501")


def test_the_root_is_absolute_and_named_wherever_it_is_read_from(make_market, monkeypatch) -> None:
    root = make_market(query=["0001_c1.jpg"])
    monkeypatch.chdir(root)
    for path in (Path(), Path("query/..")):
        manifest = read_data(path).manifest
        assert manifest.name == "Market-1501"
        assert manifest.root.is_absolute()
    monkeypatch.chdir(root.parent)
    assert read_data(Path("Market-1501")).manifest.root == root


def test_shared_identities_of_train_and_query_are_noted(make_market) -> None:
    root = make_market(
        train=["0001_c1.jpg", "0002_c1.jpg"], query=["0001_c2.jpg", "0003_c2.jpg"], gallery=["0002_c2.jpg"]
    )
    assert read_data(root).notes == (
        "1 identities stand in train and in query: their scores are not those of unknown people.",
    )


def test_reading_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, scing_cli.core.datasets.layouts, scing_cli.core.datasets.market, scing_cli.core.datasets.inspect; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
