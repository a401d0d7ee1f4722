from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.artifacts import file_digest
from scing_cli.core.safe_reading import SMALL, json_items, opened


@pytest.mark.parametrize("size", [0, 1, 2_047, SMALL, SMALL + 1])
def test_small_and_large_files_are_read_alike(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(index % 251 for index in range(size)))
    with opened(path, size) as stream:
        assert isinstance(stream, io.BytesIO) == (size <= SMALL)
        assert stream.read() == path.read_bytes()
    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_comes_in_pieces_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Halting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(3)

    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode, **given: Halting(self, mode) if given else usual(self, mode))
    with opened(path, 10) as stream:
        assert stream.read() == b"0123456789"


@pytest.mark.parametrize("told", [0, 3, 9, 11, SMALL])
def test_a_file_that_has_changed_its_size_is_read_as_it_is(tmp_path: Path, told: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with opened(path, told) as stream:
        assert stream.read() == b"0123456789"


def test_the_items_of_an_array_are_not_kept_in_memory() -> None:
    content = json.dumps([{"words": [f"word{number}" for number in range(400)]}] * 1_000).encode()
    tracemalloc.start()
    count = sum(1 for _ in json_items(content))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1_000
    assert most < 2 * len(content)


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ),
        max_size=4,
    ),
    st.sampled_from(["", " ", "\n\t"]),
    st.booleans(),
)
def test_the_items_of_an_array_are_those_of_json(items: list[Any], space: str, mark: bool) -> None:
    text = json.dumps(items, separators=(f",{space}", f":{space}"))
    content = (b"\xef\xbb\xbf" if mark else b"") + f"{space}{text}{space}".encode()
    assert list(json_items(content)) == items
