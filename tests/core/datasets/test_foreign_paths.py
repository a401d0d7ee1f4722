"""Paths of a CSV that are web addresses, paths of Windows, or begin with the home folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.foreign_paths import why_foreign
from scing_cli.core.errors import DataError

FOREIGN = {
    "https://host/a.jpg": "a web address",
    "HTTP://host/a.jpg": "a web address",
    "s3://bucket/a.jpg": "a web address",
    "gs://bucket/a.jpg": "a web address",
    "file:///home/a.jpg": "without file://",
    r"C:\people\a.jpg": "a path of Windows",
    "d:/people/a.jpg": "a path of Windows",
    r"\\server\share\a.jpg": "a path of Windows",
}
STEM = st.text("abcdefg0123", min_size=1, max_size=8)


def listed(folder: Path, *paths: str) -> Path:
    source = folder / "mine.csv"
    source.write_text("\n".join(["path", *paths]) + "\n")
    return source


@pytest.mark.parametrize(("path", "reason"), FOREIGN.items())
def test_such_a_path_is_left_out_with_the_reason(tmp_path: Path, path: str, reason: str) -> None:
    data = read_data(listed(tmp_path, path, "a.jpg"))
    assert [row.path for row in data.manifest] == ["a.jpg"]
    ((dropped),) = data.dropped
    assert (dropped.path, reason in dropped.reason) == (path, True)
    assert not any("separate folders" in note for note in data.notes)
    with pytest.raises(DataError, match=r"lists no file of this machine \(1 path\), such as") as raised:
        read_data(listed(tmp_path, path))
    assert reason in str(raised.value)


@given(scheme=st.sampled_from(["http", "https", "s3", "gs", "hdfs", "FTP"]), stem=STEM, drive=st.sampled_from("cdZ"))
def test_addresses_and_drives_of_any_name_are_known(scheme: str, stem: str, drive: str) -> None:
    assert "download" in why_foreign(f"{scheme}://{stem}/{stem}.jpg")
    assert "Windows" in why_foreign(f"{drive}:\\{stem}\\{stem}.jpg")
    assert not why_foreign(f"{stem}/{stem}.jpg")
    assert not why_foreign(f"/{stem}/{scheme}:{stem}.jpg")


def test_a_file_of_such_a_name_is_used(tmp_path: Path) -> None:
    (tmp_path / "s3:").mkdir()
    for name in ("s3:/a.jpg", "~b.jpg"):
        (tmp_path / name).write_bytes(b"")
    data = read_data(listed(tmp_path, "s3:/a.jpg", "~b.jpg"))
    assert ([row.path for row in data.manifest], data.dropped) == (["s3:/a.jpg", "~b.jpg"], ())


def test_the_home_folder_is_expanded_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    data = read_data(listed(tmp_path, "~/a.jpg", "~nobody-at-all/b.jpg"))
    assert [row.path for row in data.manifest] == [f"{tmp_path}/home/a.jpg", "~nobody-at-all/b.jpg"]
    assert any(note.startswith("1 path begins with ~, such as ~/a.jpg") for note in data.notes)
