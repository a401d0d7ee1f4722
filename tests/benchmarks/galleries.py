"""Use an index of many rows, with this version and an earlier one in turns: start a search, append, prune.

    git worktree add ../former a61a631
    python tests/benchmarks/galleries.py --former ../former [--rows 1000000] [--width 512] [--repeats 3] [--kind flat]

Each measurement is a process of its own. Its time begins after the imports and without a model, and ends when the hits
are there, or the changed index is committed; its memory is the most that it had besides mapped files, less what it had
at the beginning. Vectors are unit vectors around 1,000 centres, paths have 55 characters. Both versions must find the
same hits. One JSON line each; the last has the ratios of the medians. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CENTRES, CAMERAS, PEOPLE, CHANGED = 1000, 8, 20_000, 1000
ACTIONS = ("start", "start, one camera", "append", "prune")


def unit(count: int, width: int, seed: int) -> Any:
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((CENTRES, width), dtype=np.float32)
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


def make(path: Path, rows: int, width: int, kind: str) -> None:
    from scing_cli.core.index import GalleryIndex

    index = GalleryIndex.create(
        unit(rows, width, 1), entries(0, rows), model_digest="a" * 64, model={}, descriptor="projected", kind=kind
    )
    index.write(path)


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


def measure(action: str, path: Path, width: int, rows: int) -> dict[str, Any]:
    """Run one action in this process."""
    import scing_cli.core.index.gallery

    assert scing_cli.core.index.gallery
    import faiss

    faiss.IndexFlatIP(4)
    work: dict[str, Callable[[], list[Any]]] = {
        "start": lambda: start(path, width, rows, camera=False),
        "start, one camera": lambda: start(path, width, rows, camera=True),
        "append": lambda: append(path, width, rows),
        "prune": lambda: prune(path, width, rows),
    }
    with watched_memory() as memory:
        began = time.perf_counter()
        answer = work[action]()
        seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 3), "MB": round(memory[0]), "answer": answer}


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
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", default="flat", choices=["flat", "ivf", "hnsw"])
    parser.add_argument("--folder", type=Path, help="where the indexes are written; by default a temporary folder")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        action, path, rows, width, *kind = given.child
        if action == "make":
            make(Path(path), int(rows), int(width), kind[0])
        else:
            print(json.dumps(measure(action, Path(path), int(width), int(rows))))
        return
    versions = {"now": Path(__file__).parents[2]} | ({"former": given.former.resolve()} if given.former else {})
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        compare(versions, Path(folder), given)


def compare(versions: dict[str, Path], folder: Path, given: argparse.Namespace) -> None:
    places = {name: folder / name / "gallery.faiss" for name in versions}
    for name, code in versions.items():
        began = time.perf_counter()
        child(code, "make", places[name], given.rows, given.width, given.kind)
        print(
            json.dumps(
                {"version": name, "action": "make, with the data", "seconds": round(time.perf_counter() - began, 1)}
            )
        )
    medians: dict[str, dict[str, float]] = {}
    for action in ACTIONS:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
        repeats = given.repeats if action.startswith("start") else 1  # the others change the index
        for _ in range(repeats):
            for name, code in versions.items():
                found[name].append(child(code, action, places[name], given.rows, given.width))
        answers = [measured.pop("answer") for own in found.values() for measured in own]
        if any(answer != answers[0] for answer in answers):
            raise SystemExit(f"{action}: different answers: {answers}")
        for name, own in found.items():
            medians.setdefault(action, {})[name] = statistics.median(measured["seconds"] for measured in own)
            print(json.dumps({"version": name, "action": action, "measured": own}), flush=True)
    ratios = {action: round(own["former"] / own["now"], 1) for action, own in medians.items() if "former" in own}
    print(json.dumps({"rows": given.rows, "width": given.width, "kind": given.kind, "former / now": ratios}))


if __name__ == "__main__":
    main()
