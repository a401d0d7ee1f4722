"""Embedding: the model alone on pixels in device memory, and JPEG files to an index."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from gpu_parts.ground import Figure, Ground
from gpu_parts.limits import guarded
from scing_cli.core.batches import ImageLoader, sequential
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.errors import counted
from scing_cli.core.index import GalleryIndex, entry_of
from scing_cli.core.runtime import Advance, Silent
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice

BATCH = 256  # of files to an index


def embedder(ground: Ground, precision: str = "bf16") -> TorchEmbedder:
    """Return what `scing embed` runs on the device."""
    return TorchEmbedder(
        ground.clip.image,
        kind="projected",
        device=ground.device,
        precision=precision,
        batch_size=BATCH,
        workers=ground.cores,
    )


def rate(ground: Ground, own: TorchEmbedder, batch: int) -> float:
    """Return images/s of the model alone."""
    size = own.geometry
    pixels = torch.randint(256, (batch, 3, size.height, size.width), dtype=torch.uint8, device=ground.device)
    inner = 2 if ground.quick else max(2, 4_096 // batch)
    return batch / ground.median(lambda: own.tensors(pixels), warm=5, inner=inner)


def alone(ground: Ground) -> Iterator[Figure]:
    """Measure the model alone, in bf16 at several batches, and as `--precision auto` has it."""
    own = embedder(ground)
    rates = {batch: rate(ground, own, batch) for batch in ground.sizes.batches}
    best = max(rates, key=rates.__getitem__)
    ground.rates["embedding"] = rates[best]
    more = {
        "images/s": {batch: round(found, 1) for batch, found in rates.items()},
        "operations of an image": ground.image_operations,
    }
    share = ground.share(ground.image_operations, 1 / rates[best])
    yield Figure(f"forward, bf16, batches of {best}", rates[best], "images/s", bound=f"{share:.0f} % of products")
    yield Figure("  of the matrix rate", share, "%", aim=50, bound="its own kernels", more=more)
    full = rate(ground, embedder(ground, "fp32"), BATCH if BATCH in rates else best)
    yield Figure("forward, fp32 (--precision auto)", full, "images/s", bound="float32 products")


class Clock(Silent):
    """Notes when each progress bar opened and closed."""

    def __init__(self) -> None:
        self.spans: dict[str, tuple[float, float]] = {}

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """Open a bar that nobody sees."""
        start = time.perf_counter()
        with super().progress(description, total) as advance:
            yield advance
        self.spans[description] = (start, time.perf_counter())


def files(ground: Ground) -> Iterator[Figure]:
    """Measure `scing embed` on JPEG files: in bf16, each of its parts alone, and as it is by default."""
    count = ground.sizes.files
    folder, few = ground.fill("files", count), ground.fill("few", 16)
    fast = Machine(device=ground.device.type, precision="bf16", workers=ground.cores, batch_size=BATCH)
    _index(ground, few, fast)  # leaves the inference copy, as the first embedding does
    parts = _index(ground, folder, fast)
    work = {name: seconds for name, seconds in parts.items() if name not in {"start", "whole"}}
    slowest = max(work, key=work.__getitem__)
    told = {"seconds": _rounded(parts), "workers": ground.cores, "batch": BATCH}
    yield Figure(
        f"{count:,} JPEGs to an index, bf16, {ground.cores} workers",
        count / sum(work.values()),
        "images/s",
        aim=10_000,
        bound=slowest,
        more={**told, "note": "without the start: model built, weights drawn, its digest"},
    )
    yield Figure("  with the start of the model", count / parts["whole"], "images/s", bound=slowest)
    for name, seconds in work.items():
        yield Figure(f"  in it: {name}", count / seconds, "images/s")
    yield from guarded(ground, "parts of embed alone", _components(ground, folder))
    machine = Machine(device=ground.device.type)
    parts = _index(ground, folder, machine)
    rated = count / (parts["whole"] - parts["start"])
    name = f"  by default: {machine.threads()} workers, batches of {machine.batch_size}"
    yield Figure(name, rated, "images/s", bound="--precision auto", more={"seconds": _rounded(parts)})


def _index(ground: Ground, folder: Path, machine: Machine) -> dict[str, float]:
    """Make an index of a folder's files; return the seconds of each part of it."""
    clock, output = Clock(), ground.folder / "gallery.faiss"
    start = time.perf_counter()
    embed(
        ModelChoice(model=ground.sizes.model, pretrained="random"),
        GalleryChoice(images=folder),
        output=output,
        force=True,
        machine=machine,
        reporter=clock,
    )
    end = time.perf_counter()
    digests, embedded = clock.spans["digests"], clock.spans["embed"]
    return {
        "start": digests[0] - start,
        "digests": digests[1] - digests[0],
        "embed": embedded[1] - embedded[0],
        "write": end - embedded[1],
        "whole": end - start,
    }


def _components(ground: Ground, folder: Path) -> Iterator[Figure]:
    """Measure decoding, digests, the model and the index, each alone."""
    paths = sorted(folder.iterdir())
    yield from _decoding(ground, paths)
    start = time.perf_counter()
    with ThreadPoolExecutor(ground.cores) as pool:
        entries = list(pool.map(entry_of, paths))
    yield _alone("digests", len(paths), start)
    found = rate(ground, embedder(ground), min(BATCH, max(ground.sizes.batches)))
    yield Figure("  model alone", found, "images/s")
    vectors = np.random.default_rng(0).standard_normal((len(paths), ground.clip.image.embed_dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    index = GalleryIndex.create(vectors, entries, model_digest="0" * 64, model={}, descriptor="projected", kind="flat")
    index.write(ground.folder / "alone.faiss")
    yield _alone("index", len(paths), start)


def _decoding(ground: Ground, paths: list[Path]) -> Iterator[Figure]:
    """Measure decoding by more and more threads, which share Python's lock, with as many files for each."""
    size, rates = ground.clip.image.geometry, list[float]()
    for threads in sorted({1, min(4, ground.cores), ground.cores}):
        few = paths[: max(len(paths) * threads // ground.cores, BATCH)]
        loader = ImageLoader(
            few, height=size.height, width=size.width, interpolation=size.interpolation, workers=threads
        )
        start = time.perf_counter()
        for _ in loader.batches(sequential(len(few), BATCH)):
            pass
        rates.append(len(few) / (time.perf_counter() - start))
        bound = f"{rates[-1] / rates[0]:.1f} x one thread"
        yield Figure(f"  decoding alone, {counted(threads, 'thread')}", rates[-1], "images/s", bound=bound)


def _alone(name: str, count: int, start: float) -> Figure:
    """Return the rate of one part alone, which began then."""
    return Figure(f"  {name} alone", count / (time.perf_counter() - start), "images/s")


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in parts.items()}
