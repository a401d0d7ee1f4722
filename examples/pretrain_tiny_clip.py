"""Train a small CLIP of the package on synthetic people and captions that are drawn during training.

    python examples/pretrain_tiny_clip.py --model scing-small --output first --precision fp32 --steps 1560 ...
    python examples/pretrain_tiny_clip.py --evaluate --model scing-small   # images by captions, shipped weights
    python examples/pretrain_tiny_clip.py --evaluate --model scing-small --weights first/scing-small.safetensors

The whole commands that made scing-small's weights are in its card, scing_cli/assets/models/scing-small.md: a training
from random weights, and one that goes on from its weights (`--start`). The defaults of the options made neither of the
shipped models. The same command resumes.

Each person is drawn twice, by two of the cameras of a site; most images are lifelike, some are drawn. At each use, an
image gets other colours, another size of its content, often fewer pixels, noise and compression, and another caption,
because the text tower would learn the captions by heart. The loss has two parts: CLIP's, between images and captions,
and the same between the two images of a person. After an easy first part, a batch consists of whole groups of four
look-alikes, so that the colours of top and trousers are not enough to find an image, and in many images something hides
much of the body. `--without` leaves out a part of the drawing, and a number that is 0 a part of the recipe. The keys of
all people begin with "pretrain": no data set of `scing prepare --synthetic` contains any of them. Training needs torch
2.9 or newer (Muon).

Every draw is a function of seed and step: all runs see the same images in the same order, also after a stop.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import math
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from scing_cli.core.artifacts import file_digest, replacing, write_json
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.batches.pixels import normalise
from scing_cli.core.devices import choose_device, choose_precision
from scing_cli.core.encoders.clip import ClipModel, load_clip, tokenize
from scing_cli.core.encoders.compact_words import ROWS, without_untrained_words
from scing_cli.core.encoders.initial import word_vectors
from scing_cli.core.runtime import autocast, draw_seed, generator
from scing_cli.core.synthetic import (
    LifelikeCamera,
    Rendering,
    draw_cameras,
    draw_lifelike_cameras,
    draw_people,
    render_lifelike,
    render_view,
)
from scing_cli.core.threads import default_workers

MODEL = "scing-tiny"
COST = "3 h 29 min for scing-small on two shared cores; its card has the commands"
GROUP = 4  # look-alikes
VIEWS = 2  # images of each person
SITE, CAMERAS = 8, 4  # groups of people, and cameras, of one site
PLAIN = 160  # pixels, the height of all boxes without sensors
START_SCALE, MOST_SCALE = 1 / 0.07, 100.0
SIZES = (1.0, 0.75, 0.5, 0.375)  # of an image that is recorded again
NOISE, MOST_STEP, BLOCK = 14.0, 5.0, 8  # most noise of 255, coarsest compression, its blocks in pixels
LUMA_CHROMA = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))


PARTS: Mapping[str, Callable[[LifelikeCamera], LifelikeCamera]] = {
    "sensor": lambda camera: dataclasses.replace(camera, sensor=camera.sensor.perfect(PLAIN)),
    "light": lambda camera: dataclasses.replace(camera, light=camera.light.even()),
    "place": lambda camera: dataclasses.replace(camera, place=dataclasses.replace(camera.place, painted=False)),
    "cloth": lambda camera: dataclasses.replace(camera, cloth=False),
    "box": lambda camera: dataclasses.replace(camera, loose=0.0),
    "others": lambda camera: dataclasses.replace(camera, crowd=0.0, occluded=0.0),
}
"""Part of the lifelike drawing -> the same camera without it."""
LEFT_OUT = (*PARTS, "retold")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights.

    Args:
        steps: Number of updates.
        batch_size: Images per step; a multiple of `GROUP * VIEWS`.
        chunk: Number of batches that are drawn together.
        passes: How often each image is used, each time with another augmentation and caption and in another batch.
        easy_chunks: Number of first chunks with look-alikes in separate batches and little occlusion.
        drawn: Share of groups in the drawn look; all others are lifelike.
        occluded: Share of images in which something hides 30-60 % of the body, after the easy chunks.
        identity_weight: Weight of the loss between the two images of a person.
        identity_scale: 1 / temperature of that loss.
        jitter: Spread of brightness, contrast, balance and strength of colours that an image gets at every use.
        zoom: Spread of the size of an image's content at every use, width and height each, as a share.
        worn: Share of images that are recorded a second time at a use: at fewer pixels, with noise and as a JPEG.
        without: Parts of the drawing that are left out: keys of `PARTS`, or `retold`, with commas. Without `retold`, an
            image has the same caption at every use. Other parts are left out by a number that is 0.
        muon_lr: Highest learning rate of the transformers' matrices (Muon).
        adam_lr: Highest learning rate of all other parameters (AdamW). Both rates rise over `warmup` steps, then fall
            as a cosine that reaches 0 at `horizon`.
        warmup: Steps with a rising learning rate.
        horizon: The step at which the cosine reaches 0; 0 for the last one.
        anneal: In so many last steps, the rate falls to 0 as a straight line.
        start: Digest of the weights that the training started from; empty for random ones. Set by `--start`.
        model: Name of the model, or the digest of the JSON file that describes it. Set by `--model`.
        weight_decay: Weight decay of weights; biases, norms and embeddings have none.
        seed: Seed of all draws.
        precision: Precision of the towers: bf16, fp32, or auto for the faster one on this machine.
    """

    steps: int = 6000
    batch_size: int = 256
    chunk: int = 16
    passes: int = 3
    easy_chunks: int = 12
    drawn: float = 0.25
    occluded: float = 0.2
    identity_weight: float = 1.0
    identity_scale: float = 16.0
    jitter: float = 0.3
    zoom: float = 0.08
    worn: float = 0.5
    without: str = ""
    muon_lr: float = 0.02
    adam_lr: float = 1.5e-3
    warmup: int = 60
    horizon: int = 0
    anneal: int = 0
    start: str = ""
    model: str = ""
    weight_decay: float = 0.1
    seed: int = 0
    precision: str = "auto"

    @property
    def left_out(self) -> frozenset[str]:
        """The parts that are left out."""
        return frozenset(filter(None, self.without.split(",")))

    def share_of_rate(self, step: int) -> float:
        """Return the learning rate of one step as a share of the highest rate."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        end = self.horizon or self.steps
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.warmup) / max(1, end - self.warmup))))
        return cosine * min(1.0, (self.steps - step) / (self.anneal + 1))

    @property
    def groups(self) -> int:
        """Groups of look-alikes per batch."""
        return self.batch_size // (GROUP * VIEWS)

    @property
    def steps_per_chunk(self) -> int:
        """Number of steps that use one chunk."""
        return self.chunk * self.passes


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images with one caption each: uint8 pixels (N, 3, H, W), token ids (N, T) and positions of the end tokens."""

    pixels: Tensor
    ids: Tensor
    ends: Tensor

    def take(self, rows: Tensor) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.pixels[rows], self.ids[rows], self.ends[rows])


