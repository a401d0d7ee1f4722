"""ICFG-PEDES with MSMT17's file names, under both names of its list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from captioned import icfg_entries, write_list
from fixtures import FIXTURES, put

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return FIXTURES["ICFG-PEDES"].write(tmp_path / "ICFG-PEDES")


def test_the_list_says_the_part_and_the_file_name_the_camera(root: Path) -> None:
    rows = list(read_data(root).manifest)
    assert [(row.split, row.identity, row.camera) for row in rows[:2]] == [("train", "0", "01"), ("train", "0", "14")]
    assert [(row.split, row.identity, row.camera) for row in rows[-2:]] == [
        ("gallery", "4", "01"),
        ("gallery", "4", "14"),
    ]
    assert rows[1].path == "imgs/test/0000/0000_014_14_0303morning_0000_0.jpg"
    assert all(len(row.captions) == 1 for row in rows)


def test_a_name_that_is_not_of_msmt17_has_no_camera(root: Path) -> None:
    entries = icfg_entries()
    entries[0]["file_path"] = "train/0000/0000_001_99.jpg"
    put(root / "imgs" / "train" / "0000" / "0000_001_99.jpg", 1, 1)
    write_list(root, "ICFG-PEDES", entries)
    assert [row.camera for row in read_data(root).manifest][:2] == ["", "14"]


def test_both_names_of_the_list_are_known_and_must_agree(root: Path) -> None:
    before = read_data(root).manifest
    shutil.copy(root / "ICFG-PEDES.json", root / "ICFG_PEDES.json")
    assert read_data(root).manifest == before
    (root / "ICFG-PEDES.json").write_text("[]")
    with pytest.raises(DataError, match=r"has ICFG-PEDES\.json and ICFG_PEDES\.json, and they differ"):
        read_data(root)
    (root / "ICFG-PEDES.json").unlink()
    data = read_data(root)
    assert (data.layout, data.manifest) == ("icfg-pedes", before)
