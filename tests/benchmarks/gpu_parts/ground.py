"""Shared by all parts: device, sizes, model, files, clock, and the rates that figures are compared with.

Operations are those that the mathematics needs, counted while our towers run on shapes: a multiply-add is two, products
and convolutions alone count, and of the last block only what is read. A backward counts twice its forward where weights
are learnt, once where only a gradient passes through.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import gc
import math
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.clip import ClipModel, empty_clip, load_clip
from scing_cli.core.manifest import Manifest
from scing_cli.core.synthetic import write_world

TINY = str(Path(__file__).resolve().parents[2] / "models" / "test-clip.json")
CAMERAS = 6
SHARED = Path("/dev/shm")
OTHERS = 8  # people to test, of four images each


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        model: Of the towers, with random weights.
        products: (m, k, n) of the matrix products whose best rate is the device's.
        copied: Bytes of a copy.
        repeats: Timed runs; the median counts.
        batches: Of embedding.
        drawn: People drawn; eight JPEG files of each are copied to as many files as are needed.
        files: JPEG files that become an index.
        images: Training images.
        people: Training identities.
        steps: (batch, timed steps of a run) of stage 2; of the first, stage 1 too.
        epochs: Measured of each stage.
        evaluations: (queries, gallery rows).
        subset: Queries that the CPU too ranks in the largest gallery.
    """

    model: str
    products: tuple[tuple[int, int, int], ...]
    copied: int
    repeats: int
    batches: tuple[int, ...]
    drawn: int
    files: int
    images: int
    people: int
    steps: tuple[tuple[int, int], ...]
    epochs: int
    evaluations: tuple[tuple[int, int], ...]
    subset: int


