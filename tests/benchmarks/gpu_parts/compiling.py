"""Whether torch.compile pays: the towers' blocks through it and without, in embedding and in both stages."""

from __future__ import annotations

import contextlib
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
from scing_cli.core.encoders import compiled, last_block
from scing_cli.core.encoders.attention import RunBlock, run_block

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


Rate = Callable[[], float]
Put = Callable[[RunBlock | None], None]  # makes blocks run in a way; None for the plain one


def embedded(ground: Ground) -> tuple[Rate, Put]:
    """Return what measures images/s of the model alone; `scing embed` compiles nothing."""
    own, plain = embedding.embedder(ground), run_block

    def put(run: RunBlock | None) -> None:
        last_block.run_block = run or plain

    return lambda: embedding.rate(ground, own, ground.sizes.batches[1]), put


def trained(ours: Ours) -> tuple[Rate, Put]:
    """Return what measures images/s of a stage's steps, as `--compile` takes them; its images are decoded before."""
    ours.run()
    return lambda: ours.settings.batch_size / ours.seconds(), functools.partial(setattr, ours.task, "run")


@contextlib.contextmanager
def compiled_blocks(ground: Ground, put: Put) -> Iterator[None]:
    """Run every block but the last compiled; in a quick run its graph is run as it is."""
    engine = compiled.ENGINE
    compiled.ENGINE = "eager" if ground.quick else engine
    put(compiled.CompiledBlock())
    try:
        yield
    finally:
        put(None)
        compiled.ENGINE = engine
        torch._dynamo.reset()


def beside(ground: Ground, name: str, make: Callable[[], tuple[Rate, Put]]) -> Iterator[Figure]:
    """Measure a rate in images/s with compiled blocks and without.

    Each figure's line has the graphs that were made: one for each shape and mode, not one for each block.
    """
    from torch._dynamo.utils import counters

    rate, put = make()
    plain = rate()
    counters.clear()
    with compiled_blocks(ground, put):
        start = time.perf_counter()
        rate()
        once, graphs = time.perf_counter() - start, made(counters)
        found = rate()
    more = {"plain, images/s": round(plain, 1), "first run, s": round(once, 1), **graphs}
    later = made(counters)["graphs"] - graphs["graphs"]
    bound = f"{found / plain:.2f} x plain, {graphs['graphs'] + later} graphs"
    yield Figure(f"{name}, compiled blocks", found, "images/s", bound=bound, more={**more, "graphs later": later})
    yield Figure("  first run, compiling", once, "s", more=graphs)


def made(counters: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return how many graphs Dynamo has made, and how many frames it gave up."""
    frames = counters["frames"]
    return {"graphs": counters["stats"]["unique_graphs"], "frames given up": frames["total"] - frames["ok"]}
