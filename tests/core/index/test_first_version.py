"""Indexes that the first version of scing wrote, byte by byte: they are read, searched and changed.

In `first_version`, 64 unit vectors drawn by seed 0, of which rows 3, 17 and 59 were removed before the last four were
added. Each path has a byte that is not UTF-8.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scing_cli.core.index import Entry, GalleryIndex, RowFilter, commits, read_stamp

WRITTEN = Path(__file__).with_name("first_version")
KINDS = ("flat", "hnsw", "ivf")
IDS = [number for number in range(64) if number not in (3, 17, 59)]


def drawn() -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def entry(number: int) -> Entry:
    identity = f"{number % 4:04d}" if number % 5 else ""
    camera = str(number % 3)
    path = f"/data/{number:04d}_c{camera}\udcff.jpg"
    return Entry(path, 1000 + number, 10**18 + number, f"{number:064x}", identity, camera)


@pytest.fixture(params=KINDS)
def index(request, tmp_path) -> Path:
    for file in WRITTEN.glob(f"{request.param}.*"):
        shutil.copy(file, tmp_path)
    return tmp_path / f"{request.param}.faiss"


def by_definition(vectors: np.ndarray, ids: list[int], query: np.ndarray, k: int) -> list[int]:
    scores = {number: float((query.astype(np.float64) * vectors[number].astype(np.float64)).sum()) for number in ids}
    return sorted(ids, key=lambda number: (-scores[number], number))[:k]


def test_rows_vectors_and_hits(index):
    gallery, vectors = GalleryIndex.read(index), drawn()
    assert [row.id for row in gallery.rows()] == IDS
    assert [Entry(*row[1:7]) for row in gallery.rows()] == [entry(number) for number in IDS]
    assert np.array_equal(gallery.vectors(), vectors[IDS])
    for query in vectors[::7]:
        (found,) = gallery.search(query[None], 61)
        assert [hit.row.id for hit in found] == by_definition(vectors, IDS, query, 61)
    few = RowFilter(cameras=frozenset({"1"}))
    allowed = [number for number in IDS if number % 3 == 1]
    (found,) = gallery.search(vectors[:1], 5, allowed=few)
    assert [hit.row.id for hit in found] == by_definition(vectors, allowed, vectors[0], 5)


@pytest.mark.parametrize("way", ["two files", "segments", "compacted"])
def test_it_can_be_changed(index, way, monkeypatch):
    if way != "two files":
        monkeypatch.setattr(commits, "LARGE", 0)
    gallery, vectors = GalleryIndex.read(index), np.concatenate([drawn(), np.eye(8, dtype=np.float32)[:4]])
    gallery.remove([0, 62])
    gallery.relabel({1: ("0007", "9")})
    gallery.add(vectors[64:], [entry(number) for number in range(64, 68)])
    gallery.write(index, compact=way == "compacted")
    assert (len(read_stamp(index).segments) == 2) == (way == "segments")
    left = [number for number in (*IDS, *range(64, 68)) if number not in (0, 62)]
    again = GalleryIndex.read(index)
    assert [row.id for row in again.rows()] == left
    assert np.array_equal(again.vectors(), vectors[left])
    for query in vectors[::9]:
        (found,) = again.search(query[None], 63)
        assert [hit.row.id for hit in found] == by_definition(vectors, left, query, 63)
    (row,) = again.table.at([entry(1).path])
    assert (row.id, row.identity, row.camera) == (1, "0007", "9")
