"""Thresholds from one half of the people have the same false-match rate on the other half, within the reported errors.

The people are drawn, their vectors those of the CLIP that comes with the package.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from oracles.sides import of_case

from scing_cli.core.datasets import read_data
from scing_cli.core.evaluation import verify
from scing_cli.core.evaluation.sampling import People, estimate, left_out

PEOPLE, CAMERAS, SPLITS = 80, 4, 12
PAIRS = (PEOPLE // 2 * CAMERAS) ** 2 - PEOPLE // 2 * CAMERAS**2  # of different people in a half: 24,960


@dataclasses.dataclass(frozen=True)
class Half:
    """Some of the people: what `verify` takes, and all pairs of queries and rows: their scores, and which are whose."""

    case: dict
    scores: np.ndarray
    alike: np.ndarray

    def rate(self, threshold: float) -> float:
        """The false-match rate at a threshold, by counting."""
        return float((self.scores[~self.alike] >= threshold).mean())

    def error(self, threshold: float) -> float:
        """How far off the library takes that rate to be."""
        people = People.of(self.case["query_identities"], self.case["gallery_identities"])
        (matches, own), (whole, own_pairs) = (
            (int(pairs.sum()), people.asking(pairs.sum(axis=1)) + people.shown(pairs.sum(axis=0)))
            for pairs in (~self.alike & (self.scores >= threshold), ~self.alike)
        )
        return estimate(matches / whole, left_out(matches, whole, own, own_pairs)).error or 0.0


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from scing_cli.core.synthetic import write_world

    folder = tmp_path_factory.mktemp("held out") / "world"
    settings = {"cameras": CAMERAS, "images_per_camera": 1, "seed": 3, "workers": 2}
    write_world(folder, identities=1, test_identities=PEOPLE, **settings)
    return folder


@pytest.fixture(scope="module")
def everyone(world):
    """Vectors and labels of all people, as `verify` takes them."""
    from scing_cli.core.runtime import Silent
    from scing_cli.core.workflows.evaluate.vector_cache import cached_side
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.shared.model import ModelChoice, open_model

    model = open_model(ModelChoice(model="scing-tiny"), reporter=Silent())
    embedder, case = Machine().embedder(model.encoder, kind="projected"), {}
    for part in ("query", "gallery"):
        side = cached_side(read_data(world).manifest, part, model, embedder, Silent())
        case[part] = np.asarray(side.vectors)
        case[f"{part}_identities"], case[f"{part}_cameras"] = np.array(side.identities), np.array(side.cameras)
    return case


def half_of(everyone, people):
    case = {"protocol": "market"}
    for part in ("query", "gallery"):
        own = np.isin(everyone[f"{part}_identities"], people)
        case[part] = everyone[part][own]
        for labels in (f"{part}_identities", f"{part}_cameras"):
            case[labels] = everyone[labels][own].tolist()
    alike = np.array(case["query_identities"])[:, None] == np.array(case["gallery_identities"])
    return Half(case, case["query"] @ case["gallery"].T, alike)


def halves(everyone, seed):
    people = np.random.default_rng(seed).permutation(sorted(set(everyone["query_identities"])))
    return [half_of(everyone, own) for own in np.split(people, 2)]


def off_by(everyone, seed):
    """How far the rate of the other half is off that of one half at its thresholds: in combined errors of both, and in
    errors as of independent pairs."""
    here, there = halves(everyone, seed)
    found, off, naive = of_case(verify, **here.case), {}, {}
    thresholds = {point.rate: point.threshold for point in found.points[:2]}
    for name, threshold in (thresholds | {"equal": found.equal_error.threshold}).items():
        rate = here.rate(threshold)
        moved = there.rate(threshold) - rate
        off[name] = moved / math.hypot(here.error(threshold), there.error(threshold))
        naive[name] = moved / math.sqrt(2 * rate * (1 - rate) / PAIRS)
    return off, naive


def test_thresholds_of_one_half_hold_for_the_other_within_the_errors(everyone):
    told = [off_by(everyone, seed) for seed in range(SPLITS)]
    for name in (1e-2, 1e-3, "equal"):
        off, naive = (np.abs([own[name] for own in kind]) for kind in zip(*told, strict=True))
        assert off.max() < 3, (name, off)
        assert (off < 2).mean() > 0.9, (name, off)
        assert off.max() > 0.5, (name, off)  # errors that hold everything say nothing
        assert naive.max() > 3, (name, naive)  # why pairs are not counted as if they were independent


def test_threshold_rate_and_error_are_those_of_all_pairs_of_a_half(everyone):
    for half in halves(everyone, 0):
        found = of_case(verify, **half.case)
        assert found.different_pairs == (~half.alike).sum() == PAIRS
        assert found.points[2].threshold is None
        different = half.scores[~half.alike]
        for point in found.points[:2]:
            assert half.rate(point.threshold) == point.false_match.value <= point.rate
            assert half.rate(max(different[different < point.threshold])) > point.rate
            assert point.false_match.error == pytest.approx(half.error(point.threshold))


def test_a_search_by_the_rate_of_one_half_meets_as_many_strangers_in_the_other(scing, world, everyone, tmp_path):
    manifest = read_data(world).manifest
    here, there = halves(everyone, 1)
    for name, half in (("here", here), ("there", there)):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(("path", "identity", "camera", "split"))
            known = set(half.case["query_identities"])
            table.writerows(
                (manifest.file(row), row.identity, row.camera, row.split) for row in manifest if row.identity in known
            )
    model, index = ("--model", "scing-tiny"), tmp_path / "there.faiss"
    asked = ("--data", tmp_path / "here.csv", "--output", tmp_path / "report")
    assert scing("evaluate", *model, *asked).code == 0
    assert scing("embed", *model, "--data", tmp_path / "there.csv", "--output", index).code == 0
    people = {str(manifest.file(row)): row.identity for row in manifest.part("query")}
    photos = [path for path, identity in people.items() if identity in set(there.case["query_identities"])]
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    for point in report["verification"]["points"][:2]:
        options = ("-k", len(photos), "--false-match-rate", point["rate"], "--report", tmp_path / "report", "--json")
        results = scing("search", *photos, "--index", index, *options).json["results"]
        strangers = sum(hit["identity"] != people[own["query"]] for own in results for hit in own["hits"])
        rate, threshold = strangers / PAIRS, point["threshold"]
        assert rate == pytest.approx(there.rate(threshold), abs=2 / PAIRS)
        assert abs(rate - point["rate"]) < 3 * math.hypot(point["false_match"]["error"], there.error(threshold))
