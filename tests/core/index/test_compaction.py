"""Several segments written as one: what it holds, and with how much memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit

from scing_cli.core.index import GalleryIndex, commits, flat_file, kinds, read_stamp, tuning
from scing_cli.core.index.kinds import InvertedStore
from scing_cli.core.index.store import Store


def segments(path: Path, kind: str, sizes: tuple[int, int], width: int, gone: range = range(0)) -> GalleryIndex:
    """Write an index of two segments without some of its rows, and read it."""
    gallery(unit(sizes[0], width), entries(sizes[0]), kind).write(path)
    index = GalleryIndex.read(path)
    index.add(unit(sizes[1], width, seed=1), entries(sizes[1], sizes[0]))
    index.write(path)
    index.remove(gone)
    index.write(path)
    assert len(read_stamp(path).segments) == 2
    return GalleryIndex.read(path)


@pytest.fixture
def always_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "LARGE", 0)
    monkeypatch.setattr(commits, "DEAD", 0)
    monkeypatch.setattr(commits, "WORTH", dict.fromkeys(("flat", "ivf", "hnsw"), 0))


def lists_of(store: Store) -> Iterator[tuple[list[int], bytes]]:
    """Yield the ids of each list that is not empty, ascending, and their vectors."""
    for ids, vectors in store.blocks():
        order = np.argsort(ids)
        yield ids[order].tolist(), vectors[order].tobytes()


def state(store: Store) -> tuple[object, ...]:
    centroids = faiss.downcast_index(store.index.quantizer).reconstruct_n(0, store.index.nlist)
    return store.effort(), centroids.tobytes(), list(lists_of(store))


@pytest.mark.parametrize("gone", [range(0), range(0, 900, 7), range(900), range(880, 930)])
@pytest.mark.parametrize("added", [50, 3000])
def test_an_inverted_file_is_that_of_a_copy_that_was_changed(tmp_path, always_segments, gone, added) -> None:
    """Of few new rows with the same centroids; many train new ones."""
    path = tmp_path / "gallery.faiss"
    index = segments(path, "ivf", (900, added), 16, gone)
    former = index._parts.stores[0]
    copy, new = former.owned(), np.setdiff1d(np.arange(900, 900 + added), gone)
    if own := [number for number in gone if number < 900]:
        copy.remove(np.array(own))
    if len(own) < 900:
        retuned = copy.add(index.vectors(new), new)
    else:
        copy = InvertedStore(InvertedStore.empty(16))
        retuned = copy.add(index.vectors(new), new)
    if retuned:
        tuning.tune(copy)
    before = state(former)
    index.write(path, compact=True)
    assert state(former) == before
    written = GalleryIndex.read(path)._parts.stores[0]
    assert state(written) == state(copy)
    assert (written.index.nlist == former.index.nlist) == (not retuned)
    probe = written.ids()[::50]
    assert np.array_equal(written.vectors(probe), copy.vectors(probe))


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("sizes", [(24_000, 2_000), (6_000, 20_000)])
@pytest.mark.parametrize("way", ["--compact", "append"])
def test_the_vectors_are_never_in_memory_besides_the_index(tmp_path, monkeypatch, kind, sizes, way) -> None:
    """Neither in a compaction nor in an append that ends in one. What faiss holds itself is not counted."""
    path, width = tmp_path / "gallery.faiss", 128
    monkeypatch.setattr(flat_file, "PIECE", 1 << 16)
    monkeypatch.setattr(kinds, "TRAINED", 2)
    monkeypatch.setattr(tuning, "BLOCK", 512)
    monkeypatch.setattr(tuning, "QUERIES", 20)
    monkeypatch.setattr(tuning, "MIXED", 64)
    with monkeypatch.context() as patch:
        patch.setattr(commits, "LARGE", 0)
        patch.setattr(commits, "DEAD", 0)
        patch.setattr(commits, "WORTH", {"flat": 0, "ivf": 0})
        index = segments(path, kind, sizes, width, range(0, 26_000, 40))
    if way == "append":  # of a small index, all is written
        index.add(unit(100, width, seed=2), entries(100, 26_000))
    tracemalloc.start()
    index.write(path, compact=way == "--compact")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not read_stamp(path).segments
    assert peak < sum(sizes) * width * 4 / 3


@pytest.mark.parametrize("count", [10, 4000])
def test_an_inverted_file_that_grows_copies_no_vectors_besides(monkeypatch, count) -> None:
    monkeypatch.setattr(flat_file, "PIECE", 1 << 16)
    monkeypatch.setattr(kinds, "TRAINED", 2)
    store = InvertedStore(InvertedStore.empty(256))
    store.add(unit(2000, 256), np.arange(2000))
    new, ids = unit(count, 256, seed=1), np.arange(2000, 2000 + count)
    tracemalloc.start()
    assert store.add(new, ids) == (count > 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2000 + count) * 256 * 4 / 3
    assert np.array_equal(store.vectors(np.arange(2000 + count)), np.concatenate([unit(2000, 256), new]))
