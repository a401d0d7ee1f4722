"""UFine6926: paths from the root, and a list of any name."""

from __future__ import annotations

from pathlib import Path

from fixtures import FIXTURES

from scing_cli.core.datasets import read_data


def test_paths_are_relative_to_the_root_and_the_list_may_have_any_name(tmp_path: Path) -> None:
    root = FIXTURES["UFine6926"].write(tmp_path / "UFine6926")
    (root / "UFine6926.json").rename(root / "annotations of all.JSON")
    data = read_data(root)
    rows = list(data.manifest)
    assert (data.layout, len(rows)) == ("ufine6926", 10)
    assert (rows[0].path, rows[0].identity, rows[0].split) == ("images/11.jpg", "1", "train")
    assert (rows[-1].path, rows[-1].identity, rows[-1].split) == ("images/52.jpg", "5", "gallery")
    assert all(len(text.split()) > 75 for row in rows for text in row.captions)
