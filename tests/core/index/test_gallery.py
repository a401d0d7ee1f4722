"""A gallery's index: real faiss files, real SQLite rows."""

from __future__ import annotations

import contextlib
import doctest
import errno
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.artifacts import file_digest, with_checksum
from scing_cli.core.errors import INDEX_AGAIN, DataError, IndexFileError, ScingError, SettingError
from scing_cli.core.index import (
    Entry,
    GalleryIndex,
    RowFilter,
    Stamp,
    disk,
    entry_of,
    file_keys,
    index_stamp,
    read_stamp,
)
from scing_cli.core.index.nearest import nearest
from scing_cli.core.index.store import Store

MODEL = {"model": "ViT-B-16-quickgelu", "pretrained": "openai"}


def unit(count: int, width: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def entries(count: int, start: int = 0) -> list[Entry]:
    return [
        Entry(f"/data/{i:04d}_c{i % 3}.jpg", 1000 + i, 10**18 + i, f"{i:064x}", f"{i % 4:04d}", str(i % 3))
        for i in range(start, start + count)
    ]


def gallery(vectors: np.ndarray, images: list[Entry] | None = None, kind: str = "flat") -> GalleryIndex:
    images = entries(len(vectors)) if images is None else images
    return GalleryIndex.create(
        vectors, images, model_digest="a41f" * 16, model=MODEL, descriptor="projected", kind=kind
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "gallery.faiss"
    gallery(unit(20)).write(path)
    return path


def test_vectors_of_some_ids_come_in_the_order_asked_for(written: Path) -> None:
    index = GalleryIndex.read(written)
    index.remove([0, 7])
    assert np.array_equal(index.vectors([12, 3, 19]), unit(20)[[12, 3, 19]])


def test_what_is_read_is_what_was_written(written: Path) -> None:
    index = GalleryIndex.read(written)
    assert np.array_equal(index.vectors(), unit(20))
    assert [row.id for row in index.rows()] == list(range(20))
    assert [(row.path, row.size, row.mtime, row.digest, row.identity, row.camera) for row in index.rows()] == [
        (e.path, e.size, e.mtime, e.digest, e.identity, e.camera) for e in entries(20)
    ]
    found = index.stamp
    assert (found.model_digest, dict(found.model), found.descriptor) == ("a41f" * 16, MODEL, "projected")
    assert (found.width, found.count, found.next_id, found.generation) == (8, 20, 20, 1)
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-1"]


def test_faiss_opens_the_file_plainly_and_memory_mapped(written: Path) -> None:
    for flags in (0, faiss.IO_FLAG_MMAP):
        plain = faiss.read_index(str(written), flags)
        assert isinstance(plain, faiss.IndexIDMap2)
        assert (plain.ntotal, plain.d, plain.metric_type) == (20, 8, faiss.METRIC_INNER_PRODUCT)
        assert plain.search(unit(20)[7:8], 1)[1].tolist() == [[7]]


def test_the_rows_are_a_plain_sqlite_table(written: Path) -> None:
    with contextlib.closing(sqlite3.connect(written.with_name("gallery.rows-1"))) as base, base:
        assert base.execute("SELECT path, identity, camera FROM rows WHERE id = 5").fetchall() == [
            ("/data/0005_c2.jpg", "0001", "2")
        ]


def test_appending_gives_new_ids_and_leaves_one_generation(written: Path) -> None:
    index = GalleryIndex.read(written)
    assert index.add(unit(3, seed=1), entries(3, start=20)) == [20, 21, 22]
    assert index.write(written).generation == 2
    again = GalleryIndex.read(written)
    assert np.array_equal(again.vectors(), np.concatenate([unit(20), unit(3, seed=1)]))
    assert (again.stamp.count, again.stamp.next_id, len(again)) == (23, 23, 23)
    assert again.search(unit(3, seed=1), 1)[2][0].row.path == "/data/0022_c1.jpg"
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-2"]


def test_a_new_index_over_an_old_one_takes_the_next_generation(written: Path) -> None:
    gallery(unit(4)).write(written)
    assert len(GalleryIndex.read(written)) == 4
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-2"]


def without(*cameras: str) -> RowFilter:
    return RowFilter(without_cameras=frozenset(cameras))


@pytest.mark.parametrize("reopened", [False, True])
def test_a_row_that_is_removed_twice_counts_once(tmp_path: Path, reopened: bool) -> None:
    index = gallery(unit(20))
    if reopened:
        index.write(tmp_path / "g.faiss")
        index = GalleryIndex.read(tmp_path / "g.faiss")
    index.remove([5, 3, 5])
    assert len(index) == 18
    assert len(index.search(unit(1), 20)[0]) == 18
    index.write(tmp_path / "g.faiss")
    assert [row.id for row in GalleryIndex.read(tmp_path / "g.faiss").rows()] == [
        n for n in range(20) if n not in (3, 5)
    ]


def test_removed_rows_are_gone_and_their_ids_are_not_given_again(written: Path) -> None:
    index = GalleryIndex.read(written)
    index.remove([0, 7, 19])
    kept = [i for i in range(20) if i not in {0, 7, 19}]
    assert index.add(unit(2, seed=1), entries(2, start=20)) == [20, 21]
    index.write(written)
    again = GalleryIndex.read(written)
    assert [row.id for row in again.rows()] == [*kept, 20, 21]
    assert np.array_equal(again.vectors(), np.concatenate([unit(20)[kept], unit(2, seed=1)]))
    for row, vector in zip(again.rows(), again.vectors(), strict=True):
        assert again.search(vector[None], 1)[0][0].row == row
    assert again.search(unit(20)[7:8], 1, allowed=without("0"))[0][0].row.id in kept
    with pytest.raises(ValueError, match=r"no rows \[7\]"):
        again.remove([7])
    again.remove([row.id for row in again.rows()])
    assert (len(again), again.search(unit(1), 3)) == (0, [[]])
    assert again.add(unit(1), entries(1)) == [22]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 90),
    pool=st.integers(1, 90),
    queries=st.integers(1, 25),
    k=st.integers(1, 100),
    excluded=st.sets(st.sampled_from(["0", "1", "2", "none"])),
)
def test_search_equals_sorting_float64_pairs(
    seed: int, count: int, pool: int, queries: int, k: int, excluded: set[str]
) -> None:
    """Few distinct vectors: many exact ties, at the end of the list too."""
    rng = np.random.default_rng(seed)
    vectors = unit(pool, width=24, seed=seed)[rng.integers(0, pool, count)]
    index = gallery(vectors)
    asked = np.concatenate([vectors[:1], unit(queries, width=24, seed=seed + 1)])
    answers = index.search(asked, k, allowed=without(*excluded))
    assert len(answers) == len(asked)
    for query, hits in zip(asked, answers, strict=True):
        scored = [
            (-float((query.astype(np.float64) * vector.astype(np.float64)).sum()), i)
            for i, vector in enumerate(vectors)
            if str(i % 3) not in excluded
        ]
        best = sorted(scored)[:k]
        assert [hit.row.id for hit in hits] == [i for _, i in best]
        assert [hit.score for hit in hits] == [min(max(-score, -1.0), 1.0) for score, _ in best]


