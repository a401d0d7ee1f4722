"""A search's hits in re-ranked order."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.reranking import reranked_by_loops

from scing_cli.core.errors import SettingError
from scing_cli.core.index import KINDS, Entry, GalleryIndex, RowFilter
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.search import rerank_hits
from scing_cli.core.workflows.search.rerank_hits import CANDIDATES, check_count, reranked_hits


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def vectors() -> np.ndarray:
    """Groups of a dozen each, so near to each other that re-ranking changes the order."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((5, 8))
    return unit(centres[rng.integers(0, 5, 63)] + 0.7 * rng.standard_normal((63, 8)))


def gallery(vectors: np.ndarray, kind: str = "flat") -> GalleryIndex:
    entries = [Entry(f"/{i}.jpg", 1, 1, f"{i:064x}", "someone", str(i % 3)) for i in range(len(vectors))]
    return GalleryIndex.create(
        vectors, entries, model_digest="a" * 64, model={"model": "x"}, descriptor="projected", kind=kind
    )


def ids(index: GalleryIndex, queries: np.ndarray, k: int, *, exclude: tuple[str, ...] = ()) -> list[list[int]]:
    hits = reranked_hits(index, queries, k, allowed=RowFilter(without_cameras=frozenset(exclude)), reporter=Silent())
    return [[hit.row.id for hit in own] for own in hits]


def expected(query: np.ndarray, rows: np.ndarray, candidates: list[int]) -> list[int]:
    (distances,) = reranked_by_loops(query[None], rows[candidates], 20, 6, 0.3)
    return [candidates[place] for place in sorted(range(len(candidates)), key=lambda i: (distances[i], i))]


@pytest.mark.parametrize("kind", KINDS)
def test_hits_stand_in_the_order_of_the_definition(vectors: np.ndarray, kind: str) -> None:
    queries, rows = vectors[:3], vectors[3:]
    index = gallery(rows, kind)
    plain = [[hit.row.id for hit in own] for own in index.search(queries, 60)]
    orders = [expected(query, rows, own) for query, own in zip(queries, plain, strict=True)]
    assert orders != plain
    assert ids(index, queries, 60) == orders
    assert ids(index, queries, 7) == orders  # fewer than the 200 that are re-ranked anyhow
    assert ids(index, queries[1:2], 60) == orders[1:2]


def test_scores_are_still_cosines(vectors: np.ndarray) -> None:
    index = gallery(vectors[3:])
    (hits,) = reranked_hits(index, vectors[:1], 10, reporter=Silent())
    cosines = [float(vectors[0].astype(np.float64) @ vectors[3 + hit.row.id]) for hit in hits]
    assert [hit.score for hit in hits] == pytest.approx(cosines, abs=1e-7)
    assert cosines != sorted(cosines, reverse=True)


def test_rows_of_a_camera_left_out_take_no_part(vectors: np.ndarray) -> None:
    rows = vectors[3:]
    kept = [i for i in range(60) if i % 3 != 1]
    order = np.argsort(-(rows[kept].astype(np.float64) @ vectors[0]))
    assert ids(gallery(rows), vectors[:1], 60, exclude=("1",)) == [
        expected(vectors[0], rows, [kept[place] for place in order])
    ]
    assert ids(gallery(rows), vectors[:1], 60, exclude=("0", "1", "2")) == [[]]


def test_only_the_nearest_rows_are_re_ranked(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CANDIDATES == 200
    monkeypatch.setattr(rerank_hits, "CANDIDATES", 30)
    index = gallery(vectors[3:])
    plain = [hit.row.id for hit in index.search(vectors[:1], 40)[0]]
    assert ids(index, vectors[:1], 5) == [expected(vectors[0], vectors[3:], plain[:30])]
    assert ids(index, vectors[:1], 40) == [expected(vectors[0], vectors[3:], plain)]


def test_more_than_a_thousand_hits_are_refused() -> None:
    check_count(1000)
    with pytest.raises(SettingError, match=r"-k 1001: --rerank orders at most 1,000 hits of a photo"):
        check_count(1001)
