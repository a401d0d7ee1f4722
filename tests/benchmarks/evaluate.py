"""Evaluation against the usual way, and at a size for which the usual way needs too much memory.

python tests/benchmarks/evaluate.py             3,368 x 15,913 x 512: both ways in turns, and their ratio
python tests/benchmarks/evaluate.py --quick     100 x 500, one noise: shows that it runs
python tests/benchmarks/evaluate.py --large     10,000 x 1,000,000 x 512 from memory-mapped files: time and peak memory

The usual way: float32 distances, `np.argsort(axis=1)`, a loop over the queries. Both sides compute their own products.
The first is timed at several noises: the worse a model, the more rows stand above its true hits. For fewer threads set
OMP_NUM_THREADS and OPENBLAS_NUM_THREADS, which bind both sides. One JSON line for each noise; `--large` ends in one.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import in_turns, line, options, settle

from scing_cli.core.evaluation import Scores, evaluate
from scing_cli.core.evaluation import Side as LabelledSide
from scing_cli.core.workflows.evaluate.evaluate_saved import evaluate_saved

DISTRACTORS = 0.05
MARKET, SMALL = (3_368, 15_913, 751), (100, 500, 25)  # queries, gallery, people
NOISES = (0.09, 0.13, 0.2)  # of each number, beside a centre of length 1


@dataclasses.dataclass
class Side:
    """Vectors of one side, shape (N, D), unit length, with their labels as numbers."""

    vectors: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray

    def labelled(self) -> LabelledSide:
        identities, cameras = (list(map(str, numbers)) for numbers in (self.identities, self.cameras))
        return LabelledSide(self.vectors, identities=identities, cameras=cameras)


def fill(vectors: np.ndarray, identities: np.ndarray, seed: int, noise: float) -> None:
    """Write a centre per identity with noise, in blocks: the array may be a file."""
    width = vectors.shape[1]
    for low in range(0, len(vectors), 50_000):
        own = identities[low : low + 50_000]
        centres = {int(who): np.random.default_rng(int(who)).standard_normal(width) for who in np.unique(own)}
        block = np.stack([centres[int(who)] / np.sqrt(width) for who in own])
        block += noise * np.random.default_rng((seed, low)).standard_normal(block.shape)
        vectors[low : low + 50_000] = block / np.linalg.norm(block, axis=1, keepdims=True)


def side(
    count: int,
    people: int,
    cameras: int,
    width: int,
    seed: int,
    *,
    lonely: float = 0.0,
    noise: float = NOISES[0],
    file: str = "",
) -> Side:
    """Draw one side; a share of it are distractors: people of their own."""
    dice = np.random.default_rng(seed)
    identities = dice.integers(0, people, count)
    alone = dice.random(count) < lonely
    identities[alone] = people + np.arange(int(alone.sum()))
    shape = (count, width)
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, shape) if file else np.empty(shape, np.float32)
    fill(vectors, identities, seed, noise)
    return Side(vectors, identities, dice.integers(0, cameras, count))


def usual(query: Side, gallery: Side) -> tuple[float, float]:
    """Return mAP and rank-1 as the field's scripts compute them."""
    distances = 2 - 2 * (torch.from_numpy(query.vectors) @ torch.from_numpy(gallery.vectors).T).numpy()
    order = np.argsort(distances, axis=1)
    matches = gallery.identities[order] == query.identities[:, None]
    precisions, first = [], []
    for number in range(len(query.vectors)):
        ranked = order[number]
        same = gallery.identities[ranked] == query.identities[number]
        kept = ~(same & (gallery.cameras[ranked] == query.cameras[number]))
        found = matches[number][kept]
        if not found.any():
            continue
        first.append(found[0])
        running = found.cumsum() / np.arange(1, len(found) + 1)
        precisions.append((running * found).sum() / found.sum())
    return 100 * float(np.mean(precisions)), 100 * float(np.mean(first))


def ours(query: Side, gallery: Side) -> Scores:
    """Return what `scing evaluate` computes."""
    return evaluate(query.labelled(), gallery.labelled(), protocol="market")


def compare(size: tuple[int, int, int], repeats: int, noise: float) -> None:
    """Time both ways in turns, on Market-1501's size with about 18 true hits per query; they must agree."""
    queries, rows, people = size
    query = side(queries, people, 6, 512, 1, noise=noise)
    gallery = side(rows, people, 6, 512, 2, lonely=DISTRACTORS, noise=noise)
    scores, (precision, rank1) = ours(query, gallery), usual(query, gallery)
    if abs(scores.mAP - precision) > 1e-3 or abs(scores.rank1 - rank1) > 0.05:
        raise SystemExit(f"mAP {scores.mAP} and {precision}, rank-1 {scores.rank1} and {rank1}: not equal")
    times = in_turns(partial(usual, query, gallery), partial(ours, query, gallery), repeats, warm=False)
    line(f"evaluation, {queries:,} x {rows:,} x 512, noise {noise}", *times, mAP=round(scores.mAP, 2))


class Watch(threading.Thread):
    """Follows this process's anonymous memory (Linux)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = max(self.peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))


def large(folder: str, queries: int, rows: int) -> dict[str, float]:
    """Score a folder of arrays as `scing evaluate --embeddings` does: 20 true hits per query, 15 cameras, distractors."""
    people = rows // 20
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        for name, count, seed, lonely in (("query", queries, 1, 0.0), ("gallery", rows, 2, DISTRACTORS)):
            drawn = side(count, people, 15, 512, seed, lonely=lonely, file=f"{place}/{name}.npy")
            np.save(f"{place}/{name}_identity.npy", drawn.identities)
            np.save(f"{place}/{name}_camera.npy", drawn.cameras)
            del drawn
        watch = Watch()
        watch.start()
        started = time.perf_counter()
        scores = evaluate_saved(Path(place), protocol="market").scores
        took = time.perf_counter() - started
        watch.ended.set()
    memory = watch.peak * 1024 / 1e9
    print(
        f"{queries:,} x {rows:,} x 512: {took:.0f} s, peak anonymous memory {memory:.2f} GB, "
        f"mAP {scores.mAP:.2f}, rank-1 {scores.rank1:.2f}, {scores.valid_queries:,} queries count"
    )
    return {"queries": queries, "rows": rows, "seconds": took, "anonymous GB": memory, "mAP": scores.mAP}


def main() -> None:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--folder", default="", help="where the memory-mapped files are written (2 GB)")
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = settle(parser.parse_args())
    if given.large:
        print(json.dumps(large(given.folder, given.queries, given.rows)))
        return
    for noise in NOISES[: 1 if given.quick else None]:
        compare(SMALL if given.quick else MARKET, given.repeats, noise)


if __name__ == "__main__":
    main()
