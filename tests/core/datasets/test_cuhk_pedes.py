"""CUHK-PEDES with its true folders and fields, and copies of it that have another list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captioned import cuhk_entries
from fixtures import FIXTURES

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return FIXTURES["CUHK-PEDES"].write(tmp_path / "CUHK-PEDES")


def test_parts_people_and_captions_are_those_of_the_list(root: Path) -> None:
    data = read_data(root)
    rows = list(data.manifest)
    assert [row.split for row in rows] == ["train"] * 6 + ["val"] * 2 + ["gallery"] * 4
    assert [row.identity for row in rows] == ["1", "1", "2", "2", "3", "3", "4", "4", "5", "6", "5", "6"]
    assert [len(row.captions) for row in rows] == [2, 3, 2, 2, 1, 1, 2, 2, 2, 2, 2, 2]
    assert rows[8].path == "imgs/Market/0002_c1s1_000451_03.jpg"
    assert data.manifest.cameras() == ()  # the older data sets number their cameras on their own
    assert data.notes == data.warnings == ()


def test_caption_all_without_parts_names_the_list_that_has_them(root: Path) -> None:
    (root / "reid_raw.json").unlink()
    entries = [{name: entry[name] for name in ("id", "file_path", "captions")} for entry in cuhk_entries()]
    (root / "caption_all.json").write_text(json.dumps(entries))
    with pytest.raises(DataError) as caught:
        read_data(root)
    assert caught.value.what == (
        f"{root} has caption_all.json, but not reid_raw.json. caption_all.json does not say which images are for "
        "training and which for the test: its entries have no field split."
    )
    assert caught.value.remedy.startswith("Put reid_raw.json next to imgs")
    (root / "reid_raw.json").write_text(json.dumps(cuhk_entries()))
    assert len(read_data(root).manifest) == 12


def test_caption_all_with_parts_is_read(root: Path) -> None:
    before = read_data(root).manifest
    (root / "reid_raw.json").rename(root / "caption_all.json")
    data = read_data(root)
    assert (data.layout, data.manifest) == ("cuhk-pedes", before)
    assert data.notes == ("Read from caption_all.json: there is no reid_raw.json.",)
    (root / "caption_all.json").write_text("{}")
    with pytest.raises(DataError, match=r"caption_all\.json cannot be read .*: it is not a list"):
        read_data(root)
