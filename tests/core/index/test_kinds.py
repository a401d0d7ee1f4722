"""Every kind of index under random use: no row is lost, no removed row comes back, and flat is exact."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import faiss
import numpy as np
import pytest
from core.index.test_gallery import entries, unit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scing_cli.core.errors import SettingError
from scing_cli.core.index import (
    KINDS,
    Entry,
    GalleryIndex,
    RowFilter,
    choose_kind,
    commits,
    files_of,
    inverted_lists,
    kinds,
    read_stamp,
)
from scing_cli.core.index.nearest import nearest
from scing_cli.core.pairs import pair_scores

WIDTH = 16
REPLACE = Path.replace
MODEL = {"model": "ViT-B-16-quickgelu", "pretrained": "openai"}


def made(kind: str, vectors: np.ndarray, images: list[Entry]) -> GalleryIndex:
    return GalleryIndex.create(
        vectors, images, model_digest="a41f" * 16, model=MODEL, descriptor="projected", kind=kind
    )


class Use(RuleBasedStateMachine):
    """Add, remove, write, read and search in any order, beside a plain dictionary of what must be there."""

    kind = "flat"
    segments = False  # whether even a small index is kept in segments

    @initialize(count=st.integers(1, 120), seed=st.integers(0, 9), spread=st.sampled_from([1.0, 0.3, 0.05]))
    def begin(self, count: int, seed: int, spread: float) -> None:
        self.spread = spread
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "gallery.faiss"
        self.drawn = 1000 * seed
        self.held: dict[int, np.ndarray] = {}
        self.gone: set[int] = set()
        self.labels: dict[int, tuple[str, str]] = {}
        vectors = self._draw(count)
        self.index = made(self.kind, vectors, entries(count))
        self.held = dict(enumerate(vectors))
        self.written = None

    def _draw(self, count: int) -> np.ndarray:
        """Vectors in six clusters, the tighter the smaller the spread; at 1 there is hardly one to see."""
        self.drawn += 1
        dice = np.random.default_rng(self.drawn)
        vectors = unit(6, WIDTH, seed=3)[dice.integers(0, 6, count)] * (self.spread < 1)
        vectors = vectors + self.spread * dice.standard_normal((count, WIDTH)) / 4
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    @rule(count=st.integers(0, 90))
    def add(self, count: int) -> None:
        vectors, first = self._draw(count), len(self.held) + len(self.gone)
        ids = self.index.add(vectors, entries(count, first))
        assert ids == list(range(first, first + count))
        self.held |= dict(zip(ids, vectors, strict=True))

    @precondition(lambda self: self.held)
    @rule(share=st.floats(0, 1), seed=st.integers(0, 99))
    def remove(self, share: float, seed: int) -> None:
        known = sorted(self.held)
        chosen = np.random.default_rng(seed).choice(known, round(share * len(known)), replace=False).tolist()
        self.index.remove(chosen)
        self.gone |= set(chosen)
        self.held = {number: vector for number, vector in self.held.items() if number not in set(chosen)}

    @precondition(lambda self: self.held)
    @rule(share=st.floats(0, 1), seed=st.integers(0, 99))
    def relabel(self, share: float, seed: int) -> None:
        known = sorted(self.held)
        chosen = np.random.default_rng(seed).choice(known, round(share * len(known)), replace=False).tolist()
        self.index.relabel(dict.fromkeys(chosen, (f"seed {seed}", str(seed % 3))))
        self.labels |= dict.fromkeys(chosen, (f"seed {seed}", str(seed % 3)))

    @rule(compact=st.booleans())
    def write_and_read(self, compact: bool) -> None:
        self.index.write(self.path, compact=compact)
        self._check_files(compact)
        self._read()

    @rule(compact=st.booleans(), after=st.integers(1, 6), committed=st.booleans())
    def write_and_die(self, compact: bool, after: int, committed: bool) -> None:
        """The process ends before or after one of the renames: the former state is whole, or the new one."""
        left = after

        def replace(source: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            done = REPLACE(source, target) if left or committed else source
            if not left:
                raise KeyboardInterrupt
            return done

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with contextlib.suppress(KeyboardInterrupt):
                self.index.write(self.path, compact=compact)
        if not self.path.exists():
            return  # the first write: the index in memory is still there
        found = read_stamp(self.path)
        self.index = GalleryIndex.read(self.path)
        if self.written is not None and found == self.written[0]:
            _, self.held, self.gone, self.labels = self.written
            self.held, self.gone, self.labels = dict(self.held), set(self.gone), dict(self.labels)
        self._keep()

    def _read(self) -> None:
        self.index = GalleryIndex.read(self.path)
        self._keep()

    def _keep(self) -> None:
        self.written = (read_stamp(self.path), dict(self.held), set(self.gone), dict(self.labels))

    def _check_files(self, compact: bool) -> None:
        """Nothing is left over, and an index of two files is a plain one."""
        stamp = read_stamp(self.path)
        names = {file.name for file in self.folder.iterdir()}
        if compact or not self.segments:
            plain = faiss.read_index(str(self.path))
            assert (plain.ntotal, plain.d) == (len(self.held), WIDTH)
            assert names == {"gallery.faiss", f"gallery.rows-{stamp.generation}"}
        assert names == {file.name for file in files_of(self.path)}
        assert len(names) <= 3 + 2 * max(1, len(stamp.segments))

    @rule(k=st.integers(1, 40), camera=st.sampled_from(["", "0", "1"]))
    def search(self, k: int, camera: str) -> None:
        labels = {row.id: (row.identity, row.camera) for row in self.index.rows()}
        assert {number: labels[number] for number in self.labels if number in labels} == {
            number: named for number, named in self.labels.items() if number in self.held
        }
        allowed = [number for number, (_, seen_by) in labels.items() if seen_by != camera]
        for query, hits in zip(
            asked := self._draw(3),
            self.index.search(asked, k, allowed=RowFilter(without_cameras=frozenset({camera}))),
            strict=True,
        ):
            found = [hit.row.id for hit in hits]
            assert len(found) == len(set(found)) == min(k, len(allowed))
            assert set(found) <= set(allowed)
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
            exact = {number: float((query.astype(np.float64) * self.held[number]).sum()) for number in allowed}
            assert scores == pytest.approx([exact[number] for number in found], abs=1e-12)
            if self.kind == "flat":
                assert found == sorted(exact, key=lambda number: (-exact[number], number))[:k]

    @invariant()
    def every_kept_row_is_its_own_nearest(self) -> None:
        assert [row.id for row in self.index.rows()] == sorted(self.held)
        np.testing.assert_array_equal(
            self.index.vectors(), np.array([self.held[number] for number in sorted(self.held)]).reshape(-1, WIDTH)
        )
        if self.held:
            answers = self.index.search(np.array([self.held[number] for number in sorted(self.held)]), 1)
            missed = [
                number for number, hits in zip(sorted(self.held), answers, strict=True) if hits[0].row.id != number
            ]
            assert not missed

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def use(kind: str, examples: int, monkeypatch: pytest.MonkeyPatch, *, segments: bool) -> None:
    if segments:
        monkeypatch.setattr(commits, "LARGE", 0)
    machine = type(f"Use_{kind}", (Use,), {"kind": kind, "segments": segments})
    machine.TestCase.settings = settings(max_examples=examples, stateful_step_count=12, deadline=None)
    machine.TestCase("runTest").runTest()


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_any_order_of_use(kind: str, segments: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    use(kind, 10, monkeypatch, segments=segments)


@pytest.mark.long
@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_any_long_order_of_use(kind: str, segments: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    use(kind, 500, monkeypatch, segments=segments)


def test_a_graph_that_lost_rows_looks_as_far_as_it_must() -> None:
    """Without looking further than before the removal, one of the rows that stay is not found by its own vector."""
    state = type("Use_hnsw", (Use,), {"kind": "hnsw"})()
    state.begin(count=118, seed=0, spread=0.3)
    state.every_kept_row_is_its_own_nearest()
    state.remove(share=0.0859375, seed=32)
    state.every_kept_row_is_its_own_nearest()
    assert state.index._parts.stores[0].effort() > 16
    state.teardown()


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_grew_equals_one_made_afresh(kind: str, tmp_path: Path) -> None:
    """Flat to the last bit; the others find the same rows with the same scores wherever both find them."""
    vectors = unit(900, WIDTH, seed=3)
    grown = made(kind, vectors[:60], entries(60))
    for low in range(60, 900, 120):
        grown.add(vectors[low : low + 120], entries(len(vectors[low : low + 120]), low))
    grown.remove(range(0, 900, 9))
    grown.write(tmp_path / "a.faiss")
    grown = GalleryIndex.read(tmp_path / "a.faiss")
    kept = [number for number in range(900) if number % 9]
    fresh = made(kind, vectors[kept], [entries(900)[number] for number in kept])
    asked = unit(40, WIDTH, seed=4)
    one, two = (
        [[(hit.row.path, hit.score) for hit in hits] for hits in index.search(asked, 10)] for index in (grown, fresh)
    )
    if kind == "flat":
        assert one == two
    else:
        shared = sum(len(set(a) & set(b)) for a, b in zip(one, two, strict=True))
        assert shared >= 0.9 * 400
    assert grown.recall() >= 0.9
    assert fresh.recall() >= (1.0 if kind == "flat" else 0.95)


def test_an_inverted_file_learns_more_lists_as_it_grows() -> None:
    index = made("ivf", unit(80, WIDTH), entries(80))
    assert index._parts.stores[0].index.nlist == 2
    index.add(unit(900, WIDTH, seed=1), entries(900, 80))
    assert index._parts.stores[0].index.nlist == 980 // 39
    assert index._parts.stores[0].index.nprobe <= index._parts.stores[0].index.nlist


def test_the_kind_follows_from_the_number_of_vectors() -> None:
    assert [choose_kind("auto", count, 512) for count in (1, 200_000, 200_001)] == ["flat", "flat", "ivf"]
    assert [choose_kind("auto", count, 64) for count in (1_600_000, 1_600_001)] == ["flat", "ivf"]
    assert choose_kind("hnsw", 3, 8) == "hnsw"
    with pytest.raises(SettingError, match="'pq' is unknown") as caught:
        choose_kind("pq", 3, 8)
    assert caught.value.remedy == "Known: auto, flat, ivf, hnsw."


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_copies_count_as_found_whichever_of_them_is(kind: str) -> None:
    """Recall is of scores: among fifty copies of a vector no one can say which ten are the nearest."""
    index = made(kind, np.repeat(unit(40, WIDTH), 50, axis=0), entries(2000))
    assert index.recall() >= 0.95


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_that_grew_a_lot_looks_further(kind: str) -> None:
    index = made(kind, unit(50, WIDTH), entries(50))
    index._parts.stores[0].set_effort(1)
    index.add(unit(8000, WIDTH, seed=1), entries(8000, 50))
    assert index._parts.stores[0].effort() >= 16
    assert index.recall() >= 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_reading_the_ids_copies_no_vectors(kind: str) -> None:
    index = made(kind, unit(4000, 256), entries(4000))
    tracemalloc.start()
    ids = index._parts.stores[0].ids()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids.tolist() == list(range(4000))
    assert peak < 4000 * 256 * 4 / 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_does_not_go_through_all_ids(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take most of the time of a search in an inverted file."""
    made(kind, unit(900, WIDTH), entries(900)).write(tmp_path / "gallery.faiss")
    index = GalleryIndex.read(tmp_path / "gallery.faiss")
    store = index._parts.stores[0]
    assert store.ends() == (0, 899)
    assert [hits[0].row.id for hits in index.search(unit(900, WIDTH)[:3], 1)] == [0, 1, 2]
    monkeypatch.setattr(type(store), "ids", lambda _: pytest.fail("all ids were asked for"))
    if kind != "hnsw":  # which compares all allowed rows where it finds too few of them
        assert len(index.search(unit(2, WIDTH, seed=2), 5, allowed=RowFilter(cameras=frozenset({"1"})))) == 2
    assert [hits[0].row.id for hits in index.search(unit(900, WIDTH)[:3], 1)] == [0, 1, 2]
    monkeypatch.undo()
    index._parts.stores[0] = store.owned()
    index._parts.stores[0].remove(np.array([0, 899]))
    assert index._parts.stores[0].ends() == (1, 898)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("step", [1, 3, 200])
