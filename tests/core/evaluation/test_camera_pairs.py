"""Camera by camera: equal to a ranking of each camera's rows by loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.ranking import evaluate_by_loops
from oracles.sides import of_case, side

from scing_cli.core.evaluation import CameraPair, compare_cameras, evaluate


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = unit(rng.standard_normal((draw(st.integers(1, 15)), 6)))
    queries, rows = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    people, images = [*"abcd", "", "0000"], ["", *map(str, range(30))]
    keys = {
        "query_keys": [str(x) for x in rng.choice(images, queries)],
        "gallery_keys": [str(x) for x in rng.choice(images, rows)],
    }
    return (keys if draw(st.booleans()) else {}) | {
        "query": pool[rng.integers(0, len(pool), queries)],
        "gallery": pool[rng.integers(0, len(pool), rows)],
        "query_identities": [str(x) for x in rng.choice(people, queries)],
        "gallery_identities": [str(x) for x in rng.choice(people, rows)],
        "query_cameras": [str(x) for x in rng.choice(["", "2", "10", "b"], queries)],
        "gallery_cameras": [str(x) for x in rng.choice(["", "2", "10"], rows)],
    }


def part(case: dict, side: str, camera: str) -> dict:
    """One camera's rows of one side."""
    chosen = [k for k, seen in enumerate(case[f"{side}_cameras"]) if seen == camera]
    own = {name: [case[name][k] for k in chosen] for name in case if name.startswith(f"{side}_")}
    return own | {side: case[side][chosen]}


@settings(deadline=None, max_examples=60)
@given(case=cases(), protocol=st.sampled_from(["market", "no-camera"]), block=st.sampled_from([1, 3, 64]))
def test_equals_the_loops_over_each_cameras_rows(case: dict, protocol: str, block: int) -> None:
    found = of_case(compare_cameras, **case, protocol=protocol, block_size=block, gallery_block_size=block)
    orders = [
        [name for name in ("2", "b", "10", "") if name in case[f"{side}_cameras"]] for side in ("query", "gallery")
    ]
    assert [(own.query_camera, own.gallery_camera) for own in found] == [(q, g) for q in orders[0] for g in orders[1]]
    for own in found:
        sides = part(case, "query", own.query_camera) | part(case, "gallery", own.gallery_camera)
        precision, _, cmc, results = evaluate_by_loops(**sides, protocol=protocol)
        valid = sum(result is not None for result in results)
        assert (own.queries, own.valid_queries, own.gallery) == (len(results), valid, len(sides["gallery"]))
        if valid:
            assert (own.mAP, own.rank1) == (pytest.approx(precision, abs=1e-9), pytest.approx(cmc[0], abs=1e-9))
        else:
            assert own.mAP is own.rank1 is None


def test_a_bad_camera_shows() -> None:
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((40, 32))
    cameras = ["1", "2", "3"]
    names = [f"{person}" for person in range(40) for _ in cameras]
    seen = cameras * 40
    vectors = unit(np.repeat(looks, 3, axis=0) + [[0.4], [0.4], [2.0]] * 40 * rng.standard_normal((120, 32)))
    found = compare_cameras(*[side(vectors, names, seen)] * 2, protocol="auto")
    rank1 = {(own.query_camera, own.gallery_camera): own.rank1 for own in found}
    assert [rank1[name, name] for name in cameras] == [None] * 3
    assert min(rank1["1", "2"], rank1["2", "1"]) > 95
    assert max(rank1[pair] for pair in [("1", "3"), ("3", "1"), ("2", "3"), ("3", "2")]) < 80
    assert json.loads(json.dumps(found[1].summary(), allow_nan=False))["gallery_camera"] == "2"


def test_without_cameras_there_is_one_pair_and_it_is_the_whole() -> None:
    rng = np.random.default_rng(1)
    names = [str(x) for x in rng.integers(0, 9, 50)]
    run = side(unit(rng.standard_normal((20, 8))), names[:20]), side(unit(rng.standard_normal((30, 8))), names[20:])
    scores = evaluate(*run, protocol="auto")
    (found,) = compare_cameras(*run, protocol="auto")
    assert found == CameraPair("", "", 20, scores.valid_queries, 30, pytest.approx(scores.mAP), scores.rank1)


def test_parts_that_do_not_fit_are_refused() -> None:
    two = unit(np.eye(2))
    with pytest.raises(ValueError, match="2 vectors, 1 identities"):
        compare_cameras(side(two, ["a"]), side(two, ["a"] * 2), protocol="market")