@dataclasses.dataclass(frozen=True)
class GroupTask:
    """What decides the images of a group: its number, whether it is drawn early, the recipe, and the size in pixels."""

    recipe: Recipe
    number: int
    easy: bool
    size: tuple[int, int]


Drawn = tuple[bytes, list[str]]
"""RGB bytes of one image, and its caption at each use."""


def draw_group(task: GroupTask) -> list[Drawn]:
    """Draw two images of each person of a group of look-alikes, by two cameras."""
    recipe, key = task.recipe, ("pretrain", task.recipe.seed, task.number)
    rng = np.random.default_rng(draw_seed(*key, "hidden"))
    hidden = rng.random((GROUP, VIEWS)) < (0.0 if task.easy else recipe.occluded)
    site = ("pretrain", recipe.seed, "site", task.number // SITE)
    drawn = rng.random() < recipe.drawn
    found = []
    for member, person in enumerate(draw_people(GROUP, *key)):
        for view, number in enumerate(rng.permutation(CAMERAS)[:VIEWS]):
            of_image = (*key, member, view)
            covered = bool(hidden[member, view])
            if drawn:
                seen = render_view(person, drawn_site(*site)[number], *of_image, occluded=covered)
            else:
                camera = lifelike_site(recipe.left_out, *site)[number]
                seen = render_lifelike(person, camera, *of_image, occluded=covered and "others" not in recipe.left_out)
            uses = 1 if "retold" in recipe.left_out else recipe.passes
            more = [seen.told(*of_image, "use", use) for use in range(1, uses)]
            found.append((_decode(seen, task.size), [seen.caption, *more]))
    return found


@functools.lru_cache(maxsize=8)
def drawn_site(*key: int | str):
    """Return the cameras of a site in the drawn look."""
    return draw_cameras(CAMERAS, *key)


@functools.lru_cache(maxsize=8)
def lifelike_site(left_out: frozenset[str], *key: int | str) -> tuple[LifelikeCamera, ...]:
    """Return the lifelike cameras of a site, without some parts of the drawing."""
    cameras = draw_lifelike_cameras(CAMERAS, *key)
    for part in sorted(left_out & PARTS.keys()):
        cameras = tuple(PARTS[part](camera) for camera in cameras)
    return cameras


def draw_some_unseen(task: tuple[int, int, int, tuple[int, int]]) -> list[Drawn]:
    """Draw one image of each test person in `range(first, last)`, for a task (first, last, step, size).

    Training never sees these people. A step of `GROUP` takes one person of each group of look-alikes.
    """
    key = ("pretrain", "unseen")
    first, last, step, size = task
    cameras = draw_cameras(8, *key)
    people = draw_people(last * step, *key)[::step]
    seen = (render_view(people[row], cameras[row % 8], *key, row) for row in range(first, last))
    return [(_decode(one, size), [one.caption]) for one in seen]


def _decode(rendering: Rendering, size: tuple[int, int]) -> bytes:
    image = Image.open(io.BytesIO(rendering.jpeg)).convert("RGB")
    return image.resize(size[::-1], Image.Resampling.BICUBIC).tobytes()


def as_pairs(drawn: list[Drawn], size: tuple[int, int]) -> list[Pairs]:
    """Turn drawn images and captions into tensors: for each use, the same pixels with the captions of this use."""
    height, width = size
    flat = np.frombuffer(b"".join(image for image, _ in drawn), np.uint8).reshape(len(drawn), height, width, 3)
    pixels = torch.from_numpy(flat.transpose(0, 3, 1, 2).copy())
    return [Pairs(pixels, *_as_ids(list(captions))) for captions in zip(*(told for _, told in drawn), strict=True)]


def _as_ids(captions: list[str]) -> tuple[Tensor, Tensor]:
    texts = [tokenize(caption) for caption in captions]
    ends = torch.tensor([len(text) - 1 for text in texts])
    ids = torch.zeros(len(texts), int(ends.max()) + 1, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
    return ids, ends


def jittered(pixels: Tensor, spread: float, *key: int | str) -> Tensor:
    """Return pixels (B, 3, H, W) uint8 with other brightness, contrast, balance and strength of colours, as uint8."""
    draw = torch.randn(len(pixels), 5, 1, 1, 1, generator=generator(*key)).to(pixels.device).clamp(-2, 2) * spread
    light = (pixels.float() / 255) ** draw[:, 0].exp()
    middle = light.mean(dim=(1, 2, 3), keepdim=True)
    light = middle + (light - middle) * draw[:, 1].exp()
    grey = light.mean(dim=1, keepdim=True)
    light = grey + (light - grey) * (2 * draw[:, 4]).exp().clamp(max=1.5)
    balance = 0.5 * torch.cat([draw[:, 2], -draw[:, 2] - draw[:, 3], draw[:, 3]], dim=1)
    return (light * balance.exp() * 255 + 0.5).clamp(0, 255).to(torch.uint8)


def zoomed(pixels: Tensor, spread: float, *key: int | str) -> Tensor:
    """Return pixels (B, 3, H, W) uint8 with each image's content larger or smaller, as uint8."""
    sizes = (torch.randn(len(pixels), 2, generator=generator(*key)).clamp(-2, 2) * spread).exp()
    frame = functional.pad(torch.diag_embed(sizes), (0, 1)).to(pixels.device)
    grid = functional.affine_grid(frame, list(pixels.shape), align_corners=False)
    seen = functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return (seen + 0.5).clamp(0, 255).to(torch.uint8)


def worn(pixels: Tensor, share: float, *key: int | str) -> Tensor:
    """Return pixels (B, 3, H, W) uint8 of which a share was recorded again: fewer pixels, noise and compression."""
    source = generator(*key)
    chance, grain, quality = torch.rand(3, len(pixels), generator=source)
    noise = torch.randn(pixels.shape, generator=source).to(pixels.device)
    seen = pixels.float()
    for number, part in enumerate(SIZES):
        rows = torch.nonzero((chance / share * len(SIZES)).floor() == number)[:, 0]
        if len(rows) == 0:
            continue
        height, width = (int(length * part) // BLOCK * BLOCK for length in pixels.shape[2:])
        small = functional.interpolate(seen[rows], (height, width), mode="bilinear", antialias=True)
        small = small + NOISE * grain[rows, None, None, None].to(seen.device) * noise[rows, :, :height, :width]
        small = compressed(small, 1 + MOST_STEP * quality[rows].to(seen.device) ** 2)
        seen[rows] = functional.interpolate(small, pixels.shape[2:], mode="bilinear", align_corners=False)
    return (seen + 0.5).clamp(0, 255).to(torch.uint8)


def compressed(pixels: Tensor, step: Tensor) -> Tensor:
    """Return pixels (B, 3, H, W) as after compression like JPEG's: rounded cosine coefficients of blocks.

    Args:
        pixels: 0 to 255; H and W are multiples of 8.
        step: (B,), how coarse; coefficients of high frequencies and of colour are rounded more.
    """
    count, _, height, width = pixels.shape
    place = torch.arange(BLOCK, device=pixels.device)
    waves = torch.cos(math.pi / BLOCK * (place[None] + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    colour = torch.tensor(LUMA_CHROMA, device=pixels.device)
    planes = torch.einsum("cd,bdhw->bchw", colour, pixels - 128)
    blocks = planes.view(count, 3, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    found = torch.einsum("ui,vj,bcyixj->bcyuxv", waves, waves, blocks)
    coarse = (4 + 2 * (place[:, None] + place[None]))[:, None] * step[:, None, None, None, None, None]
    coarse = coarse * torch.tensor([1.0, 2.0, 2.0], device=pixels.device)[:, None, None, None, None]
    found = (found / coarse).round() * coarse
    planes = torch.einsum("ui,vj,bcyuxv->bcyixj", waves, waves, found).reshape(pixels.shape)
    return (torch.einsum("cd,bdhw->bchw", torch.linalg.inv(colour), planes) + 128).clamp(0, 255)


class Painter:
    """Draws chunks in other processes; the next chunk is drawn while the current one is in use."""

    def __init__(self, recipe: Recipe, size: tuple[int, int], workers: int) -> None:
        self.recipe, self.size = recipe, size
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # of the processes that start from here on
        self.pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_give_way)
        self.waiting: dict[int, Iterator[list[Drawn]]] = {}

    def chunk(self, number: int) -> list[Pairs]:
        """Return one chunk for each use of it, in the order of its groups, and start to draw the next one."""
        for each in (number, number + 1):
            if each not in self.waiting and each * self.recipe.steps_per_chunk < self.recipe.steps:
                self.waiting[each] = self._begin(each)
        return as_pairs([pair for group in self.waiting.pop(number) for pair in group], self.size)

    def _begin(self, number: int) -> Iterator[list[Drawn]]:
        count = self.recipe.chunk * self.recipe.groups
        easy = number < self.recipe.easy_chunks
        tasks = [GroupTask(self.recipe, number * count + group, easy, self.size) for group in range(count)]
        return self.pool.map(draw_group, tasks, chunksize=SITE)

    def close(self) -> None:
        """Stop the processes and cancel chunks that are not drawn yet."""
        self.pool.shutdown(cancel_futures=True)

    def unseen(self, count: int, step: int) -> Pairs:
        """Return `count` test people, one of every `step`."""
        tasks = [(first, min(first + 64, count), step, self.size) for first in range(0, count, 64)]
        return as_pairs([pair for some in self.pool.map(draw_some_unseen, tasks) for pair in some], self.size)[0]


def _give_way() -> None:
    """Draw in the time that training leaves: its threads wait for each other, so one delay holds up all of them."""
    if hasattr(os, "nice"):
        os.nice(19)


class TinyClip(nn.Module):
    """The model that is trained: both towers and the logarithm of the logit scale."""

    def __init__(self, clip: ClipModel, precision: str) -> None:
        super().__init__()
        self.image, self.text, self.precision = clip.image, clip.text, precision
        self.logit_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))

    def forward(self, pixels: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return unit-length image and text features, float32, shape (B, D) each."""
        with autocast(pixels.device, self.precision):
            images = self.image(pixels).projected
            texts = self.text(self.text.embed(pairs.ids.to(pixels.device)), pairs.ends.tolist())
        return functional.normalize(images.float(), dim=1), functional.normalize(texts.float(), dim=1)

    def losses(self, pixels: Tensor, pairs: Pairs, people: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Return CLIP's loss, and the loss between the two images of each person.

        Both are means of cross-entropies. Captions of another image of the same person count neither as right nor as
        wrong. The second asks for the other image of a person among all images of the batch.

        Args:
            pixels: (B, 3, H, W), prepared.
            pairs: The captions.
            people: (B,), the number of the person on each image; each number occurs `VIEWS` times.
            scale: 1 / temperature of the second loss.
        """
        images, texts = self(pixels, pairs)
        same = people[:, None] == people[None, :]
        itself = torch.eye(len(people), dtype=torch.bool, device=people.device)
        logits = self.logit_scale.exp().clamp(max=MOST_SCALE) * images @ texts.T
        logits = logits.masked_fill(same & ~itself, -math.inf)
        truth = torch.arange(len(logits), device=logits.device)
        captions = (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2
        among = (scale * images @ images.T).masked_fill(itself, -math.inf)
        other = (same & ~itself).float().argmax(dim=1)
        return captions, functional.cross_entropy(among, other)

    def state(self) -> dict[str, Tensor]:
        """Return the weights in half precision, with open_clip's names, and only the word vectors that were trained."""
        tensors = {f"visual.{name}": tensor for name, tensor in self.image.state_dict().items()}
        tensors |= self.text.state_dict()
        tensors["logit_scale"] = self.logit_scale.detach().clamp(max=math.log(MOST_SCALE))
        whole = without_untrained_words({name: tensor.detach().cpu() for name, tensor in tensors.items()})
        return {name: tensor if name == ROWS else tensor.half().contiguous() for name, tensor in whole.items()}


class Optimisers:
    """Muon for the transformers' matrices and AdamW for the rest, which needs far fewer steps than AdamW alone."""

    def __init__(self, model: TinyClip, recipe: Recipe) -> None:
        kinds: dict[str, list[nn.Parameter]] = {"matrices": [], "projections": [], "others": []}
        for name, value in model.named_parameters():
            matrix = value.ndim == 2 and ".transformer." in name
            plain = value.ndim < 2 or "embedding" in name
            kinds["matrices" if matrix else "others" if plain else "projections"].append(value)
        decay = recipe.weight_decay
        groups = [
            {"params": kinds["projections"], "weight_decay": decay},
            {"params": kinds["others"], "weight_decay": 0.0},
        ]
        self.recipe = recipe
        self.parts: list[tuple[float, torch.optim.Optimizer]] = [
            (recipe.muon_lr, torch.optim.Muon(kinds["matrices"], recipe.muon_lr, weight_decay=decay)),
            (recipe.adam_lr, torch.optim.AdamW(groups, recipe.adam_lr, betas=(0.9, 0.98), eps=1e-6)),
        ]

    def step(self, step: int) -> None:
        """Update the weights with the learning rate of this step, and clear the gradients."""
        for highest, part in self.parts:
            for group in part.param_groups:
                group["lr"] = highest * self.recipe.share_of_rate(step)
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        return [part.state_dict() for _, part in self.parts]

    def restore(self, states: list[dict[str, object]]) -> None:
        for (_, part), state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


@torch.no_grad()
def evaluate(model: TinyClip, pairs: Pairs) -> dict[str, float]:
    """Search the image of each caption among all images; return rank-1, rank-5 and rank-10 in percent."""
    images, texts = [], []
    device = model.logit_scale.device
    for rows in torch.arange(len(pairs.ends)).split(250):
        some = pairs.take(rows)
        image, text = model(_pixels(model, some.pixels.to(device)), some)
        images.append(image)
        texts.append(text)
    scores = torch.cat(texts) @ torch.cat(images).T
    own = scores.diagonal()[:, None]
    ranks = (scores > own).sum(1) + (scores == own).sum(1)  # ties count against the model
    return {f"rank-{k}": round(100 * float((ranks <= k).float().mean()), 1) for k in (1, 5, 10)}


def _pixels(model: TinyClip, pixels: Tensor) -> Tensor:
    return normalise(pixels, model.image.geometry.mean, model.image.geometry.std)


def report(model: TinyClip, painter: Painter, count: int) -> dict[str, object]:
    """Evaluate a model on test people in groups of look-alikes, and on as many people from different groups."""
    figures: dict[str, object] = {"images": count}
    for step, title in ((1, "in groups of four look-alikes"), (GROUP, "no two of one group")):
        figures[title] = evaluate(model, painter.unseen(count, step))
        found = ", ".join(f"{name} {value}" for name, value in figures[title].items())
        print(f"caption to image, {count:,} images of {count:,} unseen identities, {title}: {found}", flush=True)
    return figures


def train(recipe: Recipe, given: argparse.Namespace, model: TinyClip, painter: Painter) -> bool:
    """Train from the start or from the saved state, saving from time to time; return whether training is complete."""
    folder = given.output
    device = model.logit_scale.device
    optimisers = Optimisers(model, recipe)
    state = folder / "state.pt"
    start = _restore(state, recipe, model, optimisers)
    augment = Augmentation(flip=0.5, crop=0.8, erase=0.1, padding=4, black=_black(model))
    number, chunk, saved, started = -1, None, time.monotonic(), time.monotonic()
    end = min(recipe.steps, given.stop_at or recipe.steps)
    for step in range(start, end):
        needed, within = divmod(step, recipe.steps_per_chunk)
        if chunk is None or needed != number:
            number, chunk = needed, painter.chunk(needed)
        rows = _rows(recipe, number, within)
        some = chunk[within // recipe.chunk % len(chunk)].take(rows)
        seen = some.pixels.to(device)
        if recipe.jitter:
            seen = jittered(seen, recipe.jitter, recipe.seed, "jitter", step)
        if recipe.zoom:
            seen = zoomed(seen, recipe.zoom, recipe.seed, "zoom", step)
        if recipe.worn:
            seen = worn(seen, recipe.worn, recipe.seed, "worn", step)
        pixels = augment(_pixels(model, seen), recipe.seed, "pretrain", step)
        captions, identity = model.losses(pixels, some, (rows // VIEWS).to(device), recipe.identity_scale)
        (captions + recipe.identity_weight * identity).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimisers.step(step)
        if step % 20 == 0 or step == end - 1:
            _log(folder, step, {"captions": captions, "identity": identity}, model, time.monotonic() - started)
        if time.monotonic() - saved > 60 * given.save_minutes or step == end - 1:
            _save(state, step + 1, recipe, model, optimisers)
            saved = time.monotonic()
    return end == recipe.steps


def _black(model: TinyClip) -> tuple[float, float, float]:
    red, green, blue = (
        -mean / std for mean, std in zip(model.image.geometry.mean, model.image.geometry.std, strict=True)
    )
    return red, green, blue


def _rows(recipe: Recipe, number: int, within: int) -> Tensor:
    """Return the rows of a step's images in its chunk; each pass has another order.

    A batch consists of whole groups, and of whole sites if it has room for one, so that many people on it were seen by
    the same cameras before the same grounds; in the easy chunks, look-alikes are in separate batches.
    """
    turn, batch = divmod(within, recipe.chunk)
    groups = recipe.chunk * recipe.groups
    sites = torch.randperm(-(-groups // SITE), generator=generator(recipe.seed, "order", number, turn))
    order = (sites[:, None] * SITE + torch.arange(SITE)).flatten()
    people = order[order < groups][:, None] * GROUP + torch.arange(GROUP)  # (groups, members)
    if number < recipe.easy_chunks:
        people = people.T
    everyone = people.flatten()[:, None] * VIEWS + torch.arange(VIEWS)
    return everyone.flatten()[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]


def _log(folder: Path, step: int, losses: dict[str, Tensor], model: TinyClip, seconds: float) -> None:
    row = {
        "step": step,
        **{name: round(loss.item(), 4) for name, loss in losses.items()},
        "scale": round(model.logit_scale.exp().item(), 2),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(row), flush=True)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def _save(target: Path, step: int, recipe: Recipe, model: TinyClip, optimisers: Optimisers) -> None:
    content = {
        "step": step,
        "recipe": dataclasses.asdict(recipe),
        "model": model.state_dict(),
        "optimisers": optimisers.state(),
    }
    with replacing(target) as temporary:
        torch.save(content, temporary)


def _restore(source: Path, recipe: Recipe, model: TinyClip, optimisers: Optimisers) -> int:
    """Load the saved state, if there is one, and return the first step to run."""
    if not source.exists():
        return 0
    content = torch.load(source, map_location="cpu", weights_only=True)
    if content["recipe"] != dataclasses.asdict(recipe):
        raise SystemExit(f"{source} was made with another recipe: {content['recipe']}. Name a new --output.")
    model.load_state_dict(content["model"])
    optimisers.restore(content["optimisers"])
    print(f"Resuming at step {content['step']} of {recipe.steps}.", flush=True)
    return int(content["step"])


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"Cost: {COST}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="folder for weights, figures and the state of a stopped run")
    parser.add_argument(
        "--evaluate", action="store_true", help="only evaluate the shipped weights, or those of --weights"
    )
    parser.add_argument("--weights", help="file of the weights to evaluate")
    parser.add_argument("--model", default=MODEL, help="a model's name, or a JSON file in open_clip's form, 128x64")
    parser.add_argument("--start", type=Path, help="weights to start from, instead of random ones")
    told = dict(re.findall(r"^        (\w+): (.+(?:\n {12}.+)*)", str(Recipe.__doc__), re.MULTILINE))
    for field in dataclasses.fields(Recipe):
        if field.name not in ("start", "model"):
            words = " ".join(told[field.name].replace("%", "%%").split())
            option = f"--{field.name.replace('_', '-')}"
            parser.add_argument(option, type=type(field.default), default=field.default, help=words)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes that draw")
    parser.add_argument("--save-minutes", type=float, default=5.0)
    parser.add_argument("--stop-at", type=int, default=0, help="stop after this step; the same command resumes")
    parser.add_argument("--unseen", type=int, default=1000, help="test people to evaluate with")
    given = parser.parse_args()
    if given.batch_size % (GROUP * VIEWS):
        parser.error(f"--batch-size must be a multiple of {GROUP * VIEWS}")
    if odd := {*filter(None, given.without.split(","))} - {*LEFT_OUT}:
        parser.error(f"--without {','.join(sorted(odd))}: known are {', '.join(LEFT_OUT)}")
    if given.evaluate == (given.output is not None):
        parser.error("give either --output FOLDER to train, or --evaluate")
    if given.weights and not given.evaluate:
        parser.error("--weights FILE needs --evaluate")
    if given.start and given.evaluate:
        parser.error("--start FILE is for training")
    if given.steps < 1:
        parser.error("--steps must be at least 1")
    if not given.evaluate and not hasattr(torch.optim, "Muon"):
        parser.error(f"torch {torch.__version__} has no Muon, which training needs: install torch 2.9 or newer")
    return given


def main() -> None:
    given = read_options()
    device = choose_device(given.device)
    given.precision = choose_precision(given.precision, device, auto="bf16")
    source = given.weights if given.evaluate else given.start
    decided = {field.name: getattr(given, field.name) for field in dataclasses.fields(Recipe)}
    decided["start"] = file_digest(given.start) if given.start else ""
    decided["model"] = file_digest(Path(given.model)) if Path(given.model).is_file() else given.model
    recipe = Recipe(**decided)
    clip = load_clip(given.model, str(source) if source else None if given.evaluate else "random", seed=recipe.seed)
    if source is None and not given.evaluate:  # untrained words need not be saved if they start as those of seed 0
        table = clip.text.token_embedding.weight
        table.data = word_vectors(*table.shape)
    model = TinyClip(clip, recipe.precision).to(device)
    if recipe.start:
        model.logit_scale.data.fill_(math.log(clip.logit_scale))
    painter = Painter(recipe, (clip.image.geometry.height, clip.image.geometry.width), given.workers)
    with contextlib.closing(painter):
        if not given.evaluate and not pretrain(recipe, given, model, painter):
            return
        model.eval()
        model.precision = "fp32"  # so that the figures are the same on machines with and without bf16
        figures = report(model, painter, given.unseen)
    if not given.evaluate:
        made = {"recipe": dataclasses.asdict(recipe), "torch": torch.__version__, "device": device.type}
        write_json(given.output / "figures.json", {**made, "caption to image": figures})


def pretrain(recipe: Recipe, given: argparse.Namespace, model: TinyClip, painter: Painter) -> bool:
    """Train and write the weights; return whether training is complete."""
    given.output.mkdir(parents=True, exist_ok=True)
    counts = {name: sum(value.numel() for value in part.parameters()) for name, part in model.named_children()}
    print(json.dumps({"recipe": dataclasses.asdict(recipe), "parameters": counts, "cost": COST}), flush=True)
    if not train(recipe, given, model, painter):
        return False
    with replacing(given.output / f"{Path(given.model).stem}.safetensors") as temporary:
        save_file(model.state(), temporary)
    return True


if __name__ == "__main__":
    main()
