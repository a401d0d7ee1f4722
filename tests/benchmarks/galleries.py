"""Use an index of many rows, with this version and an earlier one in turns: make it, start a search, append, prune.

    git worktree add ../former a61a631
    python tests/benchmarks/galleries.py --former ../former [--rows 1000000] [--width 512] [--repeats 3] [--kind flat]
    python tests/benchmarks/galleries.py --rows 10000000 --width 64 [--kind ivf]    # this version alone
    python tests/benchmarks/galleries.py --former ../former --former-rows 100000 --kind ivf    # a tenth as many there

Each measurement is a process of its own. Its time begins after the imports and without a model, and ends when the hits
are there, or the changed index is committed; its memory is the most that it had besides mapped files, less what it had
at the beginning. Vectors are unit vectors around 1,000 centres, paths have 55 characters. This version makes the index
piece by piece, as `embed` does; an earlier one that cannot has all rows in memory. `cpu` is the time of all cores. Both
versions must find the same hits. Of an ivf or hnsw, the recall@10 of new queries is compared with that of all rows, and with what the index states.
One JSON line each; the last has the ratios of the medians. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CENTRES, CAMERAS, PEOPLE, CHANGED = 1000, 8, 20_000, 1000
ACTIONS = ("start", "start, one camera", "append", "prune")
BLOCK, QUERIES = 1 << 16, 200
UNSEEN = 10**6  # seed of centres that the gallery does not have


def unit(count: int, width: int, seed: int, centred: int = 0) -> Any:
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(centred).standard_normal((CENTRES, width), dtype=np.float32)
    vectors = centres[dice.integers(0, CENTRES, count)] + dice.standard_normal((count, width), dtype=np.float32) / 2
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def entries(first: int, count: int) -> list[Any]:
    from scing_cli.core.index import Entry

    return [
        Entry(
            f"/data/station/hall-{number % CAMERAS}/2026-05-01/{number:012d}_crop.jpg",
            9000 + number % 999,
            10**18 + number,
            f"{number:064x}",
            f"{number % PEOPLE:06d}",
            str(number % CAMERAS),
        )
        for number in range(first, first + count)
    ]


class Drawn:
    """The vectors and rows of the index. The vectors lie in a file, so that nothing that is timed draws them."""

    def __init__(self, rows: int, width: int, source: Path) -> None:
        self.rows, self.width, self.table, self.source = rows, width, self, source

    def draw(self) -> None:
        whole = np.lib.format.open_memmap(self.source, "w+", np.float32, (self.rows, self.width))
        for first in range(0, self.rows, BLOCK):
            whole[first : first + BLOCK] = unit(min(BLOCK, self.rows - first), self.width, BLOCK + first // BLOCK)
        whole.flush()

    @functools.cached_property
    def _whole(self) -> Any:
        return np.load(self.source, mmap_mode="r")

    def blocks(self) -> Iterator[Any]:
        return (np.array(self._whole[first : first + BLOCK]) for first in range(0, self.rows, BLOCK))

    def vectors(self, ids: Any) -> Any:
        return self._whole[ids]

    def have(self, field: str) -> bool:
        return field in {"identity", "camera"}

    def find(self, ids: Any) -> dict[int, Any]:
        from scing_cli.core.index import Row

        first, last = int(min(ids)), int(max(ids))
        known = entries(first, last - first + 1) if last - first < 2 * len(ids) else None
        return {number: Row.of(number, known[number - first] if known else entries(number, 1)[0]) for number in ids}


def drawn_for(path: Path, width: int, rows: int) -> Drawn:
    return Drawn(rows, width, path.parent.with_suffix(".npy"))


def make(path: Path, width: int, rows: int, kind: str) -> list[Any]:
    from scing_cli.core.index import GalleryIndex

    drawn, known = drawn_for(path, width, rows), {"model_digest": "a" * 64, "model": {}, "descriptor": "projected"}
    if hasattr(GalleryIndex, "borrow"):
        index = GalleryIndex.empty(width, kind=kind, **known)
        index.borrow(lambda: drawn, np.arange(rows))
    else:
        index = GalleryIndex.create(np.concatenate(list(drawn.blocks())), entries(0, rows), kind=kind, **known)
    index.write(path)
    return [len(index)]


def recall(path: Path, width: int, rows: int) -> list[Any]:
    """Return recall@10 of new queries around the centres and around others, what is stated, and ms a query."""
    import faiss

    from scing_cli.core.index import GalleryIndex

    index = GalleryIndex.read(path)
    index.search(unit(1, width, 4), 10)
    known, unseen = unit(QUERIES, width, 4), unit(QUERIES, width, 4, UNSEEN)
    began = time.perf_counter()
    found = [[hit.score for hit in index.search(query[None], 10)[0]] for query in np.concatenate([known, unseen])]
    milliseconds = (time.perf_counter() - began) / len(found) * 1000
    best = np.empty((len(found), 0), np.float32)
    for block in drawn_for(path, width, rows).blocks():
        own, _ = faiss.knn(np.concatenate([known, unseen]), block, 10, metric=faiss.METRIC_INNER_PRODUCT)
        best = np.sort(np.concatenate([best, own], axis=1), axis=1)[:, -10:]
    shares = (np.array(found) >= best[:, :1] - 1e-5).mean(axis=1)
    return [round(float(own), 4) for own in (shares[:QUERIES].mean(), shares[QUERIES:].mean(), index.recall())] + [
        round(milliseconds, 2)
    ]


def start(path: Path, width: int, rows: int, *, camera: bool) -> list[Any]:
    from scing_cli.core.index import GalleryIndex, RowFilter

    allowed = RowFilter(cameras=frozenset({"3"})) if camera else None
    hits = GalleryIndex.read(path).search(unit(1, width, 2), 10, allowed=allowed)[0]
    return [(hit.row.id, hit.row.path, hit.score) for hit in hits]


def append(path: Path, width: int, rows: int) -> list[Any]:
    from scing_cli.core.index import GalleryIndex

    index = GalleryIndex.read(path)
    index.add(unit(CHANGED, width, 3), entries(rows, CHANGED))
    index.write(path)
    return [len(index)]


def prune(path: Path, width: int, rows: int) -> list[Any]:
    from scing_cli.core.index import GalleryIndex

    index = GalleryIndex.read(path)
    index.remove(range(rows // 2, rows // 2 + CHANGED))
    index.write(path)
    return [len(index)]


def as_gallery(path: Path) -> list[Any]:
    """Read the rows as `evaluate --index` does."""
    from scing_cli.core.index import as_location
    from scing_cli.core.runtime import Silent
    from scing_cli.core.workflows.evaluate.index_gallery import indexed_side

    index = as_location(path).open()
    model: Any = types.SimpleNamespace(digest=index.stamp.model_digest, label=str)
    embedder: Any = types.SimpleNamespace(kind=index.stamp.descriptor, width=index.width)
    return [len(indexed_side(index, as_location(path), model, embedder, Silent()))]


def measure(action: str, path: Path, width: int, rows: int, kind: str) -> dict[str, Any]:
    """Run one action in this process."""
    import scing_cli.core.index.gallery

    assert scing_cli.core.index.gallery
    import faiss

    faiss.IndexFlatIP(4)
    work: dict[str, Callable[[], list[Any]]] = {
        "draw": lambda: [drawn_for(path, width, rows).draw()],
        "make": lambda: make(path, width, rows, kind),
        "recall": lambda: recall(path, width, rows),
        "start": lambda: start(path, width, rows, camera=False),
        "start, one camera": lambda: start(path, width, rows, camera=True),
        "append": lambda: append(path, width, rows),
        "prune": lambda: prune(path, width, rows),
        "evaluate --index": lambda: as_gallery(path),
    }
    with watched_memory() as memory:
        began, busy = time.perf_counter(), time.process_time()
        answer = work[action]()
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    return {"seconds": round(seconds, 3), "cpu": round(cpu, 3), "MB": round(memory[0]), "answer": answer}


@contextlib.contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Yield a list whose only number becomes the most anonymous memory of this process, in MB, less that of before."""
    most, before, ended = [0.0], anonymous(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], anonymous() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def anonymous() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def child(code: Path, *arguments: object) -> dict[str, Any]:
    """Run this script with another version of the package."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(code)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--former-rows", type=int, help="of the other version; by default as many")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", default="flat", choices=["flat", "ivf", "hnsw"])
    parser.add_argument("--folder", type=Path, help="where the indexes are written; by default a temporary folder")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        action, path, rows, width, kind = given.child
        print(json.dumps(measure(action, Path(path), int(width), int(rows), kind)))
        return
    versions = {"now": Path(__file__).parents[2]} | ({"former": given.former.resolve()} if given.former else {})
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        compare(versions, Path(folder), given)


def compare(versions: dict[str, Path], folder: Path, given: argparse.Namespace) -> None:
    places = {name: folder / name / "gallery.faiss" for name in versions}
    sizes = {"now": given.rows, "former": given.former_rows or given.rows}
    alike = given.kind == "flat" and sizes["now"] == sizes["former"]
    for name, code in versions.items():
        child(code, "draw", places[name], sizes[name], given.width, given.kind)
    medians: dict[str, dict[str, float]] = {}
    once = [] if given.former else ["evaluate --index"]
    for action in ("make", *(["recall"] if given.kind != "flat" else []), *ACTIONS, *once):
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
        repeats = given.repeats if action.startswith("start") else 1  # the others change the index
        for _ in range(repeats):
            for name, code in versions.items():
                found[name].append(child(code, action, places[name], sizes[name], given.width, given.kind))
        answers = [measured.pop("answer") for own in found.values() for measured in own]
        if action == "recall":
            told = ("new queries", "of unseen things", "stated", "ms a query")
            print(json.dumps({"action": action, "answers": [dict(zip(told, own, strict=True)) for own in answers]}))
        elif alike and any(answer != answers[0] for answer in answers):
            raise SystemExit(f"{action}: different answers: {answers}")
        for name, own in found.items():
            medians.setdefault(action, {})[name] = statistics.median(measured["seconds"] for measured in own)
            print(json.dumps({"version": name, "action": action, "measured": own}), flush=True)
    ratios = {action: round(own["former"] / own["now"], 1) for action, own in medians.items() if "former" in own}
    print(json.dumps({"rows": sizes, "width": given.width, "kind": given.kind, "former / now": ratios}))


if __name__ == "__main__":
    main()
