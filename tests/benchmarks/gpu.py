"""What a GPU makes of the package, in one call of less than nine minutes.

python tests/benchmarks/gpu.py                          on the GPU: ViT-B/16 at 256x128, random weights
python tests/benchmarks/gpu.py --device cpu --quick     a tiny model and tiny sizes: shows that it runs
python tests/benchmarks/gpu.py --parts stage2 files     some parts alone; the device's rates are always measured

First the device itself: its bf16 matrix rate and how fast it copies. Then embedding, a step of either stage against the
usual way, both stages for a few epochs, evaluation; last, whether torch.compile would pay, and which kernels take the
time. Prints a JSON line for each figure as it is found, and a table at the end. A part that fails, or takes longer than
it may, prints its error as a JSON line; the others still run. What is counted as an operation: see `gpu_parts/ground.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import measuring
import torch
from gpu_parts import embedding, ranking, rates, stages, steps
from gpu_parts.ground import FULL, QUICK, Figure, Ground, temporary_place

from scing_cli.core.runtime import choose_device, device_name

CLOSING = 5.0  # seconds kept for the end


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Args:
        measure: Yields its figures.
        seconds: What it may take.
    """

    measure: Callable[[Ground], Iterator[Figure]]
    seconds: float


PARTS = {
    "rates": Part(rates.measure, 40),
    "embedding": Part(embedding.alone, 50),
    "stage2": Part(steps.stage2, 90),
    "stage1": Part(steps.stage1, 80),
    "stages": Part(stages.measure, 150),
    "files": Part(embedding.files, 80),
    "evaluation": Part(ranking.measure, 150),
    "compile": Part(steps.compiled, 100),
    "profile": Part(steps.profiled, 40),
}


class LateError(Exception):
    """A part took longer than it may."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `LateError` in the block when it takes longer; a call into a library is waited for."""

    def late(number: int, frame: object) -> None:
        raise LateError(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(name: str, part: Part, ground: Ground) -> Iterator[Figure]:
    """Yield a part's figures as they come, and print their lines; its error is one too."""
    limit = min(part.seconds, ground.left() - CLOSING)
    if limit <= 1:
        print(json.dumps({"part": name, "skipped": "no time left"}), flush=True)
        return
    start, head = time.monotonic(), ""
    try:
        with limited(limit):
            for figure in part.measure(ground):
                head = head if figure.belongs else figure.name
                print(figure.line(name, head), flush=True)
                yield figure
    except Exception as error:  # noqa: BLE001 - the other parts still run
        where = [f"{Path(row.filename).name}:{row.lineno}" for row in traceback.extract_tb(error.__traceback__)][-6:]
        told = {"part": name, "error": f"{type(error).__name__}: {error}", "where": where}
        print(json.dumps(told), flush=True)
    ground.forget_peak()
    print(json.dumps({"part": name, "seconds": round(time.monotonic() - start, 1)}), flush=True)


def table(found: Iterable[tuple[str, Figure]]) -> str:
    """Return the figures as a table, 100 columns wide."""
    rows = [f"{'figure':<47}{'value':>10} {'unit':<9}{'aim':>7} {'met':<4}bound by"]
    part = ""
    for own, figure in found:
        if own != part:
            rows.append(f"-- {own}")
            part = own
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 10_000 else f"{figure.value:,.4g}"
        aim = "" if figure.aim is None else f"{'>' if figure.least else '<'}{figure.aim:g}"
        row = f"{figure.name[:46]:<47}{value:>10} {figure.unit:<9}{aim:>7} {figure.met():<4}{figure.bound}"
        rows.append(row[:100].rstrip())
    return "\n".join(rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and tiny sizes")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.5, help="after which no part begins")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args()


def main() -> None:
    given = arguments()
    measuring.QUICK["quick"] = given.quick
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    device, sizes = choose_device(given.device), QUICK if given.quick else FULL
    found: list[tuple[str, Figure]] = []
    with tempfile.TemporaryDirectory(prefix="scing-gpu-", dir=temporary_place()) as place:
        os.environ["SCING_CACHE"] = str(Path(place) / "cache")
        deadline = time.monotonic() + 60 * given.minutes
        ground = Ground(device, sizes, Path(place), quick=given.quick, deadline=deadline)
        about = {"device": device_name(device), "machine": measuring.machine(), "versions": measuring.versions()}
        print(json.dumps({**about, "model": Path(sizes.model).stem, "quick": given.quick}), flush=True)
        for name in (name for name in PARTS if name == "rates" or name in given.parts):
            found += [(name, figure) for figure in measured(name, PARTS[name], ground)]
    print(f"\n{about['device']}, torch {torch.__version__}\n{table(found)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
