"""Thresholds and rates of all pairs, compared with plain loops and with newly drawn people."""

from __future__ import annotations

import contextlib
import json
import math
import tracemalloc
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import verification as oracle
from oracles.sides import of_case, side
from patience import at_most

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation import Verification, evaluate, verify
from scing_cli.core.evaluation.device import DeviceProducts
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.evaluation.rates import OperatingPoint
from scing_cli.core.evaluation.sampling import Estimate
from scing_cli.core.pairs import pair_scores
from scing_cli.core.runtime import Advance, Silent

RATES = (0.5, 0.1, 0.03, 1e-4)


class PairProducts(ArrayProducts):
    """Every pair by itself: the same bits in blocks of every shape."""

    kinds: tuple[npt.DTypeLike, ...] = (np.float64,)

    def multiply(self, query: np.ndarray, block: np.ndarray) -> np.ndarray:
        return np.stack([pair_scores(vector, block) for vector in query])


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def exact(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit vectors whose products are whole eighths in every kind of number: many ties, and 1 to the bit."""
    vectors = np.zeros((count, 4), dtype=np.float32)
    vectors[np.arange(count), rng.integers(0, 4, count)] = rng.choice([-1, 1], count)
    halves = rng.random(count) < 0.7
    vectors[halves] = rng.choice([-0.5, 0.5], (halves.sum(), 4))
    return vectors


def labels(rng: np.random.Generator, people: int, queries: int, rows: int) -> dict:
    """People, distractors and unknown ones; cameras, some missing; some gallery rows are queries' own images."""
    images = ["", *map(str, range(40))]
    names = [f"{person:02d}" for person in range(people)]
    return {
        "query_identities": [str(x) for x in rng.choice([*names, *names, "", "absent"], queries)],
        "gallery_identities": [str(x) for x in rng.choice([*names, *names, "", "0000"], rows)],
        "query_cameras": [str(x) for x in rng.choice(["", "1", "2", "3"], queries)],
        "gallery_cameras": [str(x) for x in rng.choice(["", "1", "2", "3"], rows)],
        "query_scenes": ["1", *(str(x) for x in rng.choice(["", "1", "2"], queries - 1))],
        "gallery_scenes": ["1", *(str(x) for x in rng.choice(["", "1", "2"], rows - 1))],
        "query_keys": [str(x) for x in rng.choice(images, queries)],
        "gallery_keys": [str(x) for x in rng.choice(images, rows)],
    }


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """Few distinct vectors, so exact duplicates, anywhere from spread out to collapsed onto one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, pool_size = draw(st.sampled_from([1, 2, 8, 33])), draw(st.integers(1, 40))
    spread = draw(st.sampled_from([1.0, 0.1, 1e-3, 0.0]))
    pool = unit((spread < 1) * rng.standard_normal(width) + spread * rng.standard_normal((pool_size, width)) + 1e-9)
    queries, rows = draw(st.integers(1, 24)), draw(st.integers(1, 30))
    case = labels(rng, draw(st.integers(1, 18)), queries, rows)
    if not draw(st.booleans()):
        case = {name: value for name, value in case.items() if not name.endswith("keys")}
    return case | {
        "query": pool[rng.integers(0, pool_size, queries)],
        "gallery": pool[rng.integers(0, pool_size, rows)],
    }


def assert_estimate(found: Estimate, value: float, without: list[float]) -> None:
    assert found.value == pytest.approx(value, abs=1e-12)
    expected = oracle.interval(value, without)
    if expected is None or expected[0] < 1e-12:
        assert found.error is None or found.error < 1e-12
    else:
        assert (found.error, found.low, found.high) == tuple(pytest.approx(x, rel=1e-6) for x in expected)


def assert_point(point: OperatingPoint, rate: float, pairs: list[oracle.Pair], people: list[str]) -> None:
    total = sum(not pair.same for pair in pairs)
    assert point.rate == rate
    if total * rate < 10 - 1e-9:
        assert point.threshold is point.false_match is point.true_match is point.false_matches is None
        assert f"there are {total:,}" in point.reason
        return
    assert point.reason == ""
    assert point.threshold == oracle.threshold_of(pairs, rate)
    assert point.false_matches == sum(not pair.same and pair.score >= point.threshold for pair in pairs)
    assert point.true_matches == sum(pair.same and pair.score >= point.threshold for pair in pairs)
    for found, same in ((point.false_match, False), (point.true_match, True)):
        without = oracle.without_each(pairs, people, point.threshold, same=same)
        assert_estimate(found, oracle.match_rate(pairs, point.threshold, same=same), without)


def assert_equals_oracle(found: Verification, case: dict, protocol: str) -> None:
    pairs = oracle.all_pairs(case, protocol)
    people = sorted({*case["query_identities"]} - {""})
    assert found.same_pairs == sum(pair.same for pair in pairs)
    assert found.different_pairs == len(pairs) - found.same_pairs
    assert found.identities == len(people)
    for same, counts in ((True, found.histogram.same), (False, found.histogram.different)):
        scores = [pair.score for pair in pairs if pair.same == same]
        np.testing.assert_array_equal(counts, np.histogram(scores, np.arange(-2048, 2049) / 2048)[0])
        curve = found.curve.true_match if same else found.curve.false_match
        if scores:
            assert curve.tolist() == oracle.match_rates(pairs, oracle.EDGES, same=same)
    assert found.curve.thresholds.tolist() == oracle.EDGES
    for point, rate in zip(found.points, RATES, strict=True):
        assert_point(point, rate, pairs, people)
    if not found.different_pairs:
        assert found.equal_error is None
    else:
        assert found.equal_error.threshold == oracle.equal_threshold(pairs)
        value, without = oracle.equal_error(pairs, people, found.equal_error.threshold)
        assert_estimate(found.equal_error.rate, value, without)
    for hits, true in ((found.true, True), (found.wrong, False)):
        best = [oracle.best(case, protocol, i, true=true) for i in range(len(case["query"]))]
        assert hits.rows.tolist() == [row for row, _ in best]
        np.testing.assert_array_equal(hits.scores, np.array([score for _, score in best], dtype=np.float32))


@settings(deadline=None, max_examples=60)
@given(
    case=cases(),
    protocol=st.sampled_from(["market", "scene", "no-camera", "text"]),
    block=st.integers(1, 12),
    gallery_block=st.sampled_from([1, 3, 7, 64]),
)
def test_equals_the_loops_whatever_the_blocks(case: dict, protocol: str, block: int, gallery_block: int) -> None:
    run = {"rates": RATES, "block_size": block, "gallery_block_size": gallery_block, "products": PairProducts()}
    try:
        found = of_case(verify, **case, protocol=protocol, **run)
    except DataError:
        assert not any(pair.same for pair in oracle.all_pairs(case, protocol))
        return
    assert_equals_oracle(found, case, protocol)


@pytest.mark.parametrize("products", [None, DeviceProducts(torch.device("cpu"))], ids=["numpy", "torch"])
@pytest.mark.parametrize("seed", range(4))
def test_ties_are_counted_by_every_kind_of_product(seed: int, products: Products | None) -> None:
    rng = np.random.default_rng(seed)
    case = labels(rng, 14, 30, 40) | {"query": exact(rng, 30), "gallery": exact(rng, 40)}
    assert_equals_oracle(of_case(verify, **case, protocol="market", rates=RATES, products=products), case, "market")


def test_a_rate_of_ten_pairs_is_measured_and_one_of_fewer_is_not() -> None:
    query, gallery = unit(np.eye(2, 3)[:1]), unit(np.eye(1001, 3) + 1e-3)
    names = ["a", *["b"] * 1000]
    found = verify(side(query, ["a"]), side(gallery, names), protocol="no-camera", rates=(0.01, 0.00999))
    assert found.points[0].reason == ""
    assert found.points[0].false_matches == 0  # nearly all are tied, so none may match
    assert found.points[1].threshold is None
    assert found.points[1].reason == (
        "a false-match rate of 0.00999 needs 1,002 different-identity pairs; there are 1,000"
    )


def test_without_other_people_there_is_no_threshold() -> None:
    vectors = unit(np.eye(2))
    found = verify(*[side(vectors, ["a"] * 2)] * 2, protocol="no-camera")
    assert (found.same_pairs, found.different_pairs, found.equal_error) == (4, 0, None)
    assert [point.threshold for point in found.points] == [None] * 3
    assert found.curve.false_match.max() == 0
    assert found.wrong.rows.tolist() == [-1, -1]


def test_people_told_apart_have_no_equal_error() -> None:
    vectors = unit(np.eye(12))
    names = [str(k) for k in range(12)]
    found = verify(*[side(vectors, names)] * 2, protocol="no-camera", rates=(0.1,))
    assert found.equal_error.rate == Estimate(0.0)
    assert found.points[0].threshold == float(np.nextafter(np.float32(0), np.float32(1)))
    assert (found.points[0].false_matches, found.points[0].true_matches) == (0, 12)


def people_drawn(rng: np.random.Generator, count: int, queries: int, rows: int) -> dict:
    """People of whom some look like many others, so that all pairs of one person rise and fall together."""
    looks = rng.standard_normal((count, 16)) * rng.uniform(0.5, 1.5, (count, 1)) + 0.7
    return images_of(rng, looks, np.arange(count), queries, rows)


def images_of(rng: np.random.Generator, looks: np.ndarray, chosen: np.ndarray, queries: int, rows: int) -> dict:
    asked, shown = np.repeat(chosen, queries), np.repeat(chosen, rows)
    return {
        "query": unit(looks[asked] + 0.8 * rng.standard_normal((len(asked), 16))),
        "gallery": unit(looks[shown] + 0.8 * rng.standard_normal((len(shown), 16))),
        "query_identities": [str(x) for x in asked],
        "gallery_identities": [str(x) for x in shown],
        "query_cameras": [""] * len(asked),
        "gallery_cameras": [""] * len(shown),
        "protocol": "no-camera",
    }


def test_float32_products_give_the_thresholds_to_rounding_and_as_many_matches() -> None:
    case = people_drawn(np.random.default_rng(0), 60, 5, 10)
    exactly = of_case(verify, **case, products=PairProducts())
    for blocks in ({}, {"block_size": 7, "gallery_block_size": 100}):
        found = of_case(verify, **case, **blocks)
        for point, other in zip(found.points, exactly.points, strict=True):
            assert point.threshold == pytest.approx(other.threshold, abs=1e-6)
            assert point.false_matches == other.false_matches == math.floor(point.rate * found.different_pairs)
            assert point.false_match.error == pytest.approx(other.false_match.error, rel=1e-3)


def test_the_best_hits_agree_with_the_ranking() -> None:
    case = people_drawn(np.random.default_rng(1), 100, 3, 4)
    found, first = of_case(verify, **case), of_case(evaluate, **case).per_query.first_rank
    assert 0.2 < (first == 1).mean() < 0.9
    np.testing.assert_array_equal(found.true.scores > found.wrong.scores, first == 1)


def test_thresholds_keep_their_rate_on_other_people() -> None:
    """Of people split into halves, the threshold of one half gives the other half's pairs the rate, within the errors."""
    off = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        looks = rng.standard_normal((240, 16)) * rng.uniform(0.5, 1.5, (240, 1)) + 0.7
        here, there = (images_of(rng, looks, half, 2, 3) for half in np.split(rng.permutation(240), 2))
        for point, other in zip(of_case(verify, **here).points[:2], of_case(verify, **there).points[:2], strict=True):
            asked, shown = (np.array(there[name]) for name in ("query_identities", "gallery_identities"))
            scores = (there["query"] @ there["gallery"].T)[asked[:, None] != shown]
            measured = float((scores >= point.threshold).mean())
            error = math.hypot(point.false_match.error, other.false_match.error)
            off.append((measured - point.rate) / error)
    assert 0.7 < np.sqrt(np.mean(np.square(off))) < 1.35
    assert np.max(np.abs(off)) < 4.5


def drawn_again(people: int, draws: int) -> Iterator[tuple[dict, Verification, dict]]:
    """Yield what is found of a few people of many, and what is true of all of them at the thresholds found."""
    rng = np.random.default_rng(5)
    looks = rng.standard_normal((1500, 16)) * rng.uniform(0.5, 1.5, (1500, 1)) + 0.7
    everyone = images_of(rng, looks, np.arange(1500), 1, 1)
    scores = everyone["query"] @ everyone["gallery"].T
    different = np.sort(scores[~np.eye(1500, dtype=bool)])
    again = images_of(rng, looks, np.arange(1500), 20, 20)
    same = np.sort((again["query"] * again["gallery"]).sum(axis=1))

    def share(kind: np.ndarray, threshold: float) -> float:
        return 1 - float(np.searchsorted(kind, np.float32(threshold))) / len(kind)

    grid = np.linspace(-1, 1, 4001)
    equal = min(grid, key=lambda t: abs(share(different, t) - 1 + share(same, t)))
    for _ in range(draws):
        case = images_of(rng, looks, rng.choice(1500, people, replace=False), 2, 3)
        found = of_case(verify, **case, rates=(0.05, 0.01, 0.002))
        truth = {"equal": share(different, equal)}
        for point in found.points:
            truth[f"false {point.rate}"] = share(different, point.threshold)
            truth[f"true {point.rate}"] = share(same, point.threshold)
        yield case, found, truth


def error_by_queries(case: dict, threshold: float) -> float:
    """The standard error of the false-match rate as if queries were independent of each other."""
    asked, shown = (np.array(case[name]) for name in ("query_identities", "gallery_identities"))
    matches = (case["query"] @ case["gallery"].T >= threshold) & (asked[:, None] != shown)
    shares = matches.sum(axis=1) / (asked[:, None] != shown).sum(axis=1)
    return float(shares.std(ddof=1) / math.sqrt(len(shares)))


def test_the_intervals_hold_what_is_true_of_all_people_as_often_as_they_say() -> None:
    held: dict[str, list[bool]] = {}
    by_queries = []
    for case, found, truth in drawn_again(people=50, draws=250):
        estimates = {"equal": found.equal_error.rate}
        for point in found.points:
            estimates |= {f"false {point.rate}": point.false_match, f"true {point.rate}": point.true_match}
        for name, estimate in estimates.items():
            held.setdefault(name, []).append(estimate.low <= truth[name] <= estimate.high)
        point = found.points[0]
        width = 1.96 * error_by_queries(case, point.threshold)
        by_queries.append(abs(point.false_match.value - truth[f"false {point.rate}"]) <= width)
    for name, own in held.items():
        assert 0.9 <= np.mean(own) <= 0.996, name  # 95 %, with an error of 1.4 %
    assert np.mean(by_queries) < 0.85  # why the unit is the identity, on both sides


def test_few_people_have_no_error() -> None:
    rng = np.random.default_rng(2)
    nine, ten = (of_case(verify, **people_drawn(rng, count, 4, 5), rates=(0.1,)).points[0] for count in (9, 10))
    assert nine.false_match.error is nine.true_match.error is None
    assert ten.false_match.error > 0
    assert ten.false_match.low < ten.false_match.value < ten.false_match.high


def test_all_figures_are_json() -> None:
    found = of_case(verify, **people_drawn(np.random.default_rng(3), 20, 2, 3))
    text = json.dumps([found.summary(), found.curve.summary()], allow_nan=False)
    read, curve = json.loads(text)
    assert read["points"][0]["false_match"]["error"] == found.points[0].false_match.error
    assert read["points"][2]["threshold"] is None
    assert read["equal_error"]["threshold"] == found.equal_error.threshold
    assert found.histogram.different.sum() == read["different_pairs"] == 40 * 57
    assert (curve["false_match"][0], curve["true_match"][-1]) == (1.0, 0.0)


def test_a_histogram_with_fewer_bins_holds_as_many_pairs() -> None:
    fine = of_case(verify, **people_drawn(np.random.default_rng(4), 20, 2, 3)).histogram
    coarse = fine.rebinned(64)
    assert len(coarse.edges) == 65
    assert (coarse.edges[0], coarse.edges[1], coarse.edges[-1]) == (-1, -1 + 1 / 32, 1)
    for name in ("same", "different"):
        assert getattr(coarse, name)[40] == getattr(fine, name)[40 * 64 : 41 * 64].sum()
        assert getattr(coarse, name).sum() == getattr(fine, name).sum() > 0
    with pytest.raises(ValueError, match="4096 bins cannot be made 100"):
        fine.rebinned(100)


def test_what_cannot_be_compared_is_refused() -> None:
    vectors = unit(np.eye(3))
    names = list("abc")
    query = side(vectors, names)
    with pytest.raises(ValueError, match=r"rates \(0.1, 1\) are not all between 0 and 1"):
        verify(query, query, protocol="auto", rates=(0.1, 1))
    with pytest.raises(DataError, match="None of the 3 queries has a true match"):
        verify(query, side(vectors, list("xyz")), protocol="auto")
    with pytest.raises(ValueError, match="3 vectors, 2 identities"):
        verify(side(vectors, names[:2]), query, protocol="auto")
    with pytest.raises(DataError, match="query vectors are 3 wide, the gallery's 2"):
        verify(query, side(unit(np.eye(3, 2) + 1), names), protocol="auto")


def test_progress_reaches_its_total_in_each_pass() -> None:
    class Counting(Silent):
        def __init__(self) -> None:
            self.passes: list[list[int]] = []

        @contextlib.contextmanager
        def progress(self, description: str, total: int) -> Iterator[Advance]:
            self.passes.append([0, total])

            def advance(steps: int, text: str = "") -> None:
                self.passes[-1][0] += steps

            yield advance

    counting = Counting()
    case = people_drawn(np.random.default_rng(6), 20, 2, 3)
    of_case(verify, **case, block_size=7, gallery_block_size=25, reporter=counting)
    assert len(counting.passes) == 3
    assert {tuple(own) for own in counting.passes} == {(40 * 3, 40 * 3)}


def test_memory_does_not_grow_with_the_pairs() -> None:
    rng = np.random.default_rng(7)
    case = people_drawn(rng, 700, 2, 8)  # 8 million pairs: 31 MB of scores
    tracemalloc.start()
    with at_most(1_200):
        of_case(verify, **case, block_size=128, gallery_block_size=2048)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
