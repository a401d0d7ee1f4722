"""What a report says of single queries: lines, the best and the worst, their nearest rows, against plain loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from oracles import report as oracle
from oracles.sides import of_case, sides_of

from scing_cli.core.evaluation import Side, choose_protocol, evaluate
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.evaluate.ranked import EvaluationReport
from scing_cli.core.workflows.evaluate.report import Subject, findings
from scing_cli.core.workflows.evaluate.report.findings import HITS, SHOWN, Findings, gather

PROTOCOLS = ("market", "no-camera")


def people(seed: int, queries: int = 24, rows: int = 60) -> dict:
    """Vectors whose products are exact in float32, with many ties; labels with gaps, some queries in the gallery."""
    rng = np.random.default_rng(seed)
    vectors = []
    for count in (queries, rows):
        own = np.zeros((count, 8), dtype=np.float32)
        for vector in own:
            vector[rng.choice(8, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
        vectors.append(own)
    names, images = ["anna", "ben", "carl", "dora"], ["", *map(str, range(30))]
    return {
        "query": vectors[0],
        "gallery": vectors[1],
        "query_identities": [str(x) for x in rng.choice([*names, *names, "", "nobody else"], queries)],
        "gallery_identities": [str(x) for x in rng.choice([*names, *names, "", "0000"], rows)],
        "query_cameras": [str(x) for x in rng.choice(["", "1", "2", "3"], queries)],
        "gallery_cameras": [str(x) for x in rng.choice(["", "1", "2", "3"], rows)],
        "query_keys": [str(x) for x in rng.choice(images, queries)],
        "gallery_keys": [str(x) for x in rng.choice(images, rows)],
    }


def sides(case: dict) -> tuple[Side, Side]:
    """The sides of a case, with names."""
    query, gallery = (
        dataclasses.replace(side, names=[f"{name} {number}" for number in range(len(side))])
        for name, side in zip(("query", "gallery"), sides_of(case), strict=True)
    )
    return query, gallery


def found(case: dict, protocol: str) -> Findings:
    scores = of_case(evaluate, **case, protocol=protocol)
    chosen = choose_protocol(protocol, case["query_cameras"], case["gallery_cameras"])
    report = EvaluationReport(scores, chosen, len(case["gallery"]), "data", "model", None)
    return gather(report, sides(case), Subject(), products=None, reporter=Silent())


def with_precisions(precisions: list[float]) -> Findings:
    """Findings of queries with these average precisions."""
    case = people(0, queries=len(precisions))
    own = found(case | {"query_identities": ["anna"] * len(precisions)}, "no-camera")
    scores = own.report.scores
    single = dataclasses.replace(scores.per_query, average_precision=np.array(precisions))
    report = dataclasses.replace(own.report, scores=dataclasses.replace(scores, per_query=single))
    return dataclasses.replace(own, report=report)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(6))
def test_every_query_has_its_line(seed: int, protocol: str) -> None:
    case = people(seed)
    for number, (name, camera, key) in enumerate((("seen by one camera", "1", ""), ("alone", "2", "own image"))):
        for side in ("query", "gallery"):
            for what, value in (("identities", name), ("cameras", camera), ("keys", key)):
                case[f"{side}_{what}"][number] = value
    case["query_identities"][2:4] = ["", "nobody else"]
    query, gallery = sides(case)
    lines = list(found(case, protocol).lines())
    assert len(lines) == len(query.names)
    for number, line in enumerate(lines):
        expected = oracle.query_line(case, protocol, number, query.names, gallery.names)
        told = {name: math.nan if value == "" and expected[name] != "" else value for name, value in line.items()}
        assert told == pytest.approx(expected, nan_ok=True)
        assert list(line) == list(expected)
    lost = {"", "unknown", "absent", "itself"} | ({"same_camera"} if protocol == "market" else set())
    assert {line["lost"] for line in lines} == lost
    assert max(line["ignored"] for line in lines) > 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("block", [1, 7, 59, 60, 8192])
def test_rankings_are_those_of_the_loops_whatever_the_blocks(block: int, protocol: str, monkeypatch) -> None:
    monkeypatch.setattr(findings, "BLOCK", block)
    case = people(block)
    numbers = [5, 0, 23, 11]
    rankings = found(case, protocol).rankings(numbers)
    assert list(rankings) == numbers
    for number, ranking in rankings.items():
        assert ranking == oracle.best_rows(case, protocol, number, HITS)
        assert len(ranking) == HITS


def test_a_ranking_holds_no_row_that_does_not_count() -> None:
    case = people(1, rows=8) | {"query_identities": ["anna"] * 24, "gallery_identities": ["anna"] * 7 + ["ben"]}
    case |= {"query_cameras": ["1"] * 24, "gallery_cameras": ["1"] * 5 + ["2"] * 3}
    case |= {"query_keys": ["me"] * 24, "gallery_keys": [""] * 5 + ["me", "", ""]}
    rankings = found(case, "market").rankings([0, 1])
    assert [sorted(row for row, _ in ranking) for ranking in rankings.values()] == [[6, 7]] * 2


def test_the_best_the_median_and_the_worst_are_told_by_average_precision() -> None:
    precisions = np.random.default_rng(3).permutation(np.linspace(0.01, 1, 41))
    order = np.argsort(-precisions).tolist()
    assert with_precisions(precisions.tolist()).extremes() == {
        "best": order[:SHOWN],
        "median": order[18:23],
        "worst": order[: -SHOWN - 1 : -1],
    }


def test_queries_that_do_not_count_are_never_shown() -> None:
    precisions = [0.5, math.nan, 0.9, math.nan, *[0.7] * 16]
    groups = with_precisions(precisions).extremes()
    assert groups["best"][0] == 2
    assert groups["worst"][0] == 0
    assert not {1, 3} & {number for own in groups.values() for number in own}


def test_of_equal_precisions_the_first_are_the_best_and_the_last_the_worst() -> None:
    assert with_precisions([1.0] * 20).extremes() == {
        "best": [0, 1, 2, 3, 4],
        "median": [8, 9, 10, 11, 12],
        "worst": [19, 18, 17, 16, 15],
    }


def test_of_equal_precisions_each_person_comes_once_before_anybody_comes_twice() -> None:
    own = with_precisions([1.0] * 8 + [0.5] * 4 + [0.1] * 8)
    names = ["anna"] * 5 + ["ben", "carl", "ben", "dora", "emil", "fay", "fay"] + ["gus"] * 6 + ["hal"] * 2
    own = dataclasses.replace(own, query=dataclasses.replace(own.query, identities=names))
    assert own.extremes() == {
        "best": [0, 5, 6, 1, 7],
        "median": [8, 9, 10, 11, 12],
        "worst": [19, 17, 18, 16, 15],
    }


@pytest.mark.parametrize("count", range(1, 17))
def test_few_queries_are_shown_once_and_the_worst_first(count: int) -> None:
    precisions = np.linspace(1, 0.1, count)
    groups = with_precisions(precisions.tolist()).extremes()
    shown = [number for own in groups.values() for number in own]
    assert sorted(shown) == list(range(count))[: len(shown)] if count <= 3 * SHOWN else len(shown) == 3 * SHOWN
    assert len(set(shown)) == len(shown) == min(count, 3 * SHOWN)
    assert groups["worst"] == list(range(count))[: -SHOWN - 1 : -1]
    assert list(groups) == ["worst", "median", "best"]
    assert all(precisions[a] > precisions[b] for a in groups["best"] for b in groups["median"] + groups["worst"])
    assert all(precisions[a] > precisions[b] for a in groups["median"] for b in groups["worst"])
