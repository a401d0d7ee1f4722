"""Digests of files are remembered while the files do not change; only files of equal size may be copies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from scing_cli.core.artifacts.files import cache_folder
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared.equal_files import digests_of, of_one_size


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    written = [tmp_path / name for name in ("a", "b", "c")]
    for file, content in zip(written, (b"one", b"two", b"longer"), strict=True):
        file.write_bytes(content)
    return written


def found(files: list[Path]) -> list[str]:
    return list(digests_of(files, workers=2, reporter=Silent()).values())


def test_a_file_is_read_again_only_if_it_has_changed(files: list[Path]) -> None:
    first = found(files)
    assert first == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    state = files[0].stat()
    with files[0].open("r+b") as stream:
        stream.write(b"ONE")
    os.utime(files[0], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert found(files) == first  # as before: it was not read
    os.utime(files[0], ns=(1, 1))
    assert found(files) == [hashlib.sha256(b"ONE").hexdigest(), *first[1:]]


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 48 * 3 + b"torn"])
def test_a_cache_that_is_not_ours_costs_a_reading(files: list[Path], content: bytes) -> None:
    first = found(files)
    (cache_folder() / "digests").write_bytes(content)
    assert found(files) == first
    assert (cache_folder() / "digests").stat().st_size % 48 == 0


def test_a_file_that_is_gone_has_no_digest(files: list[Path]) -> None:
    files[1].unlink()
    assert found(files)[1] == ""
    assert of_one_size(files[:2], files[2:]) == []
    assert of_one_size(files[:1], [*files, files[0]]) == [files[0]]
