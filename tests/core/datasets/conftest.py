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