def test_an_answer_does_not_depend_on_the_other_queries() -> None:
    vectors = np.repeat(unit(30, width=512), 40, axis=0) + 1e-7 * np.random.default_rng(1).standard_normal((1200, 512))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = gallery(vectors)
    asked = unit(64, width=512, seed=9)
    together = index.search(asked, 7)
    assert together == [index.search(query[None], 7)[0] for query in asked]


def test_all_rows_come_when_more_are_asked_for_and_none_when_all_are_excluded(written: Path) -> None:
    index = GalleryIndex.read(written)
    hits = index.search(unit(1, seed=3), 500)[0]
    assert sorted(hit.row.id for hit in hits) == list(range(20))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert index.search(unit(2, seed=3), 5, allowed=without("0", "1", "2")) == [[], []]
    assert index.search(unit(0), 5) == []


def test_scores_never_leave_the_unit_interval() -> None:
    vectors = np.full((1, 3), 0.57736, dtype=np.float32)  # a little longer than 1
    assert gallery(vectors).search(vectors, 1)[0][0].score == 1.0
    assert gallery(vectors).search(-vectors, 1)[0][0].score == -1.0


def test_rows_keep_any_file_name(tmp_path: Path) -> None:
    names = ["/d/a b.jpg", "/d/ゆき.jpg", "/d/o'neil\";--.jpg", "/d/\udcff\udcfe.jpg", "/d/Zoë\n.jpg"]
    index = gallery(unit(5), [Entry(name, identity="é", camera="") for name in names])
    path = tmp_path / "Größe und so" / "g ü.faiss"
    index.write(path)
    rows = GalleryIndex.read(path).rows()
    assert [row.path for row in rows] == names
    assert (rows[0].identity, rows[0].camera) == ("é", "")


