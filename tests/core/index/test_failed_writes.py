"""A write of a large index that fails, or was killed: what is left of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from pathlib import Path

import pytest
from core.index.test_gallery import entries, gallery, unit

from scing_cli.core.errors import ScingError
from scing_cli.core.index import GalleryIndex, commits, files_of, read_stamp


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setattr(commits, "LARGE", 0)
    path = tmp_path / "gallery.faiss"
    gallery(unit(100)).write(path)
    return path


def changed(path: Path, gone: int = 3) -> GalleryIndex:
    """Return an index that has further rows, rows fewer, and other labels."""
    index = GalleryIndex.read(path)
    index.add(unit(10, seed=5), entries(10, start=index.stamp.next_id))
    index.remove([gone])
    index.relabel({4: ("anna", "door")})
    return index


def fail_at(monkeypatch, number: int, error: BaseException):
    """Let one of the steps of a write raise; return the number of the next step."""
    steps = itertools.count(1)

    def step(real):
        def work(*given, **named):
            if next(steps) == number:
                raise error
            return real(*given, **named)

        return work

    for place, name in ((Path, "replace"), (os, "fsync"), (sqlite3, "connect"), (commits, "append_stamp")):
        monkeypatch.setattr(place, name, step(getattr(place, name)))
    return steps


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stopped"]
)
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("segments", [1, 2])
def test_a_write_that_fails_at_any_step_leaves_nothing(written, monkeypatch, error, links, segments):
    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    if segments == 2:
        index = GalleryIndex.read(written)
        index.add(unit(30), entries(30, start=100))
        index.write(written)
    before, rows = {file: file.read_bytes() for file in files_of(written)}, len(GalleryIndex.read(written))
    for number in itertools.count(1):
        index = changed(written)
        with monkeypatch.context() as patch, contextlib.suppress(ScingError, KeyboardInterrupt):
            steps = fail_at(patch, number, error)
            index.write(written)
        if next(steps) <= number:
            break
        assert {file: file.read_bytes() for file in written.parent.iterdir()} == before, number
    assert number > 10
    assert len(read_stamp(written).segments) == segments + 1
    assert len(GalleryIndex.read(written)) == rows + 9


def test_what_a_killed_writer_has_left_makes_room_for_the_next(written, monkeypatch):
    """Also of generations before that of the index, as the second name of its vectors."""
    changed(written).write(written)
    before = set(files_of(written))
    left = [written.with_name(f"gallery.{name}") for name in ("vectors-0", "rows-0", "rows-7", "removed-7")]
    for file in left:
        file.write_bytes(b"half")
    there = []

    def full(*_):
        there.extend(file.name for file in left if file.exists())
        raise ScingError("The disk is full.")

    monkeypatch.setattr(commits, "write_rows", full)
    index = changed(written, gone=5)
    with pytest.raises(ScingError, match="full"):
        index.write(written)
    assert there == []
    assert set(written.parent.iterdir()) == before
