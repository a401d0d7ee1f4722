"""Products count the rows above each hit: an array's by sorting, a device's by gaps; both as a loop does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.sides import side

from scing_cli.core.evaluation import evaluate
from scing_cli.core.evaluation.device import MOST_LIMITS, DeviceProducts
from scing_cli.core.evaluation.products import ArrayProducts, Bounds, Products

BOTH = [ArrayProducts(), DeviceProducts(torch.device("cpu"))]
STEPS = 8  # of the drawn numbers, in a length of 1: sums of their products are exact, and ties are many


def drawn(rng: np.random.Generator, rows: int) -> np.ndarray:
    return (rng.integers(-STEPS, STEPS + 1, (rows, 2)) / STEPS).astype(np.float32)


@pytest.mark.parametrize("products", BOTH, ids=["numpy", "torch"])
@settings(deadline=None, max_examples=150)
@given(
    hits=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    rows=st.integers(1, 40),
    margin=st.sampled_from([0.0, 1 / STEPS**2, 0.3]),  # bounds that fall upon products, and that overlap
    left_out=st.integers(0, 10),
    seed=st.integers(0, 10**6),
)
def test_counts_are_those_of_a_loop(
    products: Products, hits: list[int], rows: int, margin: float, left_out: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query, gallery = drawn(rng, len(hits)), drawn(rng, rows)
    scores = [np.sort(rng.integers(-STEPS, STEPS + 1, count) / STEPS)[::-1] for count in hits]
    starts = np.concatenate([[0], np.cumsum(hits)]).astype(np.int64)
    flat = np.concatenate([*scores, np.empty(0)])
    bounds = Bounds(starts, flat - margin, flat + margin)
    pairs = rng.integers(0, len(hits), left_out), rng.integers(0, rows, left_out)

    table = query.astype(np.float64) @ gallery.astype(np.float64).T
    table[pairs] = -np.inf
    expected = [
        (
            sum(product > flat[hit] + margin for product in table[number]),
            sum(product >= flat[hit] - margin for product in table[number]),
        )
        for number in range(len(hits))
        for hit in range(starts[number], starts[number + 1])
    ]

    met = products.meet(query, products.load(gallery, products.kinds[-1]))
    met.leave_out(*pairs)
    above, upto = met.count(products.mark(bounds))
    assert list(zip(above.tolist(), upto.tolist(), strict=True)) == expected
    assert [met.row(number).tolist() for number in range(len(hits))] == table.tolist()


def test_one_query_of_very_many_hits_makes_no_wide_table_of_bounds() -> None:
    rng = np.random.default_rng(1)
    hits = np.full(300, 2)
    hits[7] = MOST_LIMITS // 500
    starts = np.concatenate([[0], np.cumsum(hits)])
    scores = np.concatenate([np.sort(rng.uniform(-1, 1, count))[::-1] for count in hits])
    bounds = Bounds(starts, scores - 0.01, scores + 0.01)
    query, gallery = drawn(rng, 300), drawn(rng, 50)
    array, device = BOTH
    assert device.mark(bounds) is bounds
    expected, found = (
        each.meet(query, each.load(gallery, np.float64)).count(each.mark(bounds)) for each in (array, device)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("error")
def test_a_gallery_that_cannot_be_written_is_read_in_silence() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors.flags.writeable = False
    names = [str(number % 5) for number in range(40)]
    parts = side(vectors[:10], names[:10]), side(vectors[10:], names[10:])
    scores = [evaluate(*parts, protocol="no-camera", products=p) for p in BOTH]
    assert scores[0].mAP == scores[1].mAP


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_bounds_hold_every_product_that_may_be_a_hits_score(kind: type) -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((2_000, 512)) for _ in range(2))
    left, right = ((each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in (left, right))
    exact = np.einsum("nd,nd->n", left, right, dtype=np.float64)
    products = np.einsum("nd,nd->n", left.astype(kind), right.astype(kind))
    for score, product in zip(exact, products, strict=True):
        own = Bounds.of(np.array([0, 1]), np.array([score]), 512, kind)
        assert own.down[0] <= product <= own.up[0]
        assert own.near(np.array([product, own.down[0], own.up[0]])).all()
        assert not own.near(np.array([np.nextafter(own.down[0], -np.inf), np.nextafter(own.up[0], np.inf)])).any()
