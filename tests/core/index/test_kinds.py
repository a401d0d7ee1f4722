"""Every kind of index under random use: no kept row is lost, no removed one comes back, and flat is exact."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import faiss
import numpy as np
import pytest
from core.index.test_gallery import entries, unit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scing_cli.core.errors import SettingError
from scing_cli.core.index import KINDS, Entry, GalleryIndex, choose_kind

WIDTH = 16
MODEL = {"model": "ViT-B-16-quickgelu", "pretrained": "openai"}


def made(kind: str, vectors: np.ndarray, images: list[Entry]) -> GalleryIndex:
    return GalleryIndex.create(
        vectors, images, model_digest="a41f" * 16, model=MODEL, descriptor="projected", kind=kind
    )


class Use(RuleBasedStateMachine):
    """Add, remove, write, read and search in any order, beside a plain dictionary of what must be there."""

    kind = "flat"

    @initialize(count=st.integers(1, 120), seed=st.integers(0, 9))
    def begin(self, count: int, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "gallery.faiss"
        self.drawn = 1000 * seed
        self.held: dict[int, np.ndarray] = {}
        self.gone: set[int] = set()
        vectors = self._draw(count)
        self.index = made(self.kind, vectors, entries(count))
        self.held = dict(enumerate(vectors))
        self.written = None

    def _draw(self, count: int) -> np.ndarray:
        self.drawn += 1
        return unit(count, WIDTH, seed=self.drawn)

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

    @rule()
    def write_and_read(self) -> None:
        self.index.write(self.path)
        self.index = GalleryIndex.read(self.path)
        plain = faiss.read_index(str(self.path))
        assert (plain.ntotal, plain.d) == (len(self.held), WIDTH)

    @rule(k=st.integers(1, 40), camera=st.sampled_from(["", "0", "1"]))
    def search(self, k: int, camera: str) -> None:
        allowed = [row.id for row in self.index.rows() if row.camera != camera]
        for query, hits in zip(
            asked := self._draw(3), self.index.search(asked, k, exclude_cameras=[camera]), strict=True
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
            assert [hits[0].row.id for hits in answers] == sorted(self.held)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_of_use(kind: str) -> None:
    machine = type(f"Use_{kind}", (Use,), {"kind": kind})
    machine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
    machine.TestCase("runTest").runTest()


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
    assert fresh.recall() == (1.0 if kind == "flat" else pytest.approx(fresh.recall()))


def test_an_inverted_file_learns_more_lists_as_it_grows() -> None:
    index = made("ivf", unit(80, WIDTH), entries(80))
    assert index._store.index.nlist == 2
    index.add(unit(900, WIDTH, seed=1), entries(900, 80))
    assert index._store.index.nlist == 980 // 39
    assert index._store.index.nprobe <= index._store.index.nlist


def test_the_kind_follows_from_the_number_of_vectors() -> None:
    assert [choose_kind("auto", count) for count in (1, 200_000, 200_001)] == ["flat", "flat", "ivf"]
    assert choose_kind("hnsw", 3) == "hnsw"
    with pytest.raises(SettingError, match="'pq' is unknown") as caught:
        choose_kind("pq", 3)
    assert caught.value.remedy == "Known: auto, flat, ivf, hnsw."
