"""Rows that an index borrows from another one: the same as if they had been added, before and after the write."""

from __future__ import annotations

import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.index import GalleryIndex, RowFilter, commits, files_of
from scing_cli.core.index.rows import Entry

FILTERS = (RowFilter(cameras=frozenset({"1"})), RowFilter(without_identities=frozenset({"0001", "anna"})))


def labelled(entry, labels):
    """The entry with other labels."""
    identity, camera, scene = labels or (entry.identity, entry.camera, entry.scene)
    return Entry(entry.path, entry.size, entry.mtime, entry.digest, identity, camera, scene=scene)


def same(one, other, queries):
    """Check every question of two indexes, and their hits."""
    assert one.rows() == other.rows()
    assert np.array_equal(one.vectors(), other.vectors())
    assert (len(one), one.stamp.next_id, one.stamp.count) == (len(other), other.stamp.next_id, other.stamp.count)
    for allowed in (None, *FILTERS):
        assert one.table.ids(allowed).tolist() == other.table.ids(allowed).tolist()
        assert one.table.counts("identity", allowed) == other.table.counts("identity", allowed)
        assert one.search(queries, 5, allowed=allowed) == other.search(queries, 5, allowed=allowed)
    paths = ["/data/0003_c0.jpg", "/data/0031_c1.jpg", "/nowhere"]
    assert one.table.at(paths) == other.table.at(paths)
    assert one.table.folders() == other.table.folders()
    assert [one.table.have(field) for field in ("camera", "scene", "views")] == [
        other.table.have(field) for field in ("camera", "scene", "views")
    ]


@settings(max_examples=40, deadline=None)
@given(
    lent=st.lists(st.integers(0, 19), unique=True, max_size=12),
    relabelled=st.booleans(),
    large=st.booleans(),
    removed=st.sets(st.integers(0, 20), max_size=4),
)
def test_borrowed_rows_are_as_if_they_had_been_added(tmp_path_factory, lent, relabelled, large, removed):
    folder = tmp_path_factory.mktemp("borrowed")
    vectors, images = unit(50), entries(50)
    gallery(vectors[30:], images[30:]).write(folder / "lender.faiss")
    gallery(vectors[:30], images[:30]).write(folder / "ours.faiss")
    gallery(vectors[:30], images[:30]).write(folder / "theirs.faiss")
    labels = [(f"p{i}", "1", "night" if i % 2 else "") for i in range(len(lent))] if relabelled else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "LARGE", 0 if large else 1 << 30)
        ours, theirs = GalleryIndex.read(folder / "ours.faiss"), GalleryIndex.read(folder / "theirs.faiss")
        lender = GalleryIndex.read(folder / "lender.faiss")
        ours.borrow(lambda: lender, np.array(lent, np.int64), labels)
        picked = [labelled(images[30 + i], labels and labels[n]) for n, i in enumerate(lent)]
        theirs.add(vectors[[30 + i for i in lent]], picked)
        gone = [row.id for row in theirs.rows() if row.id - 29 in removed]
        for index in (ours, theirs):
            index.remove(gone)
            index.relabel({0: ("anna", "1")})
            index.add(vectors[:1], images[:1])
        same(ours, theirs, vectors[:5])
        for index, name in ((ours, "ours"), (theirs, "theirs")):
            index.write(folder / f"{name}.faiss")
        for one in (ours, GalleryIndex.read(folder / "ours.faiss")):
            same(one, theirs, vectors[:5])
    files = [[file.read_bytes() for file in files_of(folder / f"{name}.faiss")] for name in ("ours", "theirs")]
    if not removed and (relabelled or not lent):
        assert files[0] == files[1]
    assert len(files[0]) == len(files[1])


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_an_index_of_borrowed_rows_alone(tmp_path, kind):
    vectors, images = unit(400), entries(400)
    lender, once = gallery(vectors, images), gallery(vectors, images, kind)
    stamp = once.stamp
    index = GalleryIndex.empty(
        8, model_digest=stamp.model_digest, model=stamp.model, descriptor=stamp.descriptor, kind=kind
    )
    index.borrow(lambda: lender, np.arange(400))
    index.write(tmp_path / "g.faiss")
    once.write(tmp_path / "once.faiss")
    read = GalleryIndex.read(tmp_path / "g.faiss")
    assert read.search(vectors[:20], 4) == once.search(vectors[:20], 4)
    assert (tmp_path / "g.faiss").read_bytes() == (tmp_path / "once.faiss").read_bytes()
