"""A large index that changes a little: what is written, what is not, and what is refused."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tracemalloc
from pathlib import Path

import faiss
import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit, with_stamp

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import (
    GalleryIndex,
    RowFilter,
    commits,
    disk,
    files_of,
    open_index_rows,
    read_stamp,
    row_table,
)
from scing_cli.core.index.flat_file import pieces, write_flat
from scing_cli.core.index.row_table import write_rows
from scing_cli.core.index.store import FlatStore


@pytest.fixture(autouse=True)
def even_small_ones(monkeypatch):
    monkeypatch.setattr(commits, "LARGE", 0)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "gallery.faiss"
    gallery(unit(100)).write(path)
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def appended(path: Path, count: int, seed: int = 1) -> GalleryIndex:
    index = GalleryIndex.read(path)
    index.add(unit(count, seed=seed), entries(count, start=index.stamp.next_id))
    index.write(path)
    return index


def test_an_append_writes_what_is_new_and_leaves_the_rest_where_it_is(written):
    vectors, rows = written.stat(), written.with_name("gallery.rows-1").read_bytes()
    index = appended(written, 10)
    assert names(written) == [
        "gallery.faiss",
        "gallery.rows-1",
        "gallery.rows-2",
        "gallery.vectors-1",
        "gallery.vectors-2",
    ]
    assert [file.name for file in files_of(written)] == names(written)
    base = written.with_name("gallery.vectors-1")
    assert (base.stat().st_ino, base.stat().st_size) == (vectors.st_ino, vectors.st_size)
    assert written.with_name("gallery.rows-1").read_bytes() == rows
    assert written.stat().st_size < 2000  # the stamp alone
    stamp = read_stamp(written)
    assert [(part.generation, part.count) for part in stamp.segments] == [(1, 100), (2, 10)]
    assert (stamp.count, stamp.next_id) == (110, 110)
    for opened in (index, GalleryIndex.read(written)):
        assert np.array_equal(opened.vectors(), np.concatenate([unit(100), unit(10, seed=1)]))
        assert [row.id for row in opened.rows()] == list(range(110))
        assert opened.search(unit(10, seed=1)[3:4], 1)[0][0].row.id == 103
    assert len(open_index_rows(written)) == 110
    for file in (base, written.with_name("gallery.vectors-2")):
        assert faiss.read_index(str(file)).d == 8  # each is a plain index of faiss


def test_a_prune_writes_ids_alone(written):
    appended(written, 10)
    before = {file.name: file.stat().st_ino for file in files_of(written)[1:]}
    index = GalleryIndex.read(written)
    index.remove([5, 104])
    index.write(written)
    assert {file.name: file.stat().st_ino for file in files_of(written)[1:] if file.name in before} == before
    assert sorted(set(names(written)) - set(before)) == ["gallery.faiss", "gallery.removed-3"]
    again = GalleryIndex.read(written)
    assert (len(again), again.stamp.count, again.stamp.next_id) == (108, 108, 110)
    assert again.search(unit(100)[5:6], 1)[0][0].row.id != 5
    assert len(again.search(unit(1), 200)[0]) == 108
    again.remove([6])
    again.write(written)
    assert "gallery.removed-3" not in names(written)
    assert np.frombuffer(written.with_name("gallery.removed-4").read_bytes(), "<i8").tolist() == [5, 6, 104]


def test_other_labels_are_written_once(written, monkeypatch):
    index = GalleryIndex.read(written)
    index.relabel(dict.fromkeys(range(0, 40, 2), ("anna", "door")))
    index.write(written)
    before, counts = written.with_name("gallery.changed-2").read_bytes(), []

    def counting(target, rows):
        counts.append(len(rows))
        return write_rows(target, rows)

    monkeypatch.setattr(commits, "write_rows", counting)
    appended(written, 1)
    assert counts == [1]
    assert written.with_name("gallery.changed-3").read_bytes() == before
    assert "gallery.changed-2" not in names(written)
    again = GalleryIndex.read(written)
    assert [row.id for row in again.rows() if row.identity == "anna"] == list(range(0, 40, 2))
    again.relabel({1: ("bert", "gate")})
    again.remove([0])
    again.write(written)
    assert counts == [1, 20]
    last = GalleryIndex.read(written).table
    assert (last.known("identity", {"bert"}), last.count(RowFilter(identities=frozenset({"anna"})))) == ({"bert"}, 19)


def test_other_labels_are_kept_beside(written):
    index = GalleryIndex.read(written)
    index.relabel({7: ("anna", "door"), 9: ("bert", "gate")})
    index.write(written)
    assert "gallery.changed-2" in names(written)
    again = GalleryIndex.read(written)
    assert [(row.identity, row.camera) for row in again.rows()[7:10]] == [
        ("anna", "door"),
        ("0000", "2"),
        ("bert", "gate"),
    ]
    hits = again.search(unit(1), 5, allowed=RowFilter(cameras=frozenset({"gate", "door"})))[0]
    assert sorted(hit.row.id for hit in hits) == [7, 9]
    again.write(written, compact=True)
    assert names(written) == ["gallery.faiss", "gallery.rows-3"]
    assert GalleryIndex.read(written).rows() == again.rows()


def test_segments_are_merged_before_there_are_many(written, monkeypatch):
    counts = []
    for _ in range(40):
        appended(written, 1)
        counts.append([part.count for part in read_stamp(written).parts])
    assert max(map(len, counts)) <= 5
    assert [sum(own) for own in counts] == list(range(101, 141))
    assert all(own[0] == 100 for own in counts)
    for own in counts:
        assert all(first > 2 * second for first, second in itertools.pairwise(own[1:]))
    appended(written, 60)  # as much again as is worth writing all of it
    assert [part.count for part in read_stamp(written).parts] == [200]
    assert names(written) == ["gallery.faiss", "gallery.rows-42"]
    assert GalleryIndex.read(written).search(unit(100)[5:6], 1)[0][0].row.id == 5


def test_an_index_of_many_dead_rows_is_written_anew(written):
    index = GalleryIndex.read(written)
    index.remove(range(25))
    index.write(written)
    assert "gallery.removed-2" in names(written)
    index.remove([30])
    index.write(written)
    assert names(written) == ["gallery.faiss", "gallery.rows-3"]
    assert [row.id for row in GalleryIndex.read(written).rows()] == [*range(25, 30), *range(31, 100)]


@pytest.mark.parametrize("change", ["remove", "relabel"])
def test_opening_makes_no_object_of_a_removed_or_relabelled_row(tmp_path, change):
    path, count = tmp_path / "gallery.faiss", 10_000
    gallery(unit(4 * count)).write(path)
    index = GalleryIndex.read(path)
    if change == "remove":
        index.remove(range(count))
    else:
        index.relabel(dict.fromkeys(range(count), ("anna", "door")))
    index.write(path)
    assert len(GalleryIndex.read(path)) == len(index)  # its checksums are known from here on
    tracemalloc.start()
    opened = GalleryIndex.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened.table.find([7]) == index.table.find([7])
    assert peak < 8 * 4 * count, peak  # a removed id takes 8 bytes


def test_a_small_index_stays_two_files(written, monkeypatch):
    monkeypatch.setattr(commits, "LARGE", 1 << 26)
    appended(written, 1)
    assert names(written) == ["gallery.faiss", "gallery.rows-2"]


def test_a_copy_under_another_name_needs_no_segment_of_the_first(written):
    index = appended(written, 10)
    index.write(written.with_name("other.faiss"))
    assert [file.name for file in files_of(written.with_name("other.faiss"))] == ["other.faiss", "other.rows-3"]
    assert len(GalleryIndex.read(written)) == len(GalleryIndex.read(written.with_name("other.faiss"))) == 110


def test_all_files_move_together(written, tmp_path):
    index = appended(written, 10)
    index.remove([3])
    index.write(written)
    target = tmp_path / "elsewhere"
    target.mkdir()
    for file in files_of(written):
        file.rename(target / file.name)
    assert len(GalleryIndex.read(target / "gallery.faiss")) == 109


def test_a_file_system_without_links_gets_a_copy(written, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    appended(written, 10)
    assert written.with_name("gallery.vectors-1").stat().st_nlink == 1
    assert len(GalleryIndex.read(written)) == 110


@pytest.mark.parametrize("kind", ["vectors-1", "vectors-2", "rows-1", "rows-2", "removed-3", "changed-3"])
@pytest.mark.parametrize("fault", ["missing", "cut", "changed", "empty"])
def test_a_lost_or_damaged_file_is_named(written, kind, fault):
    index = appended(written, 10)
    index.remove([3])
    index.relabel({4: ("anna", "door")})
    index.write(written)
    file = written.with_name(f"gallery.{kind}")
    content = file.read_bytes()
    file.unlink()
    if fault != "missing":
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"cut": content[: len(content) - 3], "changed": changed, "empty": b""}[fault])
    with pytest.raises(IndexFileError, match=rf"gallery\.{kind}") as caught:
        GalleryIndex.read(written)
    if fault == "missing":
        assert f"Bring gallery.{kind} back (it moves with gallery.faiss)" in caught.value.remedy
    assert "scing embed --force" in caught.value.remedy


def test_a_segment_of_another_index_is_refused(written, tmp_path):
    other = tmp_path / "other" / "gallery.faiss"
    gallery(unit(100, seed=9)).write(other)
    for path in (written, other):
        appended(path, 10, seed=len(path.parts))
    for kind in ("vectors-2", "rows-2"):
        shutil.copy(other.with_name(f"gallery.{kind}"), written.with_name(f"gallery.{kind}"))
    with pytest.raises(IndexFileError, match=r"are not those that were written|is not the table of rows|do not match"):
        GalleryIndex.read(written)


def test_a_reader_keeps_the_state_that_it_opened(written):
    reader = GalleryIndex.read(written)
    for _ in range(8):
        appended(written, 12)
    index = GalleryIndex.read(written)
    index.remove(range(60))
    index.write(written, compact=True)
    assert reader.rows()[5].id == 5
    assert np.array_equal(reader.vectors(), unit(100))
    assert reader.search(unit(100)[7:8], 1)[0][0].row.id == 7
    with pytest.raises(IndexFileError, match="changed by another process after it was read"):
        reader.write(written)


def test_what_a_stamp_says_of_segments_is_checked(written):
    appended(written, 10)
    for change, message in (
        (lambda stamp: stamp.update(count=111), "do not match"),
        (lambda stamp: stamp["segments"][1].update(count=11), "do not match"),
        (lambda stamp: stamp["segments"][1].update(generation=-1), "invalid value"),
        (lambda stamp: stamp["segments"].reverse(), "do not match"),
        (lambda stamp: stamp["segments"].pop(0), "do not match"),
    ):
        before = written.read_bytes()
        with_stamp(written, change)
        with pytest.raises(IndexFileError, match=message):
            GalleryIndex.read(written)
        written.write_bytes(before)
    assert len(GalleryIndex.read(written)) == 110


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_a_flat_file_has_the_bytes_that_faiss_writes(tmp_path, monkeypatch, count):
    monkeypatch.setattr("scing_cli.core.index.flat_file.PIECE", 1000)
    vectors, ids = unit(count, width=24), np.cumsum(np.arange(1, count + 1))
    index = FlatStore.empty(24)
    if count:
        index.add_with_ids(vectors, ids)
    faiss.write_index(index, str(tmp_path / "faiss"))
    with (tmp_path / "ours").open("wb") as stream:
        write_flat(stream, ids, 24, lambda some: vectors[np.searchsorted(ids, some)])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "faiss").read_bytes()
    assert [number for some in pieces(ids, 24) for number in some] == ids.tolist()


def test_a_compact_index_has_the_bytes_of_one_that_was_made_at_once(written):
    for count in (10, 20, 5):
        appended(written, count)
    index = GalleryIndex.read(written)
    index.write(written, compact=True)
    whole = gallery(index.vectors(), entries(135))
    whole.write(written.with_name("whole.faiss"))
    digests = [read_stamp(path).vectors_digest for path in (written, written.with_name("whole.faiss"))]
    assert digests[0] == digests[1] != hashlib.sha256(b"").hexdigest()


def test_rows_that_are_removed_are_never_all_in_memory(tmp_path):
    path = tmp_path / "gallery.faiss"
    gallery(unit(20_000, 4)).write(path)
    index = GalleryIndex.read(path)
    gone = list(range(15_000))
    tracemalloc.start()
    index.remove(gone)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * len(gone)  # it used to be 500
    assert len(index) == 5000


@pytest.mark.parametrize("opened", [GalleryIndex.read, open_index_rows], ids=["index", "rows"])
@pytest.mark.parametrize("name", ["check_vectors", "read_vectors", "checked_rows"])
def test_a_segment_that_a_writer_removes_amid_the_reading_is_read_anew(written, monkeypatch, opened, name):
    """Whatever the reader has just looked at: then it reads the index that the writer made."""
    index = GalleryIndex.read(written)
    index.add(unit(30, seed=3), entries(30, start=100))
    index.write(written)
    place, call = (row_table, "checked_once") if name == "checked_rows" else (disk, name)
    real, done = getattr(place, call), []

    def step(*given, **named):
        if not done:
            done.append(None)
            writer = GalleryIndex.read(written)
            writer.remove([0])
            writer.write(written, compact=True)
        return real(*given, **named)

    monkeypatch.setattr(place, call, step)
    found = opened(written)
    assert bool(done) or opened is open_index_rows
    assert len(found) == 130 - len(done)
