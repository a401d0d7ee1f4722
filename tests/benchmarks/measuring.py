"""Shared by the benchmarks: alternating runs of both sides, medians, and one JSON line with baseline and machine."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scing_cli import __version__

QUICK = {"quick": False}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PACKAGES = ("torch", "open_clip_torch", "openvino", "faiss-cpu", "numpy", "pillow")


def options(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with --quick, --repeats and --threads; `settle` reads them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one repeat: shows that it runs, not how fast"
    )
    parser.add_argument("--repeats", type=int, help=f"timed runs of each side ({repeats}; 1 with --quick)")
    parser.add_argument("--threads", type=int, default=CORES, help="of torch")
    parser.set_defaults(usual_repeats=repeats)
    return parser


def settle(given: argparse.Namespace) -> argparse.Namespace:
    """Fill in the repeats and set torch's threads."""
    import torch

    QUICK["quick"] = given.quick
    given.repeats = given.repeats or (1 if given.quick else given.usual_repeats)
    torch.set_num_threads(given.threads)
    return given


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(reference: Callable[[], object], ours: Callable[[], object], repeats: int, *, warm: bool = True) -> Any:
    """Return the seconds of each run of either side, taken in turns; `warm` runs each once before, untimed."""
    if warm:
        reference()
        ours()
    pairs = [(seconds(reference), seconds(ours)) for _ in range(repeats)]
    return tuple(map(list, zip(*pairs, strict=True)))


def line(
    name: str, reference: Sequence[float], ours: Sequence[float], *, work: float | None = None, **more: Any
) -> dict[str, Any]:
    """Print one JSON line and return it.

    Args:
        name: What was timed, at what size.
        reference: Seconds of the usual way's runs.
        ours: Seconds of our runs.
        work: Images in a run: the line then gives images per second. The ratio says how many times faster ours is.
        more: Further fields.
    """
    slow, fast = statistics.median(reference), statistics.median(ours)
    shown = (slow, fast) if work is None else (work / slow, work / fast)
    spread = {
        f"{side}_range": [round(min(each), 4), round(max(each), 4)]
        for side, each in (("reference", reference), ("ours", ours))
    }
    told = {
        "name": name,
        "reference": round(shown[0], 4),
        "ours": round(shown[1], 4),
        "ratio": round(slow / fast, 2),
        "unit": "s" if work is None else "images/s",
        "machine": machine(),
        "versions": versions(),
        "runs": len(ours),
        "seconds": spread,
        **({"quick": "shows that it runs, not how fast"} if QUICK["quick"] else {}),
        **more,
    }
    print(json.dumps(told), flush=True)
    return told


def machine() -> str:
    """Return the CPU's name, its cores, and which bf16 instructions it has."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace") if Path("/proc/cpuinfo").exists() else ""
    names = [row.partition(":")[2].strip() for row in text.splitlines() if row.startswith("model name")]
    known = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in text]
    name = names[0] if names else platform.processor() or platform.machine()
    return ", ".join([name, f"{CORES} cores", *(known or ["no bf16"])])


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and what it computes with."""
    found = {"python": platform.python_version(), "scing": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
