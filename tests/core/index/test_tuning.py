"""The stated recall of an approximate index, against a count over all pairs: for rows, and for queries that are new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from core.index.test_gallery import entries

from scing_cli.commands import show_embed
from scing_cli.core.index import GalleryIndex, commits, read_stamp, tuning
from scing_cli.core.index.store import Vectors
from scing_cli.core.workflows.embed.embed_report import EmbedReport

WIDTH, ROWS, BASES = 32, 6000, 600
KINDS = ("ivf", "hnsw")
SPREADS = {"uniform": None, "clusters": 1.0, "near duplicates": 0.05}


def drawn(count: int, seed: int, spread: float | None = None, bases: int = BASES) -> Vectors:
    """Unit vectors around some that are uniform on the sphere; without a spread, uniform themselves."""
    dice = np.random.default_rng(seed)
    vectors = dice.standard_normal((count, WIDTH))
    if spread is not None:
        vectors = (
            np.random.default_rng(0).standard_normal((bases, WIDTH))[dice.integers(0, bases, count)] + spread * vectors
        )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made(kind: str, vectors: Vectors) -> GalleryIndex:
    return GalleryIndex.create(
        vectors, entries(len(vectors)), model_digest="a41f" * 16, model={}, descriptor="projected", kind=kind
    )


def counted_recall(index: GalleryIndex, queries: Vectors, own: list[int | None] | None = None) -> float:
    """The definition: of each query's ten best other rows, by float64, the share that a search returns."""
    ids, vectors = index.table.ids(), index.vectors().astype(np.float64)
    found = total = 0
    for query, number in zip(queries, own or [None] * len(queries), strict=True):
        scores = (vectors @ query)[ids != number] if number is not None else vectors @ query
        wanted = np.sort(scores)[-10:]
        hits = index.search(query[None], 11 if number is not None else 10)[0]
        others = [hit.score for hit in hits if hit.row.id != number][:10]
        found += sum(score >= wanted[0] - 1e-9 for score in others)
        total += len(wanted)
    return found / total


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_stated_recall_holds_for_queries_that_are_new(kind, spread):
    """Of what the gallery shows, and of what it does not: both are drawn again, so that they differ by chance only."""
    index = made(kind, drawn(ROWS, 1, SPREADS[spread]))
    assert index.recall() >= tuning.AIM
    for new in (drawn(300, 2, SPREADS[spread]), drawn(300, 3)):
        assert counted_recall(index, new) >= index.recall() - 0.03


def test_rows_as_queries_alone_would_promise_too_much():
    """Near duplicates lie in one list each: few lists find those of a row, but not the nearest of anything new."""
    index = made("ivf", drawn(ROWS, 1, 0.05))
    store = index._parts.stores[0]
    store.set_effort(1)
    rows = index.table.ids()[::20].tolist()
    assert counted_recall(index, index.vectors(rows), rows) > 0.9
    assert counted_recall(index, drawn(300, 3)) < 0.5
    assert tuning.Trial(store).run().recall < 0.5


@pytest.mark.parametrize("effort", [1, 4, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_counts_as_the_definition(kind, effort):
    """For its own queries, to the last row."""
    index = made(kind, drawn(ROWS, 1, 1.0))
    store = index._parts.stores[0]
    store.set_effort(effort)
    trial = tuning.Trial(store)
    half = len(trial.own) // 2
    rows, mixed = trial.queries[:half], trial.queries[half:]
    np.testing.assert_array_equal(rows, index.vectors(trial.own[:half]))
    both = counted_recall(index, rows, trial.own[:half].tolist()), counted_recall(index, mixed)
    assert trial.run().recall == pytest.approx(min(both), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_few_rows_are_all_found(kind, count):
    assert made(kind, drawn(count, 1)).recall() == 1
    assert made(kind, np.repeat(drawn(1, 1), count, axis=0)).recall() == 1


def test_where_no_effort_is_enough_the_stated_recall_says_so(monkeypatch):
    monkeypatch.setattr(tuning, "EFFORTS", (1, 2))
    index = made("ivf", drawn(ROWS, 1))
    assert index._parts.stores[0].effort() == 2
    assert index.recall() < 0.6
    assert counted_recall(index, drawn(300, 3)) == pytest.approx(index.recall(), abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_recall_is_written_with_the_index_and_measured_whenever_all_is_written(kind, tmp_path, monkeypatch):
    path = tmp_path / "gallery.faiss"
    made(kind, drawn(ROWS, 1, 1.0)).write(path)
    first = read_stamp(path).recall
    assert first == pytest.approx(
        GalleryIndex.read(path)._parts.stores[0].recall
        or tuning.measured_recall(GalleryIndex.read(path)._parts.stores[0]),
        abs=1e-4,
    )
    monkeypatch.setattr(commits, "LARGE", 0)
    index = GalleryIndex.read(path)
    index.add(drawn(100, 4), entries(100, ROWS))
    index.remove([3])
    with monkeypatch.context() as patch:  # a segment: what was measured stays, and nothing is measured
        patch.setattr(tuning, "Trial", None)
        index.write(path)
        again = GalleryIndex.read(path)
        assert (again.recall(), again.stamp.parts[0].count, len(again)) == (first, ROWS, ROWS + 99)
    assert counted_recall(again, drawn(300, 3)) >= first - 0.03
    again.write(path, compact=True)
    whole = GalleryIndex.read(path)
    assert (whole.stamp.parts[0].count, whole.stamp.recall) == (ROWS + 99, whole.recall())
    assert whole.recall() == pytest.approx(tuning.measured_recall(whole._parts.stores[0]), abs=1e-4)


def test_a_flat_index_has_no_recall_in_its_stamp(tmp_path):
    made("flat", drawn(50, 1)).write(tmp_path / "gallery.faiss")
    assert read_stamp(tmp_path / "gallery.faiss").recall is None
    assert GalleryIndex.read(tmp_path / "gallery.faiss").recall() == 1
    assert b'"recall"' not in (tmp_path / "gallery.faiss").read_bytes()


@pytest.mark.parametrize(
    ("recall", "rows", "said"),
    [
        (0.97, 100, "Type ivf: recall@10 against flat is 0.970."),
        (0.97, 90, "Type ivf: recall@10 against flat is 0.970, when it had 90 rows."),
        (0.5, 100, "Type ivf: recall@10 against flat is 0.500. Less than 0.95: --index-type flat misses nothing."),
    ],
)
def test_what_embed_says(recall, rows, said):
    report = EmbedReport(Path("a.faiss"), 0, 0, 0, 0, 100, 8, "m", "ivf", recall, rows, None)
    assert show_embed._recall(report) == said