def test_an_entry_describes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(b"abc")
    entry = entry_of(Path("a.jpg"), identity="7", camera="2")
    assert entry.path == (tmp_path / "a.jpg").as_posix()
    assert (entry.size, entry.mtime, entry.identity, entry.camera) == (3, Path("a.jpg").stat().st_mtime_ns, "7", "2")
    assert entry.digest == file_digest(Path("a.jpg"))


def test_keys_tell_files_apart_whatever_way_leads_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/a").mkdir(parents=True)
    Path("link").symlink_to("data", target_is_directory=True)
    Path("data/a/y.jpg").symlink_to("x.jpg")
    ways = ["data/a/x.jpg", "link/a/x.jpg", "data/../data/a/x.jpg", str(tmp_path / "data/a/x.jpg"), "data/a/y.jpg"]
    *same, other = file_keys(map(Path, ways))
    assert set(same) == {str((tmp_path / "data/a/x.jpg").resolve())}
    assert other not in same


# What is refused


def test_a_missing_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match=r"There is no index .*gallery\.faiss\.") as caught:
        GalleryIndex.read(tmp_path / "gallery.faiss")
    assert "scing embed" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just a few words of text that is no index", "is not an index of scing"),
        (b"SCINGidx", "is not an index of scing"),
        (b"\xff" * 8 + b"SCINGidx", "is not an index of scing"),
        (b"Ix" + (2**60).to_bytes(8, "little") + b"SCINGidx", "cut short"),
        (b"{]" + (2).to_bytes(8, "little") + b"SCINGidx", "cannot be read as JSON"),
        (b"[]" + (2).to_bytes(8, "little") + b"SCINGidx", "does not contain a JSON object"),
        (b"{}" + (2).to_bytes(8, "little") + b"SCINGidx", "is damaged or was edited"),
        (b'{"format":1}' + (12).to_bytes(8, "little") + b"SCINGidx", "is damaged or was edited"),
    ],
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "gallery.faiss"
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match=message):
        GalleryIndex.read(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="cannot be read"):
        GalleryIndex.read(tmp_path)


