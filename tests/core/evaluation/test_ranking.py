"""The streamed ranking against loops written from the definitions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.ranking import evaluate_by_loops
from oracles.sides import of_case, side
from patience import at_most

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation import Scores, evaluate
from scing_cli.core.evaluation.device import DeviceProducts
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.runtime import Advance, Silent

CAMERAS = ["", "1", "2", "3"]


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def misaligned(vectors: np.ndarray, offset: int) -> np.ndarray:
    """The same numbers at an address that is `offset` bytes past a multiple of 64; odd offsets are unaligned."""
    buffer = np.zeros(vectors.nbytes + 128, dtype=np.uint8)
    start = -buffer.ctypes.data % 64 + offset
    moved = buffer[start : start + vectors.nbytes].view(np.float32).reshape(vectors.shape)
    moved[...] = vectors
    return moved


def assert_equals_oracle(scores: Scores, case: dict, protocol: str) -> None:
    precision, penalty, cmc, results = evaluate_by_loops(**case, protocol=protocol)
    assert scores.mAP == pytest.approx(precision, abs=1e-9)
    assert scores.mINP == pytest.approx(penalty, abs=1e-9)
    np.testing.assert_allclose(scores.cmc, cmc, rtol=0, atol=1e-9)
    assert (scores.rank1, scores.rank5, scores.rank10) == tuple(pytest.approx(cmc[k], abs=1e-9) for k in (0, 4, 9))
    assert scores.queries == len(results)
    assert scores.valid_queries == sum(result is not None for result in results) == scores.queries - scores.lost.total
    for i, result in enumerate(results):
        found = scores.per_query
        if result is None:
            assert found.first_rank[i] == found.matches[i] == 0
            assert np.isnan(found.average_precision[i])
            assert np.isnan(found.inverse_penalty[i])
        else:
            assert found.first_rank[i] == result.first_rank
            assert found.average_precision[i] == pytest.approx(result.average_precision, abs=1e-12)
            assert found.inverse_penalty[i] == pytest.approx(result.inverse_penalty, abs=1e-12)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """Galleries full of trouble: few distinct vectors, so exact duplicates; neighbours one float32 step apart; unknown
    identities and cameras; distractors; people who are not in the gallery."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([1, 2, 3, 8, 33, 130]))
    kind = draw(st.sampled_from(["random", "grid", "collapsed", "identical"]))
    pool_size = draw(st.integers(1, 12))
    if kind == "grid":
        raw = rng.integers(-1, 2, (pool_size, width)).astype(np.float32)
        raw[np.abs(raw).sum(axis=1) == 0] = 1
    else:
        spread = {"random": 1.0, "collapsed": 1e-5, "identical": 0.0}[kind]
        raw = (kind != "random") * rng.standard_normal(width) + spread * rng.standard_normal((pool_size, width))
    pool = unit(raw)
    steps = draw(st.integers(0, 2))
    queries, rows = draw(st.integers(1, 9)), draw(st.integers(1, 40))

    def vectors(count: int) -> np.ndarray:
        chosen = pool[rng.integers(0, pool_size, count)].copy()
        for _ in range(steps):  # near ties: single components moved by one unit in the last place
            place = rng.integers(0, width, count)
            up = rng.choice([-np.inf, np.inf], count).astype(np.float32)
            chosen[np.arange(count), place] = np.nextafter(chosen[np.arange(count), place], up)
        return chosen

    people = [str(person) for person in range(draw(st.integers(1, 6)))]
    images = ["", *map(str, range(draw(st.integers(1, 50))))]  # few: many rows are a query's own image
    keys = {
        "query_keys": [str(x) for x in rng.choice(images, queries)],
        "gallery_keys": [str(x) for x in rng.choice(images, rows)],
    }
    return (keys if draw(st.booleans()) else {}) | {
        "query": vectors(queries),
        "gallery": vectors(rows),
        "query_identities": [str(x) for x in rng.choice([*people, "", "absent"], queries)],
        "gallery_identities": [str(x) for x in rng.choice([*people, "", "0000"], rows)],
        "query_cameras": [str(x) for x in rng.choice(CAMERAS, queries)],
        "gallery_cameras": [str(x) for x in rng.choice(CAMERAS, rows)],
        "query_scenes": ["1", *(str(x) for x in rng.choice(CAMERAS, queries - 1))],
        "gallery_scenes": ["1", *(str(x) for x in rng.choice(CAMERAS, rows - 1))],
    }


