"""Reading of all layouts: properties that each of them has."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError
from scing_cli.core.layouts import LAYOUTS


def test_the_root_is_absolute_and_named_wherever_it_is_read_from(make_market, monkeypatch) -> None:
    root = make_market(query=["0001_c1.jpg"])
    monkeypatch.chdir(root)
    for path in (Path(), Path("query/..")):
        manifest = read_data(path).manifest
        assert manifest.name == "Market-1501"
        assert manifest.root.is_absolute()
    monkeypatch.chdir(root.parent)
    assert read_data(Path("Market-1501")).manifest.root == root


def test_shared_identities_of_training_and_test_are_noted(make_market) -> None:
    root = make_market(
        train=["0001_c1.jpg", "0002_c1.jpg"], query=["0001_c2.jpg", "0003_c2.jpg"], gallery=["0002_c2.jpg"]
    )
    assert read_data(root).notes == (
        "1 identity is in train and in query: their scores are not those of unseen people.",
        "1 identity is in train and in gallery, but not among the queries.",
    )


def test_val_is_for_training_too_where_asked(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("path,identity,split\na.jpg,a,train\nb.jpg,b,val\nc.jpg,c,query\n")
    assert [row.split for row in read_data(file).manifest] == ["train", "val", "query"]
    assert [row.split for row in read_data(file, include_val=True).manifest] == ["train", "train", "query"]


def test_a_table_next_to_folders_of_people_is_noted_and_not_read(tmp_path: Path) -> None:
    for name in ("anna", "ben"):
        for number in (1, 2):
            file = tmp_path / "people" / name / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    table = tmp_path / "people" / "labels.csv"
    table.write_text("path,identity\nanna/1.jpg,x\n")
    data = read_data(tmp_path / "people")
    assert (data.layout, data.manifest.identities()) == ("identity-folders", ("anna", "ben"))
    assert f"labels.csv next to the folders is not read; --data {table} reads it instead of the folders." in data.notes
    (tmp_path / "people" / "loose.jpg").touch()
    with pytest.raises(DataError) as caught:
        read_data(tmp_path / "people")
    assert f"Did you mean {table}?" in caught.value.remedy


def test_reading_imports_no_torch() -> None:
    import subprocess
    import sys

    readers = ", ".join(sorted({spec.module for spec in LAYOUTS.values()}))
    code = f"import sys, scing_cli.core.datasets.inspect, {readers}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
