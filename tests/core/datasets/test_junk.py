"""Identity -1 is junk in every layout; identity 0 is a person in every layout but Market-1501's."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.datasets import read_data

JUNK = ("-1", " -1", "-01", "-0001 ", "-1.0")


@pytest.mark.parametrize("junk", JUNK)
def test_in_a_csv(tmp_path: Path, junk: str) -> None:
    (tmp_path / "m.csv").write_text(
        f"path,identity,camera,split\na.jpg,1,1,query\nb.jpg,{junk},2,gallery\nc.jpg,0,2,gallery\nd.jpg,-10,2,gallery\n"
    )
    data = read_data(tmp_path / "m.csv")
    assert data.junk == 1
    assert [row.identity for row in data.manifest] == ["1", "0", "-10"]
    assert data.notes == ()


def test_in_folders(touch) -> None:
    data = read_data(touch("anna/1.jpg", "-1/2.jpg", "-1/door/3.jpg", "0000/4.jpg"))
    assert data.junk == 2
    assert sorted(row.identity for row in data.manifest) == ["0000", "anna"]
    assert data.notes == ("2 folders are read as one person each.",)


def test_in_folders_of_splits(touch) -> None:
    data = read_data(touch("train/1/a.jpg", "query/2/b.jpg", "gallery/2/c.jpg", "gallery/-1/d.jpg", "gallery/0/e.jpg"))
    assert data.junk == 1
    assert [row.identity for row in data.manifest] == ["1", "2", "0", "2"]


def test_in_msmt17s_lists(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    for split in ("train", "query", "gallery"):
        (tmp_path / f"list_{split}.txt").write_text("0000/0000_000_01_a.jpg 0\n0001/0001_000_02_a.jpg -1\n")
    data = read_data(tmp_path)
    assert data.junk == 3
    assert [row.identity for row in data.manifest] == ["0000", "test-0000", "test-0000"]
