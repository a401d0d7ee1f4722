"""Whether torch.compile pays: the towers' blocks through it and without, in embedding and in both stages."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from gpu_parts import embedding
from gpu_parts.ground import Figure, Ground
from gpu_parts.limits import guarded
from gpu_parts.steps import VIEWS, Ours, tuning, visual
from scing_cli.core.encoders import last_block

COMPILERS = ("cc", "gcc", "clang")


def measure(ground: Ground) -> Iterator[Figure]:
    """Measure embedding and both stages, where there is what compiles."""
    lacking = missing()
    if lacking and not ground.quick:  # which compiles nothing
        print(json.dumps({"part": "compile", "skipped": lacking}), flush=True)
        return
    batch = ground.sizes.steps[0][0]
    yield from guarded(ground, "embedding, compiled", beside(ground, "embedding", lambda: embedded(ground)))
    stages = {
        "stage 2": lambda: visual(ground, batch),
        f"stage 1, {VIEWS[1]}": lambda: tuning(ground, batch, VIEWS[1]),
    }
    for name, make in stages.items():
        yield from guarded(ground, f"{name}, compiled", beside(ground, name, lambda make=make: trained(make())))


def missing() -> str | None:
    """Return what keeps kernels from being made here; None where nothing is missing."""
    if not any(map(shutil.which, filter(None, (os.environ.get("CC"), *COMPILERS)))):
        return "no C compiler"
    if importlib.util.find_spec("triton") is None:
        return "no Triton"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "no Python.h"
    return None


def embedded(ground: Ground) -> Callable[[], float]:
    """Return what measures images/s of the model alone."""
    own = embedding.embedder(ground)
    return lambda: embedding.rate(ground, own, ground.sizes.batches[1])


def trained(ours: Ours) -> Callable[[], float]:
    """Return what measures images/s of a stage's steps; its images are decoded before."""
    ours.run()
    return lambda: ours.settings.batch_size / ours.seconds()


@contextlib.contextmanager
def compiled_blocks(ground: Ground) -> Iterator[None]:
    """Run every block but the last through torch.compile; in a quick run its graph is run as it is."""
    plain = last_block.run_block
    last_block.run_block = torch.compile(plain, backend="eager" if ground.quick else "inductor", dynamic=False)
    try:
        yield
    finally:
        last_block.run_block = plain
        torch._dynamo.reset()


def beside(ground: Ground, name: str, make: Callable[[], Callable[[], float]]) -> Iterator[Figure]:
    """Measure a rate in images/s with compiled blocks and without.

    Each figure's line has the graphs that were made: one for each shape and mode, not one for each block.
    """
    from torch._dynamo.utils import counters

    rate = make()
    plain = rate()
    counters.clear()
    with compiled_blocks(ground):
        start = time.perf_counter()
        rate()
        once, graphs = time.perf_counter() - start, made(counters)
        compiled = rate()
    more = {"plain, images/s": round(plain, 1), "first run, s": round(once, 1), **graphs}
    later = made(counters)["graphs"] - graphs["graphs"]
    bound = f"{compiled / plain:.2f} x plain, {graphs['graphs'] + later} graphs"
    yield Figure(f"{name}, compiled blocks", compiled, "images/s", bound=bound, more={**more, "graphs later": later})
    yield Figure("  first run, compiling", once, "s", more=graphs)


def made(counters: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return how many graphs Dynamo has made, and how many frames it gave up."""
    frames = counters["frames"]
    return {"graphs": counters["stats"]["unique_graphs"], "frames given up": frames["total"] - frames["ok"]}
