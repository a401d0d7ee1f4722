"""Data set folders of empty files: no reader opens an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

MakeMarket = Callable[..., Path]


@pytest.fixture
def make_market(tmp_path: Path) -> MakeMarket:
    """Return a function that makes a folder in Market-1501's layout with these file names, and returns it."""

    def make(
        train: Sequence[str] = (), query: Sequence[str] = (), gallery: Sequence[str] = (), name: str = "Market-1501"
    ) -> Path:
        root = tmp_path / name
        for folder, names in {"bounding_box_train": train, "query": query, "bounding_box_test": gallery}.items():
            root.joinpath(folder).mkdir(parents=True)
            for file in names:
                root.joinpath(folder, file).touch()
        return root

    return make


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes empty files at these places below a folder, and returns the folder."""

    def make(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / "data" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "data"

    return make