FULL = Sizes(
    model="ViT-B-16-quickgelu",
    products=((8192, 8192, 8192), (16384, 8192, 8192), (64 * 129, 768, 3072), (512 * 129, 768, 3072)),
    copied=2**30,
    repeats=5,
    batches=(64, 256, 512),
    drawn=48,
    files=20_000,
    images=12_936,
    people=751,
    steps=((64, 40), (256, 12)),
    epochs=4,
    evaluations=((3_368, 15_913), (10_000, 1_000_000)),
    subset=500,
)
QUICK = Sizes(
    model=TINY,
    products=((64, 64, 64), (64, 32, 128)),
    copied=2**20,
    repeats=2,
    batches=(8, 16),
    drawn=2,
    files=24,
    images=48,
    people=12,
    steps=((8, 2),),
    epochs=2,
    evaluations=((60, 300), (80, 600)),
    subset=20,
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        name: What was measured; indented where it belongs to the figure before.
        value: The figure.
        unit: Its unit.
        aim: What it should reach; None for none.
        least: Whether the aim is a least value; else it is a greatest.
        bound: What bounds it, as far as that is known.
        more: Further fields of its JSON line.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    least: bool = True
    bound: str = ""
    more: dict[str, Any] = dataclasses.field(default_factory=dict)

    def met(self) -> str:
        """Return yes, no, or nothing where there is no aim."""
        if self.aim is None:
            return ""
        return "yes" if (self.value >= self.aim if self.least else self.value <= self.aim) else "no"

    @property
    def belongs(self) -> bool:
        """Whether it belongs to the last figure that does not: its name is indented."""
        return self.name.startswith(" ")

    def told(self, part: str, head: str) -> dict[str, Any]:
        """Return the fields of its JSON line; `head` names the figure that it belongs to, or itself."""
        aim = {} if self.aim is None else {"aim": self.aim, "met": self.met()}
        value = float(f"{self.value:.5g}") if math.isfinite(self.value) else None
        of = {"of": head} if self.belongs else {}
        return {"part": part, "name": self.name.strip(), **of, "value": value, "unit": self.unit, **aim}


class Ground:
    """What every part stands on.

    Args:
        device: Where it is measured.
        sizes: How much.
        folder: For files; empty.
        quick: Whether it only shows that it runs.
        deadline: When all must be done, as `time.monotonic` counts.
    """

    def __init__(self, device: torch.device, sizes: Sizes, folder: Path, *, quick: bool, deadline: float) -> None:
        self.device = device
        self.sizes = sizes
        self.folder = folder
        self.quick = quick
        self.deadline = deadline
        self.end = deadline  # of the part that runs
        self.cores = measuring.CORES
        self.before = 0  # bytes of the device that were taken when peak memory was last forgotten
        self.rates: dict[str, float] = {}  # of the device: operations/s and bytes/s

    @functools.cached_property
    def clip(self) -> ClipModel:
        """Both towers on the device; what is changed is copied before."""
        clip = load_clip(self.sizes.model, "random", seed=0)
        clip.image.to(self.device)
        clip.text.to(self.device)
        return clip

    @functools.cached_property
    def crops(self) -> list[bytes]:
        """JPEG files of drawn people, as large as Market-1501's (128x64)."""
        world = self.folder / "world"
        write_world(world, identities=self.sizes.drawn, test_identities=1, cameras=4, images_per_camera=2, seed=1)
        files = sorted((world / "bounding_box_train").iterdir())
        return [file.read_bytes() for file in files]

    def fill(self, name: str, count: int) -> Path:
        """Make a folder of so many JPEG files, or return it."""
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            for number in range(count):
                (folder / f"{number:06}.jpg").write_bytes(self.crops[number % len(self.crops)])
        return folder

    @functools.cached_property
    def table(self) -> Path:
        """Training images with a few others to test, as a CSV file."""
        images, people = self.sizes.images, self.sizes.people
        folder = self.fill("images", images + 4 * OTHERS)
        rows = [(f"p{number % people:04}", str(1 + number % CAMERAS), "train") for number in range(images)]
        for number in range(4 * OTHERS):
            camera = number // OTHERS
            rows.append((f"q{number % OTHERS}", str(1 + camera), "gallery" if camera else "query"))
        path = self.folder / "data.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["path", "identity", "camera", "split"])
            table.writerows((f"{folder.name}/{number:06}.jpg", *row) for number, row in enumerate(rows))
        return path

    @functools.cached_property
    def part(self) -> Manifest:
        """The training rows of `table`."""
        return read_data(self.table).manifest.part("train")

    @functools.cached_property
    def image_operations(self) -> int:
        """Operations of one image's forward pass."""
        return image_operations(self.sizes.model)

    def left(self) -> float:
        """Return the seconds that the part which runs still has."""
        return min(self.deadline, self.end) - time.monotonic()

    def sync(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def median(self, work: Callable[[], object], *, warm: int = 2, inner: int = 1) -> float:
        """Return the median seconds of `work`; a timed run takes it `inner` times and waits once."""
        for _ in range(warm):
            work()
        self.sync()
        found = []
        for _ in range(self.sizes.repeats):
            start = time.perf_counter()
            for _ in range(inner):
                work()
            self.sync()
            found.append((time.perf_counter() - start) / inner)
        return statistics.median(found)

    def share(self, operations: float, seconds: float) -> float:
        """Return which percentage of the measured matrix rate some work reaches."""
        return 100 * operations / seconds / self.rates["matrix"] if "matrix" in self.rates else float("nan")

    def forget_peak(self) -> None:
        """Begin to measure peak memory, before what is measured is made; give back what nobody holds any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)

    def peak(self) -> float:
        """Return the peak memory in GB of what was made since then.

        On a GPU, of its tensors alone: not the context, the libraries' kernels, or what the allocator keeps beside. On a
        CPU, the process's greatest in all its life (Linux).
        """
        if self.device.type == "cuda":
            return (torch.cuda.max_memory_allocated(self.device) - self.before) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def counted(work: Callable[[], object]) -> int:
    """Count the operations of some work on shapes."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def image_operations(model: str) -> int:
    """Return the operations of one image's forward pass through the image tower."""
    tower = empty_clip(model).image
    size = tower.geometry
    return counted(lambda: tower(torch.zeros(1, 3, size.height, size.width, device="meta")))


def text_operations(model: str, end: int) -> int:
    """Return the operations of one text's forward pass through the text tower, up to its end token."""
    tower = empty_clip(model).text
    return counted(lambda: tower(torch.zeros(1, end + 1, tower.width, device="meta"), end))


def shared_room() -> int:
    """Return the bytes that are free where processes share memory; a container often has 64 MiB in all."""
    return shutil.disk_usage(SHARED).free if SHARED.is_dir() else 0


def temporary_place() -> str | None:
    """Return a folder in memory with room for the files, and for what workers share, if there is one."""
    return str(SHARED) if shared_room() > 2**34 else None