def test_a_filtered_search_reads_the_allowed_vectors_alone_and_in_pieces(
    kind: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where faiss finds too few rows, all allowed ones are compared: before, all vectors were copied for that."""
    vectors = unit(3000, 64)
    made(kind, vectors, entries(3000)).write(tmp_path / "gallery.faiss")
    store = GalleryIndex.read(tmp_path / "gallery.faiss")._parts.stores[0]
    store.set_effort(1)
    monkeypatch.setattr("scing_cli.core.index.flat_file.PIECE", 64 * 256)  # bytes, of 64 vectors
    allowed, asked, k = np.arange(0, 3000, step), unit(3, 64, seed=1), 3000 // max(step, 10)
    _, found = store.candidates(asked, k, allowed)
    assert (np.count_nonzero(found >= 0, axis=1) < k).all()
    tracemalloc.start()
    answers = list(nearest(store, asked, k, allowed=allowed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for query, (scores, ids) in zip(asked, answers, strict=True):
        exact = pair_scores(query, vectors[allowed])
        order = np.lexsort((allowed, -exact))[:k]
        assert np.array_equal(ids, allowed[order])
        assert np.array_equal(scores, exact[order])
    assert peak < vectors.nbytes / 5


@pytest.mark.parametrize("kind", KINDS)
def test_removing_nothing_and_everything(kind: str) -> None:
    index = made(kind, unit(90, WIDTH), entries(90))
    before = index._parts.stores[0].index
    index.remove([])
    assert index._parts.stores[0].index is before
    index.remove(range(90))
    assert (len(index), index.search(unit(1, WIDTH), 3)) == (0, [[]])
    assert index.add(unit(3, WIDTH, seed=1), entries(3, 90)) == [90, 91, 92]
    assert [hits[0].row.id for hits in index.search(unit(3, WIDTH, seed=1), 1)] == [90, 91, 92]


@pytest.mark.parametrize("count", [40, 3000])
def test_an_inverted_file_has_the_bytes_that_faiss_gives_it(count) -> None:
    """Each vector is in the list of its nearest centroid, which faiss would search for itself."""
    draw = np.random.default_rng(3).standard_normal((count, 24)).astype(np.float32)
    vectors = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    ids = np.arange(5, 5 + count) * 3
    made = []
    for add in (
        inverted_lists.add_to_lists,
        lambda index, some, own: inverted_lists.fill_lists(index, own, lambda ids: some[np.searchsorted(own, ids)]),
        lambda index, some, own: index.add_with_ids(some, own),
    ):
        index = kinds.InvertedStore.empty(24, 9)
        index.train(vectors[:400])
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        add(index, vectors, ids)
        made.append(faiss.serialize_index(index).tobytes())
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("cameras", [3, 40])
def test_a_filter_costs_no_recall(kind: str, cameras: int) -> None:
    """Before, faiss looked no farther for the rows of one camera than for all: of 40 cameras, 0.8 of them were found."""
    draw = np.random.default_rng(7)
    vectors = draw.standard_normal((200, 32))[draw.integers(0, 200, 20_000)] + 1.2 * draw.standard_normal((20_000, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    own = [dataclasses.replace(entry, camera=str(i % cameras)) for i, entry in enumerate(entries(20_000))]
    index, queries = made(kind, vectors, own), vectors[::250] + 0.1 * unit(80, 32, seed=2)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    there = np.arange(1, 20_000, cameras)
    near = np.argsort(-(queries @ vectors[there].T), axis=1)[:, :10]
    found = index.search(queries, 10, allowed=RowFilter(cameras=frozenset({"1"})))
    shares = [
        len({hit.row.id for hit in hits} & set(there[own].tolist())) / 10 for hits, own in zip(found, near, strict=True)
    ]
    assert np.mean(shares) >= 0.95


def test_an_inverted_file_to_which_others_were_added_is_tuned_again(tmp_path: Path) -> None:
    """Rows unlike the first ones need more lists, also before the centroids are trained again."""
    draw = np.random.default_rng(5)

    def rows(count: int, groups: int) -> np.ndarray:
        found = draw.standard_normal((groups, 32))[draw.integers(0, groups, count)]
        found = found + 0.9 * draw.standard_normal((count, 32))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    made("ivf", rows(8000, 100), entries(8000)).write(tmp_path / "g.faiss")
    index = GalleryIndex.read(tmp_path / "g.faiss")
    effort = index._parts.stores[0].effort()
    index.add(rows(22_000, 3000), entries(22_000, 8000))
    index.write(tmp_path / "g.faiss", compact=True)
    again = GalleryIndex.read(tmp_path / "g.faiss")
    assert again._parts.stores[0].index.nlist < 2 * int(2 * 8000**0.5)  # the centroids are those of before
    assert again.recall() >= 0.95
    assert again._parts.stores[0].effort() > effort
