"""All GPU benchmarks of the package, in one call of less than nine minutes.

python tests/benchmarks/gpu.py                          on the GPU: ViT-B/16 at 256x128, random weights
python tests/benchmarks/gpu.py --device cpu --quick     a tiny model and tiny sizes: shows that it runs
python tests/benchmarks/gpu.py --parts stage2 files     some parts alone; the device's rates are always measured

First the device itself: its bf16 matrix rate and how fast it copies. Then embedding, a step of either stage against the
usual way, both stages for a few epochs, an index of files, evaluation; last, which kernels take the time, whether
torch.compile would pay, and stage 2 in a process for each GPU. Prints a JSON line for each figure as it is found; at the end a JSON line that sums up the
figures with an aim, and a table. A part that fails, or takes longer than it may, prints its error as a JSON line; the
others still run. After Ctrl-C or SIGTERM no part begins, and the table is of what was found. What is counted as an
operation: see `gpu_parts/ground.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measuring
import torch
from gpu_parts import compiling, embedding, profiling, ranking, rates, scaling, stages, steps
from gpu_parts.ground import FULL, QUICK, Figure, Ground, temporary_place
from gpu_parts.limits import Limit, told

from scing_cli.core.devices import choose_device, device_name
from scing_cli.core.errors import SettingError

CLOSING = 5.0  # seconds kept for the end
HANGING = 10.0  # seconds after the last part's time in which a call that is waited for must have come back
MOST, LEAST = 2.0, 0.75  # times what it is expected to take: what a part may take, and what it leaves each after it


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Args:
        measure: Yields its figures.
        seconds: What it is expected to take on an H200 with 16 cores.
    """

    measure: Callable[[Ground], Iterator[Figure]]
    seconds: float


PARTS = {
    "rates": Part(rates.measure, 15),
    "embedding": Part(embedding.alone, 25),
    "stage2": Part(steps.stage2, 65),
    "stage1": Part(steps.stage1, 55),
    "stages": Part(stages.measure, 130),
    "files": Part(embedding.files, 45),
    "evaluation": Part(ranking.measure, 75),
    "profile": Part(profiling.measure, 20),
    "compile": Part(compiling.measure, 70),
    "several": Part(scaling.measure, 60),
}
Found = list[tuple[str, str, Figure]]  # the part, the figure that it belongs to or its own name, the figure


def measured(name: str, part: Part, ground: Ground, limit: Limit, *, found: Found, later: float = 0.0) -> None:
    """Add a part's figures to what was found as they come, and print their lines; its error is one too.

    Args:
        name: Of the part.
        part: What is measured.
        ground: Where.
        limit: Ends it.
        found: Is added to.
        later: Seconds that the parts after it are expected to take.
    """
    allowed = min(MOST * part.seconds, ground.deadline - time.monotonic() - CLOSING - LEAST * later)
    if limit.over or allowed <= 1:
        print(json.dumps({"part": name, "skipped": "ended by a signal" if limit.over else "no time left"}), flush=True)
        return
    start, head = time.monotonic(), ""
    ground.end = start + allowed
    try:
        try:
            limit.arm(allowed, f"stopped after {allowed:.0f} s")
            ground.forget_peak()  # what an error of the part before held is gone now
            with contextlib.closing(part.measure(ground)) as figures:
                for figure in figures:
                    head = head if figure.belongs else figure.name
                    found.append((name, head, figure))
                    line = {**figure.told(name, head), "bound": figure.bound, **figure.more}
                    print(json.dumps(line), flush=True)
        finally:
            limit.disarm()
    except BaseException as error:  # noqa: BLE001 - the other parts still run
        limit.disarm()  # an alarm may have come before it was taken off
        limit.heard(error)
        print(json.dumps({"part": name, **told(error)}), flush=True)
    print(json.dumps({"part": name, "seconds": round(time.monotonic() - start, 1)}), flush=True)


def table(found: Found) -> str:
    """Return the figures as a table, at most 100 columns wide."""
    rows = [f"{'figure':<47}{'value':>10} {'unit':<9}{'aim':>7} {'met':<4}bound by"]
    part = ""
    for own, _, figure in found:
        if own != part:
            rows.append(f"-- {own}")
            part = own
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 10_000 else f"{figure.value:,.4g}"
        aim = "" if figure.aim is None else f"{'>=' if figure.least else '<='}{figure.aim:g}"
        row = f"{figure.name[:46]:<47}{value:>10} {figure.unit:<9}{aim:>7} {figure.met():<4}{figure.bound}"
        rows.append(row[:100].rstrip())
    return "\n".join(rows)


def summary(found: Found) -> str:
    """Return the figures with an aim as one JSON line."""
    aimed = [figure.told(part, head) for part, head, figure in found if figure.aim is not None]
    return json.dumps({"figures": len(found), "met": sum(each["met"] == "yes" for each in aimed), "aims": aimed})


def shown(title: str, found: Found) -> None:
    """Print what was found."""
    print(f"{summary(found)}\n\n{title}\n{table(found)}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model and tiny sizes")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.5, help="after which all parts have ended")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args()


def hung(title: str, found: Found, *places: str) -> None:
    """End where a call into a library never came back: no alarm reaches it, and no signal."""
    print(json.dumps({"error": "a call did not come back: this is what was found before it"}), flush=True)
    shown(title, found)
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
    os._exit(1)


def main(limit: Limit) -> None:
    given = arguments()
    measuring.QUICK["quick"] = given.quick
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a log may know no µ
    try:
        device, sizes = choose_device(given.device), QUICK if given.quick else FULL
    except SettingError as error:
        sys.exit(f"{error} --quick --device cpu shows that the script runs.")
    title, found = f"{device_name(device)}, torch {torch.__version__}", Found()
    deadline = time.monotonic() + 60 * given.minutes
    temporary = functools.partial(tempfile.TemporaryDirectory, prefix="scing-gpu-", ignore_cleanup_errors=True)
    with temporary(dir=temporary_place()) as place, temporary() as kernels:
        last = threading.Timer(60 * given.minutes + HANGING, hung, (title, found, place, kernels))
        last.daemon = True
        last.start()
        os.environ["SCING_CACHE"] = str(Path(place) / "cache")
        for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):  # empty, and never in memory that runs no library
            os.environ[name] = str(Path(kernels) / name.lower())
        ground = Ground(device, sizes, Path(place), quick=given.quick, deadline=deadline)
        about = {"device": device_name(device), "machine": measuring.machine(), "versions": measuring.versions()}
        about |= {"CUDA": torch.version.cuda, "cores": ground.cores}
        print(json.dumps({**about, "model": Path(sizes.model).stem, "quick": given.quick}), flush=True)
        names = [name for name in PARTS if name == "rates" or name in given.parts]
        try:
            for number, name in enumerate(names, 1):
                later = sum(PARTS[each].seconds for each in names[number:])
                measured(name, PARTS[name], ground, limit, found=found, later=later)
        finally:
            shown(title, found)


if __name__ == "__main__":
    with Limit() as limited:
        main(limited)
    sys.exit(128 + limited.over if limited.over else 0)
