"""A manifest replaces a manifest of the same data, and nothing else."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.overwrite import check_overwrite
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import COLUMNS, write_manifest

NAMES = {"train": ["0001_c1_a.jpg", "0002_c2_a.jpg"], "query": ["0003_c1_a.jpg"], "gallery": ["0003_c2_a.jpg"]}
Edit = Callable[[list[list[str]]], list[list[str]]]


def edit(file: Path, change: Edit) -> None:
    with file.open(encoding="utf-8", newline="") as stream:
        rows = change(list(csv.reader(stream)))
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


@pytest.mark.parametrize("place", ["Market-1501.csv", "a/b/mine.csv", "Market-1501/own.csv"])
def test_its_own_manifest_may_be_replaced(make_market, tmp_path: Path, place: str) -> None:
    manifest = read_data(make_market(**NAMES)).manifest
    target = tmp_path / place
    check_overwrite(target, manifest, folder=True)
    write_manifest(manifest, target)
    check_overwrite(target, manifest, folder=True)


def test_so_may_one_of_a_linked_folder(make_market, tmp_path: Path) -> None:
    root = make_market(**NAMES)
    link = tmp_path / "far" / "link"
    link.parent.mkdir()
    link.symlink_to(root)
    manifest = read_data(link).manifest
    write_manifest(manifest, tmp_path / "link.csv")
    check_overwrite(tmp_path / "link.csv", manifest, folder=True)
    check_overwrite(tmp_path / "link.csv", read_data(root).manifest, folder=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:1],
        lambda rows: rows[:2],
        lambda rows: [*rows, ["Market-1501/query/0009_c1_gone.jpg", "0009", "1", "query", ""]],
        lambda rows: [[*row[:4], "other words"] if number else row for number, row in enumerate(rows)],
        lambda rows: [[*row, "x"] for row in rows],
    ],
    ids=["no row", "fewer rows", "an image that has gone", "other captions", "a further column"],
)
def test_a_former_state_of_the_same_data_may_be_replaced(make_market, tmp_path: Path, change: Edit) -> None:
    manifest = read_data(make_market(**NAMES)).manifest
    target = tmp_path / "Market-1501.csv"
    write_manifest(manifest, target)
    edit(target, change)
    check_overwrite(target, manifest, folder=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: [row[:4] for row in rows], "has no column `caption`"),
        (lambda rows: [[row[1], row[0], *row[2:]] for row in rows], "its columns do not start with path, identity"),
        (lambda rows: [*rows, ["short"]], "line 6: it has 1 field, the header 5"),
        (lambda rows: [*rows, ["Duke/query/a.jpg", "1", "1", "query", ""]], "line 6 names 'Duke/query/a.jpg'"),
        (lambda rows: [*rows, ["Market-1501/../a.jpg", "1", "1", "query", ""]], "line 6 names"),
        (lambda rows: [*rows[:2], [rows[2][0], "0002", "2", "val", ""], *rows[3:]], "line 3 gives"),
        (lambda rows: [*rows[:2], [rows[2][0], "0007", "2", "train", ""], *rows[3:]], "another identity, camera"),
    ],
)
def test_what_somebody_made_is_kept(make_market, tmp_path: Path, change: Edit, reason: str) -> None:
    manifest = read_data(make_market(**NAMES)).manifest
    target = tmp_path / "Market-1501.csv"
    write_manifest(manifest, target)
    edit(target, change)
    with pytest.raises(DataError) as caught:
        check_overwrite(target, manifest, folder=True)
    assert reason in caught.value.what
    assert str(target) in caught.value.what
    assert "already exists" in caught.value.what
    assert "--output" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"notes to myself\n", b"\xff\xfe\x00binary", b"path\n\0\n"])
def test_no_table_is_no_manifest(make_market, tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "Market-1501.csv"
    target.write_bytes(content)
    with pytest.raises(DataError, match="already exists and is not overwritten"):
        check_overwrite(target, read_data(make_market(**NAMES)).manifest, folder=True)


def test_a_folder_is_no_file(make_market) -> None:
    root = make_market(**NAMES)
    with pytest.raises(DataError, match="is not a file"):
        check_overwrite(root, read_data(root).manifest, folder=True)


def test_a_csv_may_be_mended_but_its_rows_must_be_the_same_images(tmp_path: Path) -> None:
    source = tmp_path / "mine.csv"
    source.write_text(f"path,identity\na.jpg,1\n../b.jpg,2\n{tmp_path}/c.jpg,3\n")
    target = tmp_path / "out" / "mine.manifest.csv"
    write_manifest(read_data(source).manifest, target)
    source.write_text(source.read_text().replace(",2\n", ",7\n"))
    check_overwrite(target, read_data(source).manifest, folder=False)
    source.write_text("path,identity\na.jpg,1\n")
    with pytest.raises(DataError, match=r"line 3 names '../../b\.jpg', which is not in"):
        check_overwrite(target, read_data(source).manifest, folder=False)
    assert target.read_text().startswith(",".join(COLUMNS))