@settings(deadline=None, max_examples=250)
@given(
    case=cases(),
    protocol=st.sampled_from(["market", "scene", "no-camera", "text"]),
    block=st.integers(1, 12),
    gallery_block=st.sampled_from([1, 2, 3, 7, 16, 64]),
    offset=st.integers(0, 63),
    fortran=st.booleans(),
    products=st.sampled_from([None, ArrayProducts(), DeviceProducts(torch.device("cpu"))]),
)
def test_equals_the_loops_whatever_the_blocks_and_the_memory(
    case: dict, protocol: str, block: int, gallery_block: int, offset: int, fortran: bool, products: Products
) -> None:
    moved = {**case, "query": misaligned(case["query"], offset), "gallery": misaligned(case["gallery"], 63 - offset)}
    if fortran:
        moved["gallery"] = np.asfortranarray(case["gallery"])
    run = {"protocol": protocol, "block_size": block, "gallery_block_size": gallery_block, "products": products}
    try:
        scores = of_case(evaluate, **moved, **run)
    except DataError:
        assert all(result is None for result in evaluate_by_loops(**case, protocol=protocol)[3])
        return
    assert_equals_oracle(scores, case, protocol)


def market_like(rng: np.random.Generator, queries: int, rows: int, width: int, spread: float) -> dict:
    people = max(rows // 12, 1)
    centre = rng.standard_normal(width)
    own, shown = rng.integers(0, people, queries), rng.integers(0, people, rows)
    return {
        "query": unit(centre + spread * rng.standard_normal((queries, width))),
        "gallery": unit(centre + spread * rng.standard_normal((rows, width))),
        "query_identities": [f"{person:04d}" for person in own],
        "gallery_identities": [f"{person:04d}" for person in shown],
        "query_cameras": [str(x) for x in rng.integers(1, 7, queries)],
        "gallery_cameras": [str(x) for x in rng.integers(1, 7, rows)],
    }


@pytest.mark.parametrize("spread", [10.0, 1e-1, 1e-3, 1e-6], ids=lambda spread: f"spread {spread}")
def test_wide_vectors_equal_the_loops_from_random_to_collapsed(spread: float) -> None:
    case = market_like(np.random.default_rng(3), 30, 300, 1280, spread)
    assert_equals_oracle(of_case(evaluate, **case, protocol="market"), case, "market")


def test_numbers_are_the_same_bits_for_every_block_size() -> None:
    case = market_like(np.random.default_rng(4), 50, 700, 512, 1e-4)
    runs = [
        of_case(evaluate, **case, protocol="market", block_size=b, gallery_block_size=g)
        for b, g in [(1, 1000), (7, 64), (50, 333), (256, 16384)]
    ]
    assert {(run.mAP, run.mINP, run.cmc.tobytes()) for run in runs} == {
        (runs[0].mAP, runs[0].mINP, runs[0].cmc.tobytes())
    }


def test_a_product_that_is_wrong_in_its_last_bits_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates of the true hit stand before and behind it: gallery order decides, not the product's rounding."""
    vector = unit(np.random.default_rng(5).standard_normal((1, 512)))
    gallery = np.repeat(vector, 101, axis=0)
    identities = ["other"] * 101
    identities[40] = "a"
    scores = evaluate(
        side(vector, ["a"], ["1"]), side(gallery, identities, ["2"] * 101), protocol="market", gallery_block_size=17
    )
    assert scores.per_query.first_rank.tolist() == [41]
    assert scores.mAP == pytest.approx(100 / 41, abs=1e-12)


def test_the_same_camera_is_left_out_and_an_unknown_camera_is_no_camera() -> None:
    query = unit([[1, 0]])
    gallery = unit([[1, 0], [1, 0.1], [1, 0.2]])
    identities = ["a", "b", "a"]
    run = {"query": query, "gallery": gallery, "query_identities": ["a"], "gallery_identities": identities}
    left_out = of_case(evaluate, **run, query_cameras=["1"], gallery_cameras=["1", "2", "2"], protocol="market")
    assert (left_out.mAP, left_out.per_query.matches[0]) == (50.0, 1)
    kept = of_case(evaluate, **run, query_cameras=["1"], gallery_cameras=["1", "2", "2"], protocol="no-camera")
    assert kept.mAP == pytest.approx(100 * (1 + 2 / 3) / 2)
    unknown = of_case(evaluate, **run, query_cameras=[""], gallery_cameras=["", "2", "2"], protocol="market")
    assert unknown.per_query.matches[0] == 2


@pytest.mark.parametrize("protocol", ["market", "no-camera"])
def test_the_querys_own_image_is_neither_a_match_nor_a_distractor(protocol: str) -> None:
    query = unit([[1, 0]])
    gallery = unit([[1, 0], [1, 0.1], [1, 0.2]])
    run = {"query": query, "gallery": gallery, "query_identities": ["a"], "query_cameras": ["1"]}
    run |= {"gallery_cameras": ["", "2", "2"], "protocol": protocol}
    keys = {"query_keys": ["x.jpg"], "gallery_keys": ["x.jpg", "y.jpg", ""]}
    as_match = of_case(evaluate, **run, **keys, gallery_identities=["a", "b", "a"])
    assert (as_match.per_query.first_rank[0], as_match.per_query.matches[0]) == (2, 1)
    as_distractor = of_case(evaluate, **run, **keys, gallery_identities=["stranger", "b", "a"])
    assert as_distractor.mAP == as_match.mAP == 50.0
    unnamed = of_case(evaluate, **run, gallery_identities=["a", "b", "a"])
    assert unnamed.per_query.matches[0] == 2
    empty = of_case(evaluate, **run, query_keys=[""], gallery_keys=[""] * 3, gallery_identities=["a", "b", "a"])
    assert empty.per_query.matches[0] == 2


def test_for_words_the_image_that_a_caption_describes_is_the_target() -> None:
    run = {"query": unit([[1, 0]]), "gallery": unit([[1, 0], [1, 0.1]]), "query_identities": ["a"]}
    run |= {"gallery_identities": ["a", "b"], "query_cameras": ["1"], "gallery_cameras": ["1", "2"]}
    keys = {"query_keys": ["x.jpg"], "gallery_keys": ["x.jpg", "y.jpg"]}
    assert of_case(evaluate, **run, **keys, protocol="text").mAP == 100
    with pytest.raises(DataError, match="1 has no image of its identity in the gallery but itself"):
        of_case(evaluate, **run, **keys, protocol="no-camera")


def test_a_part_searched_in_itself_counts_the_others_only() -> None:
    case = market_like(np.random.default_rng(6), 60, 60, 16, 10.0)
    for of in ("query", "query_identities", "query_cameras"):
        case[of.replace("query_", "gallery_").replace("query", "gallery")] = case[of]
    keys = [f"{i}.jpg" for i in range(60)]
    case |= {"query_keys": keys, "gallery_keys": keys}
    scores = of_case(evaluate, **case, protocol="no-camera")
    assert scores.rank1 < 60
    assert_equals_oracle(scores, case, "no-camera")


def test_queries_whose_only_match_is_themselves_are_lost_and_said_so() -> None:
    vectors = unit(np.eye(3))
    keys = list("xyz")
    scores = evaluate(*[side(vectors, list("aab"), keys=keys)] * 2, protocol="no-camera")
    assert (scores.valid_queries, scores.lost.itself, scores.lost.total) == (2, 1, 1)
    assert scores.lost.reasons() == "1 has no image of its identity in the gallery but itself"
    with pytest.raises(DataError, match="3 have no image of their identity in the gallery but themselves") as caught:
        evaluate(*[side(vectors, list("abc"), keys=keys)] * 2, protocol="no-camera")
    assert "no-camera" not in caught.value.remedy


def test_lost_queries_are_counted_by_reason() -> None:
    vectors = unit(np.eye(4))
    gallery = side(vectors[:2], ["a", "b"], ["2", "1"])
    scores = evaluate(side(vectors, ["a", "b", "", "c"], ["1", "1", "1", "1"]), gallery, protocol="market")
    assert (scores.lost.unknown, scores.lost.absent, scores.lost.same_camera) == (1, 1, 1)
    assert (scores.queries, scores.valid_queries, scores.gallery) == (4, 1, 2)
    assert scores.lost.reasons() == (
        "1 has no identity, 1 has no image of its identity in the gallery, 1 has true matches from its own camera only"
    )
    assert scores.summary() == {
        "mAP": 100.0, "mINP": 100.0, "rank1": 100.0, "rank5": 100.0, "rank10": 100.0,
        "queries": 4, "valid_queries": 1, "gallery": 2, "protocol": "market",
    }  # fmt: skip


def test_no_valid_query_because_of_the_camera_filter_names_the_option() -> None:
    vectors = unit(np.eye(3))
    with pytest.raises(DataError, match=r"None of the 3 queries has a true match under the protocol market") as caught:
        evaluate(*[side(vectors, list("abc"), ["1"] * 3)] * 2, protocol="market")
    assert "3 have true matches from their own camera only" in caught.value.what
    assert "--protocol no-camera" in caught.value.remedy


def test_no_valid_query_because_of_other_people_does_not_blame_cameras() -> None:
    vectors = unit(np.eye(2))
    with pytest.raises(DataError, match="2 have no image of their identity in the gallery") as caught:
        evaluate(side(vectors, ["a", "b"], ["1"] * 2), side(vectors, ["c", "d"], ["2"] * 2), protocol="market")
    assert "no-camera" not in caught.value.remedy


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_named(bad: float) -> None:
    good, broken = (side(unit(np.eye(5)), list("abcde")) for _ in range(2))
    broken.vectors[3, 1] = bad
    with pytest.raises(DataError, match="1 of 5 gallery vectors is not finite: rows 3 "):
        evaluate(good, broken, protocol="market")
    with pytest.raises(DataError, match="1 of 5 query vectors is not finite: rows 3 "):
        evaluate(broken, good, protocol="market")


def test_parts_that_do_not_fit_are_refused() -> None:
    vectors = unit(np.eye(2))
    two = side(vectors, ["a"] * 2)
    with pytest.raises(DataError, match="query vectors are 2 wide, the gallery's 3"):
        evaluate(two, side(unit(np.eye(3)), ["a"] * 3), protocol="market")
    with pytest.raises(DataError, match="There is no gallery vector"):
        evaluate(two, side(vectors[:0], []), protocol="market")
    with pytest.raises(ValueError, match="2 vectors, 2 identities, 2 cameras, 1 keys"):
        evaluate(side(vectors, ["a"] * 2, keys=["x"]), two, protocol="market")
    with pytest.raises(ValueError, match="2 vectors, 1 identities"):
        evaluate(side(vectors, ["a"]), two, protocol="market")


def test_progress_reaches_its_total() -> None:
    class Counting(Silent):
        done = total = 0

        @contextlib.contextmanager
        def progress(self, description: str, total: int) -> Iterator[Advance]:
            def advance(steps: int) -> None:
                self.done += steps

            self.total = total
            yield advance

    counting = Counting()
    case = market_like(np.random.default_rng(8), 11, 50, 8, 10.0)
    of_case(evaluate, **case, protocol="auto", block_size=4, gallery_block_size=7, reporter=counting)
    assert counting.done == counting.total == 11 * 8


def test_market_sized_parts_take_little_work() -> None:
    case = market_like(np.random.default_rng(7), 800, 4000, 512, 10.0)
    with at_most(1_200):
        scores = of_case(evaluate, **case, protocol="market")
    assert scores.valid_queries > 790


@pytest.mark.parametrize("spread", [10.0, 1e-4])
def test_torch_gives_the_same_bits_as_numpy(spread: float) -> None:
    case = market_like(np.random.default_rng(9), 60, 900, 256, spread)
    runs = [
        of_case(evaluate, **case, protocol="market", products=products, gallery_block_size=200)
        for products in (None, DeviceProducts(torch.device("cpu")))
    ]
    assert runs[0].mAP == runs[1].mAP
    assert runs[0].cmc.tobytes() == runs[1].cmc.tobytes()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("spread", [10.0, 1e-2, 1e-4, 1e-6])
def test_a_gpu_gives_the_same_bits_as_the_cpu(spread: float) -> None:
    case = market_like(np.random.default_rng(10), 200, 3000, 512, spread)
    runs = [
        of_case(evaluate, **case, protocol="market", products=products)
        for products in (None, DeviceProducts(torch.device("cuda")))
    ]
    assert runs[0].mAP == runs[1].mAP
    assert runs[0].cmc.tobytes() == runs[1].cmc.tobytes()
