"""Training steps written in the usual way, as the baseline for ours.

open_clip's own towers in fp16 autocast with a gradient scaler, plain attention, `torch.optim.Adam`, images opened,
resized and augmented with Pillow in worker processes, and one `.item()` a step. Stage 1 runs all 77 places of its texts
and perturbs every image twice; occlusion is left out, which is to the usual way's advantage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from stage1 import ImageTower, UsualTuning
from stage2 import open_clips, usual_losses
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from gpu_parts.ground import Ground, shared_room
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.task import Batch
from scing_cli.core.settings import VisualSettings

PADDING = 10
ROUNDS = 3  # batches that each worker loads while the clock runs, at least
LONGEST = 4.0  # seconds, after which no step is timed any more
Step = Callable[[Tensor, Tensor], float]  # pixels (views * B, 3, H, W) on the device, rows (B,) on the CPU -> the loss


class Crops(Dataset[tuple[Tensor, int]]):
    """Training images, opened and augmented anew each time.

    Args:
        files: One for each row.
        geometry: Size and statistics.
        views: How often each image is augmented.
    """

    def __init__(self, files: Sequence[Path], geometry: Geometry, views: int) -> None:
        self.files = files
        self.geometry = geometry
        self.views = views

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = Image.open(self.files[row]).convert("RGB")
        image = image.resize((self.geometry.width, self.geometry.height), Image.Resampling.BICUBIC)
        return torch.stack([self.view(image) for _ in range(self.views)]), row  # (views, 3, H, W)

    def view(self, image: Image.Image) -> Tensor:
        """Flip, pad and crop, normalise and erase, each with probability 1/2."""
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        if random.random() < 0.5:
            left, top = random.randint(0, 2 * PADDING), random.randint(0, 2 * PADDING)
            image = ImageOps.expand(image, PADDING).crop(
                (left, top, left + self.geometry.width, top + self.geometry.height)
            )
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.geometry.mean, self.geometry.std))
        pixels = pixels.sub_(mean).div_(std)
        if random.random() < 0.5:
            erase(pixels)
        return pixels


def erase(pixels: Tensor) -> None:
    """Fill a random rectangle of an image with noise."""
    _, height, width = pixels.shape
    for _ in range(10):
        area = random.uniform(0.02, 1 / 3) * height * width
        aspect = math.exp(random.uniform(math.log(0.3), -math.log(0.3)))
        high, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if high < height and wide < width:
            top, left = random.randint(0, height - high), random.randint(0, width - wide)
            pixels[:, top : top + high, left : left + wide] = torch.randn(3, high, wide)
            return


class SeenViews:
    """Views that workers have perturbed: a batch's pixels hold both of every image.

    Args:
        tower: The frozen image tower.
    """

    reads = frozenset({"pixels"})

    def __init__(self, tower: ImageTower) -> None:
        self.tower = tower

    @torch.no_grad()
    def pair(self, batch: Batch, key: object) -> Tensor:
        """Encode the first views, then the second."""
        return torch.cat([self.tower(half).projected.float() for half in batch.pixels.chunk(2)])


@contextlib.contextmanager
def usual_way(device: torch.device, *, plain: bool) -> Iterator[None]:
    """Autocast to fp16, with plain attention its products too; a CPU, which is slow in fp16, takes bf16."""
    backends = torch.backends.cuda
    before = backends.fp16_bf16_reduction_math_sdp_allowed()
    backends.allow_fp16_bf16_reduction_math_sdp(True)
    attention = sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext()
    half = torch.bfloat16 if device.type == "cpu" else torch.float16
    try:
        with torch.autocast(device.type, dtype=half), attention:
            yield
    finally:
        backends.allow_fp16_bf16_reduction_math_sdp(before)  # ours is timed without it


def scaled_step(
    ground: Ground, parameters: list[Tensor], loss: Callable[[Tensor, Tensor], Tensor], *, plain: bool
) -> Step:
    """Return a step with a gradient scaler."""
    settings = VisualSettings()
    optimiser = torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    scaler = torch.amp.GradScaler(ground.device.type)

    def step(pixels: Tensor, rows: Tensor) -> float:
        optimiser.zero_grad()
        with usual_way(ground.device, plain=plain):
            total = loss(pixels, rows)
        scaler.scale(total).backward()
        scaler.step(optimiser)
        scaler.update()
        return total.item()

    return step


def visual_step(ground: Ground, encoder: ImageEncoder, texts: Tensor, labels: Tensor, *, plain: bool = True) -> Step:
    """Return a step of stage 2."""
    tower = open_clips(encoder).train()

    def loss(pixels: Tensor, rows: Tensor) -> Tensor:
        return torch.stack(usual_losses(tower, pixels, texts, labels[rows.to(labels.device)])).sum()

    return scaled_step(ground, list(tower.parameters()), loss, plain=plain)


def usual_tuning(task: UsualTuning) -> UsualTuning:
    """Have the views of stage 1's usual way made by workers."""
    views = SeenViews(ImageTower(task.towers.visual))
    task.perturbation = dataclasses.replace(task.perturbation, views=views)
    return task


