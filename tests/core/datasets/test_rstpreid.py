"""RSTPReid with its true fields and file names."""

from __future__ import annotations

from pathlib import Path

from fixtures import FIXTURES

from scing_cli.core.datasets import read_data


def test_parts_people_and_cameras(tmp_path: Path) -> None:
    rows = list(read_data(FIXTURES["RSTPReid"].write(tmp_path / "RSTPReid")).manifest)
    assert (rows[0].path, rows[0].identity, rows[0].camera, rows[0].split) == (
        "imgs/0000_c1_0001.jpg",
        "0",
        "1",
        "train",
    )
    assert (rows[-1].identity, rows[-1].camera, rows[-1].split) == ("5", "14", "gallery")
    assert [row.identity for row in rows if row.split == "val"] == ["3"] * 3
    assert all(len(row.captions) == 2 for row in rows)
    assert rows[0].captions[1] == f"{rows[0].captions[0]} She wears a hat."
