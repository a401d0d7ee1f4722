"""Re-ranking against the usual dense way.

python tests/benchmarks/rerank.py                1,000 x 5,000: both ways and their ratio; 3,368 x 15,913: ours alone
python tests/benchmarks/rerank.py --dense-too    3,368 x 15,913: the dense way as well (some 8 GB)

Vectors are 512 wide: a centre for each of as many people as make 20 images each, and noise; 5 % of the gallery show
people of their own. The usual way: an N x N matrix of float32 distances, `np.argsort` of all of it, loops over the
points with a dense N x N matrix of weights. Every run is a fresh process, so that its peak memory (ru_maxrss) is its own,
with Python, numpy and the vectors. Results must agree to 1e-5 in 99 % of the pairs: the dense way's float32 gets some
neighbours wrong that are almost equally near. For fewer threads set OMP_NUM_THREADS and OPENBLAS_NUM_THREADS, which bind
both ways. The last line is JSON.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import platform
import resource
import time
from typing import NamedTuple

import numpy as np

from scing_cli import __version__
from scing_cli.core.evaluation import Reranking, Side, evaluate, reranked_distances
from scing_cli.core.evaluation.cost import reranking_cost

SMALL, MARKET = (1_000, 5_000), (3_368, 15_913)
WIDTH = 512
NOISE = 0.13  # of each number, beside a centre of length 1
DISTRACTORS = 0.05
NEAR = 1e-5
SAMPLE = 50  # queries whose distances are compared


class Run(NamedTuple):
    """Seconds, peak memory in GB, and the first queries' distances, shape (50, G)."""

    seconds: float
    memory: float
    distances: np.ndarray


def side(count: int, people: int, seed: int, lonely: float) -> Side:
    """Draw one side, 512 wide; a share of it are distractors."""
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((people, WIDTH), np.float32) / WIDTH**0.5
    who = dice.integers(0, people, count)
    vectors = centres[who]
    alone = dice.random(count) < lonely
    vectors[alone] = dice.standard_normal((int(alone.sum()), WIDTH), np.float32) / WIDTH**0.5
    who[alone] = people + np.arange(int(alone.sum()))
    vectors += NOISE * dice.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    identities, cameras = list(map(str, who)), list(map(str, dice.integers(0, 6, count)))
    return Side(vectors, identities=identities, cameras=cameras)


def drawn(queries: int, rows: int) -> tuple[Side, Side]:
    return side(queries, rows // 20, 1, 0.0), side(rows, rows // 20, 2, DISTRACTORS)


def dense(query: np.ndarray, gallery: np.ndarray, settings: Reranking) -> np.ndarray:
    """Re-rank with whole matrices, as the field's scripts do."""
    points = np.concatenate([query, gallery])
    distances = 2 - 2 * points @ points.T
    distances /= distances.max(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1).astype(np.int32)
    wide, narrow = settings.k1 + 1, round(settings.k1 / 2) + 1
    weights = np.zeros_like(distances)

    def reciprocal(point: int, count: int) -> np.ndarray:
        near = order[point, :count]
        return near[(order[near, :count] == point).any(axis=1)]

    for point in range(len(points)):
        own = reciprocal(point, wide)
        members = [own]
        for other in own:
            theirs = reciprocal(other, narrow)
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                members.append(theirs)
        found = np.unique(np.concatenate(members))
        weight = np.exp(-distances[point, found])
        weights[point, found] = weight / weight.sum()
    weights = np.stack([weights[order[point, : settings.k2]].mean(axis=0) for point in range(len(points))])
    holders = [np.flatnonzero(weights[:, column]) for column in range(len(points))]
    result = np.empty((len(query), len(gallery)), dtype=np.float32)
    for number in range(len(query)):
        smaller = np.zeros(len(points), dtype=np.float32)
        for column in np.flatnonzero(weights[number]):
            rows = holders[column]
            smaller[rows] += np.minimum(weights[number, column], weights[rows, column])
        jaccard = 1 - smaller / (2 - smaller)
        mixed = (1 - settings.lambda_) * jaccard + settings.lambda_ * distances[number]
        result[number] = mixed[len(query) :]
    return result


def measured(way: str, queries: int, rows: int) -> Run:
    """Run one way once; called in a process of its own."""
    query, gallery = (own.vectors for own in drawn(queries, rows))
    settings, started = Reranking(), time.perf_counter()
    if way == "dense":
        first = dense(query, gallery, settings)[:SAMPLE]
    else:
        first = np.stack(
            [row for number, row in enumerate(reranked_distances(query, gallery, settings)) if number < SAMPLE]
        )
    seconds = time.perf_counter() - started
    return Run(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, first)


def in_own_process(way: str, queries: int, rows: int) -> Run:
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        run = pool.submit(measured, way, queries, rows).result()
    print(f"{queries:,} x {rows:,} x 512, {way}: {run.seconds:.1f} s, peak memory {run.memory:.2f} GB")
    return run


def compare(queries: int, rows: int, *, both: bool) -> dict[str, object]:
    ours = in_own_process("ours", queries, rows)
    line = {"name": f"re-ranking, {queries:,} x {rows:,} x 512", "reference": None, "ours": ours.seconds, "ratio": None}
    if both:
        usual = in_own_process("dense", queries, rows)
        apart = np.abs(ours.distances - usual.distances)
        share = 100 * float((apart > NEAR).mean())
        print(
            f"  ratio {usual.seconds / ours.seconds:.1f}; {share:.2f} % of the distances are more than {NEAR:g} apart"
        )
        if share > 1:
            raise SystemExit(f"not equal: up to {apart.max():.1g} apart")
        line |= {"reference": usual.seconds, "ratio": usual.seconds / ours.seconds, "reference GB": usual.memory}
    versions = {"scing": __version__, "numpy": np.__version__, "python": platform.python_version()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return line | {"unit": "s", "ours GB": ours.memory, "machine": machine, "versions": versions}


def figures(queries: int, rows: int) -> None:
    """Print what the rankings score, plain and re-ranked, and what was said of the cost beforehand."""
    query, gallery = drawn(queries, rows)
    print(f"  said beforehand: {reranking_cost(queries, rows, WIDTH, Reranking())}")
    for reranking in (None, Reranking()):
        scores = evaluate(query, gallery, protocol="market", reranking=reranking)
        print(f"  {reranking or 'plain'}: mAP {scores.mAP:.2f}, mINP {scores.mINP:.2f}, rank-1 {scores.rank1:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dense-too", action="store_true")
    given = parser.parse_args()
    lines = [compare(*SMALL, both=True), compare(*MARKET, both=given.dense_too)]
    figures(*MARKET)
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