def prompts_step(ground: Ground, task: UsualTuning, *, plain: bool = True) -> Step:
    """Return a step of stage 1, of a task from `usual_tuning`."""
    numbers = iter(range(1_000_000))

    def loss(pixels: Tensor, rows: Tensor) -> Tensor:
        return task.losses(Batch(rows.tolist(), {"pixels": pixels}), (0, "train-prompts", 0, next(numbers))).total()

    return scaled_step(ground, list(task.trainable().parameters()), loss, plain=plain)


class Pace(NamedTuple):
    """How fast steps came.

    Args:
        seconds: Of a step.
        steps: That were timed.
        way: By which the workers hand batches over.
    """

    seconds: float
    steps: int
    way: str


def workers(ground: Ground) -> int:
    """Return how many processes load: one a core, each with one batch ahead."""
    return min(ground.cores, 2) if ground.quick else ground.cores


def loaded(ground: Ground, plan: Sequence[Sequence[int]], views: int) -> DataLoader[Any]:
    """Return a plan's batches from worker processes: in memory that they share, or through pipes where that is small."""
    size = ground.clip.image.geometry
    batch = max(map(len, plan)) * views * 3 * size.height * size.width * 4  # bytes
    fits = shared_room() > 2 * (workers(ground) + 2) * batch
    return DataLoader(
        Crops(ground.part.files(), size, views),
        batch_sampler=plan,
        num_workers=workers(ground),
        prefetch_factor=1,
        collate_fn=None if fits else unshared,
        pin_memory=ground.device.type == "cuda",
    )


def unshared(samples: Sequence[tuple[Tensor, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch as arrays, which processes hand over as bytes; tensors would go through shared memory."""
    pixels, rows = zip(*samples, strict=True)
    return torch.stack(pixels).numpy(), np.array(rows)


def pace(ground: Ground, step: Step, plan: Sequence[Sequence[int]], views: int) -> Pace:
    """Time steps over a plan gone round, once as many are done as batches lay ready before; at most for `LONGEST`."""
    warm = workers(ground) + 1
    count = max(len(plan), ROUNDS * workers(ground))
    batches = loaded(ground, list(itertools.islice(itertools.cycle(plan), warm + count)), views)
    taken, start = -warm, 0.0
    for pixels, rows in batches:
        if taken == 0:
            ground.sync()
            start = time.perf_counter()
        host = torch.as_tensor(pixels)
        if ground.device.type == "cuda" and not host.is_pinned():  # what came through a pipe
            host = host.pin_memory()
        flat = host.to(ground.device, non_blocking=True).transpose(0, 1).flatten(0, 1)
        step(flat, torch.as_tensor(rows))
        taken += 1
        if taken > 0 and time.perf_counter() - start > LONGEST:
            break
    ground.sync()
    way = "pipes" if batches.collate_fn is unshared else "shared memory"
    return Pace((time.perf_counter() - start) / taken, taken, way)


def alone(ground: Ground, step: Step, plan: Sequence[Sequence[int]], views: int) -> float:
    """Return the seconds of a step whose pixels lie on the device already."""
    size = ground.clip.image.geometry
    rows = torch.tensor(plan[0])
    pixels = torch.randn(views * len(rows), 3, size.height, size.width, device=ground.device)
    return ground.median(lambda: step(pixels, rows), warm=3, inner=2 if ground.quick else 5)


def unit(rows: int, width: int, device: torch.device) -> Tensor:
    """Return random unit vectors."""
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(0)), dim=1).to(device)