def test_an_index_of_faiss_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.faiss"
    faiss.write_index(faiss.IndexFlatIP(4), str(path))
    with pytest.raises(IndexFileError, match="was not written by scing") as caught:
        GalleryIndex.read(path)
    assert caught.value.remedy == f"Embed the gallery again: {INDEX_AGAIN}"


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_an_index_cut_short_is_refused(written: Path, keep: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(IndexFileError, match="cut short"):
        GalleryIndex.read(written)


def test_an_index_with_its_middle_missing_is_refused(written: Path) -> None:
    content = written.read_bytes()
    written.write_bytes(content[:100] + content[400:])
    with pytest.raises(IndexFileError, match="is damaged"):
        GalleryIndex.read(written)


def test_missing_rows_are_named(written: Path) -> None:
    written.with_name("gallery.rows-1").unlink()
    with pytest.raises(IndexFileError, match=r"without its rows: .*gallery\.rows-1 is missing") as caught:
        GalleryIndex.read(written)
    assert "Bring gallery.rows-1 back" in caught.value.remedy
    assert "scing embed --force" in caught.value.remedy


def test_changed_rows_are_refused(written: Path) -> None:
    with contextlib.closing(sqlite3.connect(written.with_name("gallery.rows-1"))) as base, base:
        base.execute("UPDATE rows SET identity = 'someone else' WHERE id = 3")
    with pytest.raises(IndexFileError, match="not the table of rows that belongs to its index") as caught:
        GalleryIndex.read(written)
    assert "scing embed --force" in caught.value.remedy


def with_stamp(index: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the stamp of an index, and seal it again."""
    content = index.read_bytes()
    length = int.from_bytes(content[-16:-8], "little")
    told = json.loads(content[-16 - length : -16])
    change(told)
    text = json.dumps(with_checksum(told)).encode()
    index.write_bytes(content[: -16 - length] + text + len(text).to_bytes(8, "little") + content[-8:])


def test_a_stamp_that_tells_another_count_is_refused(written: Path) -> None:
    with_stamp(written, lambda stamp: stamp.update(count=19))
    assert read_stamp(written).count == 19
    with pytest.raises(IndexFileError, match="do not match"):
        GalleryIndex.read(written)


def test_a_stamp_of_other_entries_is_refused(written: Path) -> None:
    with_stamp(written, lambda stamp: stamp.pop("width"))
    with pytest.raises(IndexFileError, match=r"gallery\.faiss has an invalid value: width is missing"):
        GalleryIndex.read(written)


def test_a_newer_index_asks_for_a_newer_program(written: Path) -> None:
    with_stamp(written, lambda stamp: stamp.update(format=3, vectors="somewhere else"))
    with pytest.raises(IndexFileError, match=r"gallery\.faiss has format 3; this version reads 2\.") as caught:
        GalleryIndex.read(written)
    assert caught.value.remedy == "Install a newer scing-cli."


def test_a_changed_vector_is_found_and_what_was_checked_is_remembered(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    digest = index_stamp._digest
    monkeypatch.setattr(index_stamp, "_digest", lambda index: hashed.append(index) or digest(index))
    GalleryIndex.read(written)
    assert not hashed  # its writer knew it
    moved = Path(shutil.copytree(written.parent, written.parent.with_name("moved"))) / written.name
    for _ in range(2):
        GalleryIndex.read(moved)
    assert hashed == [moved]
    content = bytearray(moved.read_bytes())
    content[300] ^= 1
    moved.write_bytes(content)
    os.utime(moved, (1, 1))
    with pytest.raises(IndexFileError, match="its vectors are not those that were written") as caught:
        GalleryIndex.read(moved)
    assert "scing embed --force" in caught.value.remedy


def test_vectors_that_cannot_be_compared_are_refused(written: Path) -> None:
    index = GalleryIndex.read(written)
    with pytest.raises(IndexFileError, match=r"gallery\.faiss holds vectors 8 wide; these are 9 wide"):
        index.search(unit(1, width=9), 1)
    with pytest.raises(IndexFileError, match="these are 9 wide"):
        index.add(unit(1, width=9), entries(1))
    with pytest.raises(DataError, match=r"1 of 2 vectors is not finite .* the first is of /data/0001_c1\.jpg"):
        index.add(np.stack([unit(1)[0], np.full(8, np.nan, np.float32)]), entries(2))
    with pytest.raises(DataError, match=r"not of unit length; the first is of query 0 \(length 2\)"):
        index.search(2 * unit(1), 1)
    with pytest.raises(SettingError, match="-k 0"):
        index.search(unit(1), 0)
    with pytest.raises(DataError, match="no image to index"):
        gallery(unit(0))
    with pytest.raises(ValueError, match="2 vectors, 1 images"):
        index.add(unit(2), entries(1))
    assert len(index) == 20


def test_another_model_is_refused_with_both_named(written: Path) -> None:
    index = GalleryIndex.read(written)
    index.check_model("a41f" * 16, descriptor="projected", width=8, name="ViT-B-16")
    with pytest.raises(IndexFileError, match="was made by another model") as caught:
        index.check_model("09bc" * 16, descriptor="projected", width=512, name="runs/market")
    assert "(visual a41fa41f…, projected, 8 wide) than runs/market (visual 09bc09bc…, projected, 512 wide)" in str(
        caught.value
    )
    assert caught.value.remedy == (
        "Use the model that made it: --model ViT-B-16-quickgelu --pretrained openai, "
        "or embed the gallery again: scing embed --force, with the options of before: "
        "--output, --run or --model, --images or --data."
    )


def test_another_descriptor_of_the_same_model_names_the_option(written: Path) -> None:
    index = GalleryIndex.read(written)
    with pytest.raises(
        IndexFileError,
        match="holds the descriptor projected, 8 wide; runs/market was asked for concat, 40 wide",
    ) as caught:
        index.check_model("a41f" * 16, descriptor="concat", width=40, name="runs/market")
    assert caught.value.remedy.startswith("Use --descriptor projected, or embed the gallery again")


def test_the_name_of_an_index_ends_in_faiss(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match=r"ends in \.faiss") as caught:
        gallery(unit(2)).write(tmp_path / "gallery.idx")
    assert caught.value.remedy == "Name it gallery.idx.faiss."
    assert list(tmp_path.iterdir()) == []


# Nothing half-written


def test_a_failure_before_the_rename_leaves_the_former_index(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = GalleryIndex.read(written)
    index.add(unit(3, seed=1), entries(3, start=20))
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if str(target).endswith(".faiss"):
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ScingError, match="No space left on device"):
        index.write(written)
    assert len(GalleryIndex.read(written)) == 20
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-1"]
    monkeypatch.undo()
    index.write(written)
    assert len(GalleryIndex.read(written)) == 23


def test_an_interruption_after_the_rename_keeps_the_new_rows(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = GalleryIndex.read(written)
    index.add(unit(3, seed=1), entries(3, start=20))
    replace = Path.replace

    def interrupt(self: Path, target: Path) -> None:
        replace(self, target)
        if str(target).endswith(".faiss"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        index.write(written)
    monkeypatch.undo()
    assert len(GalleryIndex.read(written)) == 23


@pytest.mark.parametrize("place", ["stat", "open"])
def test_a_failed_read_after_the_rename_costs_no_rows(
    written: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Of files, as of a network folder's, reading one may fail for a moment: too many open, or a server that is away."""
    index = GalleryIndex.read(written)
    index.add(unit(5, seed=1), entries(5, start=20))
    rename, real, failed = Path.replace, getattr(Path, place), []

    def renamed(self: Path, target: Path) -> Path:
        done = rename(self, target)
        if target == written:
            monkeypatch.setattr(Path, place, failing)
        return done

    def failing(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == written:
            failed.append(self)
            monkeypatch.setattr(Path, place, real)
            raise OSError(errno.EMFILE, "Too many open files", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(disk, "check_vectors", lambda *_, **__: None)  # it reads, too, and would be who fails
    assert index.write(written).generation == 2
    assert failed
    monkeypatch.undo()
    again = GalleryIndex.read(written)
    assert len(again) == 25
    again.write(written)
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-3"]


def test_a_commit_that_cannot_be_remembered_as_checked_is_one(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise IndexFileError(f"{written} cannot be read: Too many open files.")

    index = GalleryIndex.read(written)
    index.remove([3])
    with monkeypatch.context() as patch:
        patch.setattr(disk, "check_vectors", failing)
        assert index.write(written).generation == 2
    assert len(GalleryIndex.read(written)) == 19


def test_rows_left_by_a_process_that_was_killed_do_no_harm(written: Path) -> None:
    written.with_name("gallery.rows-2").write_bytes(b"half of a table")
    assert len(GalleryIndex.read(written)) == 20
    index = GalleryIndex.read(written)
    index.add(unit(1, seed=2), entries(1, start=20))
    assert index.write(written).generation == 3
    assert sorted(file.name for file in written.parent.iterdir()) == ["gallery.faiss", "gallery.rows-3"]


def test_what_another_process_wrote_is_not_overwritten(written: Path) -> None:
    mine, theirs = GalleryIndex.read(written), GalleryIndex.read(written)
    theirs.add(unit(1, seed=5), entries(1, start=20))
    theirs.write(written)
    mine.add(unit(1, seed=6), entries(1, start=30))
    with pytest.raises(IndexFileError, match="changed by another process after it was read"):
        mine.write(written)
    assert len(GalleryIndex.read(written)) == 21


def test_a_reader_follows_a_writer_that_replaces_the_index(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scing_cli.core.index import disk

    check_vectors = disk.check_vectors
    calls = []

    def slow(path: Path, stamp: Stamp, *, known: bool = False) -> None:
        if not known:
            calls.append(stamp.generation)
        if len(calls) == 1:
            calls.append(0)
            gallery(unit(4)).write(written)
        return check_vectors(path, stamp, known=known)

    monkeypatch.setattr(disk, "check_vectors", slow)
    assert len(GalleryIndex.read(written)) == 4
    assert calls == [1, 0, 2]


def test_neighbours_with_similar_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("a.faiss", "a.b.faiss", "aa.faiss", "a.rows-7.faiss"):
        gallery(unit(3)).write(tmp_path / name)
    gallery(unit(5)).write(tmp_path / "a.faiss")
    for name, count in {"a.faiss": 5, "a.b.faiss": 3, "aa.faiss": 3, "a.rows-7.faiss": 3}.items():
        assert len(GalleryIndex.read(tmp_path / name)) == count


def test_ties_beyond_the_candidates_are_settled() -> None:
    """More equal rows than are fetched at first: the lowest ids win, in whatever order faiss gives them."""
    index = gallery(np.repeat(unit(1, width=32), 900, axis=0))
    scores, ids = next(nearest(index._parts.stores[0], unit(1, width=32), 5))
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert len(set(scores.tolist())) == 1


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(index_stamp)
    assert (result.attempted, result.failed) == (1, 0)


def test_the_index_needs_no_torch() -> None:
    code = "import scing_cli.core.index, scing_cli.core.evaluation, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_was_found_finite_is_not_summed_again(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = Store.are_finite
    monkeypatch.setattr(Store, "are_finite", lambda self: calls.append(1) or real(self))
    moved = Path(shutil.copytree(written.parent, written.parent.with_name("moved-too"))) / written.name
    for _ in range(3):
        GalleryIndex.read(moved)
    assert len(calls) == 1
    index = GalleryIndex.read(written)
    index.write(written)
    GalleryIndex.read(written)
    assert len(calls) == 1  # its writer knew it


def test_an_index_that_was_renamed_alone_names_its_rows(written: Path) -> None:
    """The remedy works as it is printed; the rows of another index of that generation are not named."""
    renamed = written.with_name("other.faiss")
    written.rename(renamed)
    (rows,) = written.parent.glob("*.rows-*")
    wrong = rows.with_name(f"a{rows.suffix}")
    wrong.write_bytes(b"of another index")
    with pytest.raises(IndexFileError, match=f"Copy {re.escape(rows.name)} to other{re.escape(rows.suffix)}"):
        GalleryIndex.read(renamed)
    rows.rename(rows.with_name(f"other{rows.suffix}"))
    assert len(GalleryIndex.read(renamed)) > 0
    rows.with_name(f"other{rows.suffix}").unlink()
    with pytest.raises(IndexFileError, match=r"Bring other\.rows-\d+ back"):
        GalleryIndex.read(renamed)
