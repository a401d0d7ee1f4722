"""Embedding and both stages with and without torch.compile for the blocks of the towers."""

from __future__ import annotations

import contextlib
import copy
import functools
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
from scing_cli.core.encoders import compiled as module
from scing_cli.core.encoders.compiled import CompiledBlock

COMPILERS = ("cc", "gcc", "clang")


def measure(ground: Ground) -> Iterator[Figure]:
    """Measure embedding and both stages, where there is what compiles."""
    lacking = missing()
    if lacking and not ground.quick:  # which compiles nothing
        print(json.dumps({"part": "compile", "skipped": lacking}), flush=True)
        return
    batch = ground.sizes.steps[0][0]
    ways: dict[str, Callable[[bool], Rate]] = {
        "embedding": functools.partial(embedded, ground),
        "stage 2": lambda compiled: trained(visual(ground, batch, compiled=compiled)),
    }
    for views in reversed(VIEWS):
        make = functools.partial(tuning, ground, batch, views)
        ways[f"stage 1, {views}"] = lambda compiled, make=make: trained(make(compiled=compiled))
    for name, way in ways.items():
        yield from guarded(ground, f"{name}, compiled", beside(ground, name, way))


def missing() -> str | None:
    """Return what keeps kernels from being made here; None where nothing is missing."""
    if not any(map(shutil.which, filter(None, (os.environ.get("CC"), *COMPILERS)))):
        return "no C compiler"
    if importlib.util.find_spec("triton") is None:
        return "no Triton"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "no Python.h"
    return None


Rate = Callable[[], float]  # images/s


def embedded(ground: Ground, compiled: bool) -> Rate:
    """Return what measures the model alone; `scing embed` compiles nothing."""
    own = embedding.embedder(ground)
    if compiled:
        own.encoder = copy.deepcopy(own.encoder)
        own.encoder.forward = functools.partial(own.encoder.forward, run=CompiledBlock())
    return lambda: embedding.rate(ground, own, ground.sizes.batches[1])


def trained(ours: Ours) -> Rate:
    """Return what measures a stage's steps, as its setting `compile` takes them; its images are decoded before."""
    ours.run()
    return lambda: ours.settings.batch_size / ours.seconds()


@contextlib.contextmanager
def engine(ground: Ground) -> Iterator[None]:
    """Compile as the package does; in a quick run graphs are made, and run as they are."""
    usual = module.ENGINE
    module.ENGINE = "aot_eager" if ground.quick else usual
    try:
        yield
    finally:
        module.ENGINE = usual
        torch._dynamo.reset()


def beside(ground: Ground, name: str, make: Callable[[bool], Rate]) -> Iterator[Figure]:
    """Measure a rate in images/s with compiled blocks and without.

    Each figure's line has the graphs that were made: one for each shape and mode, not one for each block.
    """
    from torch._dynamo.utils import counters

    start = time.perf_counter()
    rate = make(False)
    ready, plain = time.perf_counter() - start, rate()
    counters.clear()
    with engine(ground):
        start = time.perf_counter()
        rate = make(True)
        rate()
        once, graphs = max(time.perf_counter() - start - ready, 0.0), made(counters)
        found = rate()
    more = {"plain, images/s": round(plain, 1), "compiling, s": round(once, 1), **graphs}
    later = made(counters)["graphs"] - graphs["graphs"]
    bound = f"{found / plain:.2f} x plain, {graphs['graphs'] + later} graphs"
    yield Figure(f"{name}, compiled blocks", found, "images/s", bound=bound, more={**more, "graphs later": later})
    yield Figure("  compiling, and a first run", once, "s", more=graphs)


def made(counters: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return how many graphs Dynamo has made, and how many frames it gave up."""
    frames = counters["frames"]
    return {"graphs": counters["stats"]["unique_graphs"], "frames given up": frames["total"] - frames["ok"]}
