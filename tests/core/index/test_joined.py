"""One index of several: the bytes of an index that is made of all of them at once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from core.index.test_gallery import MODEL, entries, gallery, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.errors import DataError, IndexFileError
from scing_cli.core.index import GalleryIndex, files_of, join


def parts(folder, sizes, *, removed=()):
    """Write indexes of so many rows each; return their files, and all vectors and entries that are left."""
    total = sum(sizes)
    vectors, images, files = unit(total), entries(total), []
    keep = [row for row in range(total) if row not in removed]
    for number, (start, end) in enumerate(zip(np.cumsum([0, *sizes]), np.cumsum(sizes), strict=False)):
        index = gallery(vectors[start:end], images[start:end])
        index.remove([row - start for row in removed if start <= row < end])
        files.append(folder / f"{number}.faiss")
        index.write(files[-1])
    return files, vectors[keep], [images[row] for row in keep]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), removed=st.sets(st.integers(0, 20), max_size=6))
def test_a_flat_one_has_the_bytes_of_one_that_is_made_at_once(tmp_path_factory, sizes, removed):
    folder = tmp_path_factory.mktemp("joined")
    files, vectors, images = parts(folder, sizes, removed={row for row in removed if row < sum(sizes)})
    if not len(vectors):
        with pytest.raises(DataError, match="no image to index"):
            join(folder / "all.faiss", files, model=MODEL)
        return
    gallery(vectors, images).write(folder / "once.faiss")
    made = join(folder / "all.faiss", files, model=MODEL)
    for ours, theirs in zip(*(files_of(folder / f"{name}.faiss") for name in ("all", "once")), strict=True):
        assert ours.read_bytes() == theirs.read_bytes()
    read = GalleryIndex.read(folder / "all.faiss")
    assert read.rows() == made.rows()
    assert [row.id for row in read.rows()] == list(range(len(vectors)))
    assert np.array_equal(read.vectors(), vectors)
    assert made.add(vectors[:1], images[:1]) == [len(vectors)]


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_one_answers_as_one_that_is_made_at_once(tmp_path, kind):
    files, vectors, images = parts(tmp_path, [300, 200, 400])
    made, once = join(tmp_path / "all.faiss", files, model=MODEL, kind=kind), gallery(vectors, images, kind)
    assert made.stamp.kind == kind
    ours, theirs = (index.search(vectors[:50], 5) for index in (GalleryIndex.read(tmp_path / "all.faiss"), once))
    assert [[(hit.row, hit.score) for hit in own] for own in ours] == [[(h.row, h.score) for h in t] for t in theirs]
    assert made.recall() >= 0.95


def test_rare_columns_are_kept(tmp_path):
    """A scene that only one row of the second index has, and images of an observation."""
    images = entries(6)
    images[4] = dataclasses.replace(images[4], scene="at night")
    gallery(unit(3), images[:3]).write(tmp_path / "a.faiss")
    gallery(unit(3), images[3:]).write(tmp_path / "b.faiss")
    join(tmp_path / "all.faiss", [tmp_path / "a.faiss", tmp_path / "b.faiss"], model=MODEL)
    assert [row.scene for row in GalleryIndex.read(tmp_path / "all.faiss").rows()] == ["", "", "", "", "at night", ""]


def test_another_model_or_width_or_a_damaged_one_is_refused(tmp_path):
    files, _, _ = parts(tmp_path, [4, 4])
    other = GalleryIndex.create(
        unit(3), entries(3), model_digest="b52e" * 16, model=MODEL, descriptor="projected", kind="flat"
    )
    other.write(tmp_path / "other.faiss")
    gallery(unit(3, width=9)).write(tmp_path / "wide.faiss")
    for name in ("other", "wide"):
        with pytest.raises(IndexFileError, match=f"{name}.faiss"):
            join(tmp_path / "all.faiss", [*files, tmp_path / f"{name}.faiss"], model=MODEL)
    content = bytearray(files[1].read_bytes())
    content[90] ^= 1
    files[1].write_bytes(content)
    with pytest.raises(IndexFileError, match=r"1\.faiss"):
        join(tmp_path / "all.faiss", files, model=MODEL)
    assert not (tmp_path / "all.faiss").exists()
    assert not list(tmp_path.glob("all.*"))
