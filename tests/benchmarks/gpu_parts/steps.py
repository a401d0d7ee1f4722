"""A step of either stage: ours, as the training loop takes it, against the usual way.

Ours has its batches from the loop's own feed, with all images held on the device; a run of steps is waited for once.
Both sides must agree in float32 before they are timed: see `checked`.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import measuring
import torch
from stage1 import UsualTuning
from stage2 import SCALE, apart, open_clips
from stage2 import Ground as VisualGround
from torch import Tensor

from gpu_parts import usual
from gpu_parts.ground import Figure, Ground, text_operations
from scing_cli.core.batches import identity_batches
from scing_cli.core.config import PromptSettings, Schedule, VisualSettings
from scing_cli.core.encoders import last_block
from scing_cli.core.manifest import labels as classes_of
from scing_cli.core.methods import Batch, Feed, Similarity, Task, load_method
from scing_cli.core.methods.stage1 import PromptTuning
from scing_cli.core.methods.stage2 import tune_visual
from scing_cli.core.runtime import Silent, choose_precision
from scing_cli.core.training import LearningRate, MetricsLog, Trainer
from scing_cli.core.workflows.stage import make_feed

BANK = 8
EQUAL = 1e-3  # relative, of losses in float32: the kernels of a GPU add in other orders
VIEWS = ("fresh", f"bank:{BANK}")


@dataclasses.dataclass
class Ours:
    """A task in the training loop, and the batches that it is timed on.

    Args:
        ground: Where.
        task: What is learnt.
        settings: Rate and batches.
        operations: Of one image in a step.
    """

    ground: Ground
    task: Task
    settings: Schedule
    operations: float
    feed: Feed = dataclasses.field(init=False)
    plan: Sequence[Sequence[int]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        ground, settings = self.ground, self.settings
        self.feed = make_feed(
            ground.part,
            ground.clip.image.geometry,
            device=ground.device,
            workers=ground.cores,
            images=self.task.reads_images,
        )
        count = dict(ground.sizes.steps)[settings.batch_size]
        self.plan = planned(ground, settings, self.task.name)[:count]
        self.trainer = Trainer(
            self.task,
            plan=lambda epoch: self.plan,
            feed=self.feed,
            rate=LearningRate(settings.lr),
            weight_decay=settings.weight_decay,
            seed=0,
            log=MetricsLog(Path("unused")),
            reporter=Silent(),
            describe=str,
        )
        self.optimiser = self.trainer._optimiser()

    def step(self, batch: Batch, number: int) -> None:
        """Take one step, without the gradient norms that the loop measures once an epoch."""
        self.trainer._gradients(batch, (0, self.task.name, 0, number), self.optimiser, norms={})
        self.optimiser.step()

    def run(self) -> None:
        """Take all steps of the plan."""
        for number, batch in enumerate(self.feed(self.plan)):
            self.step(batch, number)

    def seconds(self) -> float:
        """Return the seconds of a step, waiting once after all of them."""
        self.ground.sync()
        start = time.perf_counter()
        self.run()
        self.ground.sync()
        return (time.perf_counter() - start) / len(self.plan)

    def host(self) -> float:
        """Return the seconds that the host takes to give a step to a device with nothing to do: the median."""
        few = self.plan[:5]
        batches, found = iter(self.feed(few)), []
        for number in range(len(few)):
            self.ground.sync()
            start = time.perf_counter()
            self.step(next(batches), number)
            found.append(time.perf_counter() - start)
        self.ground.sync()
        return statistics.median(found)


def planned(ground: Ground, settings: Schedule, stage: str) -> list[list[int]]:
    """Return the batches of an epoch."""
    classes = classes_of(ground.part, ground.part.identities())
    key = (0, stage, 0, "sampler")
    return identity_batches(classes, identities=settings.identities_per_batch, instances=settings.instances, key=key)


def classes(ground: Ground) -> Tensor:
    """Return the classes of the training images."""
    return torch.tensor(classes_of(ground.part, ground.part.identities()), device=ground.device)


def visual(ground: Ground, batch: int) -> Ours:
    """Return our stage 2 in bf16 on a copy of the tower."""
    settings = VisualSettings(batch_size=batch)
    task = tune_visual(
        settings,
        encoder=copy.deepcopy(ground.clip.image),
        texts=usual.unit(ground.sizes.people, ground.clip.image.embed_dim, ground.device),
        similarity=Similarity("cosine", SCALE),
        labels=classes(ground),
        cameras=None,
        precision="bf16",
    )
    return Ours(ground, task, settings, 3 * ground.image_operations)


def prompts(ground: Ground, batch: int, views: str, precision: str = "bf16") -> PromptTuning:
    """Return our stage 1; a bank is filled with random features, which are looked up as fast as others."""
    count, width = len(ground.part), ground.clip.image.embed_dim
    task = load_method("scing").prompt_task(
        prompt_settings(batch, views),
        clip=copy.deepcopy(ground.clip),
        features=usual.unit(count, width, ground.device),
        labels=classes(ground),
        precision=precision,
    )
    if views != "fresh":
        task.perturbation.views.features = torch.randn(count, BANK, width, device=ground.device)
    return task


def prompt_settings(batch: int, views: str) -> PromptSettings:
    """Return the settings of stage 1."""
    return PromptSettings(model="-", pretrained="random", batch_size=batch, views=views)


def tuning(ground: Ground, batch: int, views: str) -> Ours:
    """Return our stage 1 in bf16; a text's backward passes through frozen weights, so it counts once."""
    task = prompts(ground, batch, views)
    texts = 3 * 2 * text_operations(ground.sizes.model, task.prompts.end)
    images = 2 * ground.image_operations if views == "fresh" else 0
    return Ours(ground, task, prompt_settings(batch, views), texts + images)


def stage2(ground: Ground) -> Iterator[Figure]:
    """Measure a step of stage 2."""
    small = VisualGround(ground.sizes.model, 8, ground.device)
    choose_precision("fp32", ground.device, auto="fp32")
    far = apart(small, open_clips(small.encoder))
    if not far < EQUAL:
        raise RuntimeError(f"the losses of both ways are {far:.1g} apart: not equal")
    for batch, _ in ground.sizes.steps:
        ours = visual(ground, batch)
        texts, labels = ours.task.objective.texts, ours.task.labels
        sides = {
            plain: usual.visual_step(ground, ground.clip.image, texts, labels, plain=plain) for plain in (True, False)
        }
        yield from compared(f"stage 2, batch {batch}", ours, sides, views=1, aim=40, losses_apart=far)


def stage1(ground: Ground) -> Iterator[Figure]:
    """Measure a step of stage 1 with PDCA, its views made at each step and from a bank."""
    batch = ground.sizes.steps[0][0]
    far = checked(ground, batch)
    for views in VIEWS:
        ours = tuning(ground, batch, views)
        task = usual.usual_tuning(UsualTuning(prompts(ground, batch, "fresh")))
        sides = {plain: usual.prompts_step(ground, task, plain=plain) for plain in (True, False)}
        yield from compared(f"stage 1, batch {batch}, {views}", ours, sides, views=2, aim=None, losses_apart=far)


def checked(ground: Ground, batch: int) -> float:
    """Return how far the losses of both ways are apart in float32, on the same perturbed views, relative to ours.

    Raises:
        RuntimeError: If they are not equal.
    """
    choose_precision("fp32", ground.device, auto="fp32")
    ours = prompts(ground, batch, "fresh", "fp32")
    task = usual.usual_tuning(UsualTuning(prompts(ground, batch, "fresh", "fp32")))
    settings, key = prompt_settings(batch, "fresh"), (0, "train-prompts", 0, 0)
    plan = planned(ground, settings, "train-prompts")[:1]
    (given,) = make_feed(
        ground.part, ground.clip.image.geometry, device=ground.device, workers=ground.cores, images=True
    )(plan)
    image = ours.perturbation.views.encode.image
    seen = torch.cat([image(given.pixels, *key, view) for view in (1, 2)])
    with torch.no_grad():
        found, known = (
            float(each.losses(Batch(given.rows, pixels), key).total())
            for each, pixels in ((ours, given.pixels), (task, seen))
        )
    far = abs(found - known) / abs(known)
    if not far < EQUAL:
        raise RuntimeError(f"the losses are {found} and {known} in float32: not equal")
    return far


def compared(
    name: str, ours: Ours, sides: dict[bool, usual.Step], *, views: int, aim: float | None, **told: Any
) -> Iterator[Figure]:
    """Time both ways in turns; print `measuring.line` and yield the table's figures."""
    ground, batch = ours.ground, ours.settings.batch_size
    ground.forget_peak()
    ours.run()
    ground.sync()
    peak = ground.peak()
    without = usual.alone(ground, sides[True], ours.plan, views)  # what is chosen or loaded once is so before the turns
    turns = 1 if ground.quick else 3
    pairs = [(usual.seconds(ground, sides[True], ours.plan, views), ours.seconds()) for _ in range(turns)]
    reference, own = (list(times) for times in zip(*pairs, strict=True))
    step = statistics.median(own)
    host, fused = ours.host(), usual.seconds(ground, sides[False], ours.plan, views)
    share = ground.share(batch * ours.operations, step)
    bound = "launches" if host > 0.9 * step else f"{share:.0f} % of products"
    more = {
        "operations of an image": ours.operations,
        "share of the matrix rate, %": round(share, 2),
        "host, ms": round(1e3 * host, 3),
        "peak memory, GB": round(peak, 2),
        "reference without loading, images/s": round(batch / without, 1),
        "reference with fused attention, images/s": round(batch / fused, 1),
        "device": str(ground.device),
        **told,
    }
    line = measuring.line(f"a step of {name}, bf16 against fp16", reference, own, work=batch, **more)
    goal = 2.0 if aim is not None and batch == ground.sizes.steps[0][0] else None
    yield Figure(f"{name}: a step", 1e3 * step, "ms", bound=bound, more={"host, ms": more["host, ms"]})
    yield Figure("  of it the host", 1e3 * host, "ms")
    yield Figure("  images/s", batch / step, "images/s", bound=bound)
    yield Figure("  of the matrix rate", share, "%", aim=aim, bound=bound)
    yield Figure("  times the usual way", line["ratio"], "x", aim=goal, more={"reference": line["reference"]})
    yield Figure("  times it with fused attention", fused / step, "x")
    yield Figure("  times it without its loading", without / step, "x")
    yield Figure("  peak memory", peak, "GB")


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


def beside(ground: Ground, name: str, rate: Callable[[], float]) -> Iterator[Figure]:
    """Measure a rate in images/s with compiled blocks and without."""
    plain = rate()
    with compiled_blocks(ground):
        start = time.perf_counter()
        rate()
        once = time.perf_counter() - start
        compiled = rate()
    more = {"plain, images/s": round(plain, 1), "first run, s": round(once, 1)}
    yield Figure(f"{name}, compiled blocks", compiled, "images/s", bound=f"{compiled / plain:.2f} x plain", more=more)
    yield Figure("  first run, compiling", once, "s")


def compiled(ground: Ground) -> Iterator[Figure]:
    """Measure whether compiling the towers' blocks pays, in embedding and in both stages."""
    from gpu_parts import embedding

    own, batch = embedding.embedder(ground), ground.sizes.steps[0][0]
    yield from beside(ground, "embedding", lambda: embedding.rate(ground, own, ground.sizes.batches[1]))
    for name, ours in (("stage 2", visual(ground, batch)), (f"stage 1, {VIEWS[1]}", tuning(ground, batch, VIEWS[1]))):
        ours.run()
        yield from beside(ground, name, lambda ours=ours: batch / ours.seconds())


def profiled(ground: Ground) -> Iterator[Figure]:
    """Name the kernels that take most of a step's time on the device (operations, on a CPU)."""
    from torch.profiler import ProfilerActivity, profile

    gpu = ground.device.type == "cuda"
    batch = ground.sizes.steps[0][0]
    for name, ours in (
        ("stage 2", visual(ground, batch)),
        *((f"stage 1, {v}", tuning(ground, batch, v)) for v in VIEWS),
    ):
        batches = list(ours.feed(ours.plan[:3]))
        ours.step(batches[0], 0)
        ground.sync()
        with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as found:
            for number, each in enumerate(batches[1:], 1):
                ours.step(each, number)
            ground.sync()
        spent = {
            row.key[:60]: (row.self_device_time_total if gpu else row.self_cpu_time_total) / 1e3 / len(batches[1:])
            for row in found.key_averages()
            if not row.key.startswith("Optimizer.")  # a span of others
        }
        largest = sorted(spent, key=spent.__getitem__, reverse=True)[:12]
        busy = sum(spent.values())
        more = {"ms a step": {key: round(spent[key], 3) for key in largest}}
        yield Figure(f"{name}: device busy in a step", busy, "ms", bound=largest[0][:24], more=more)
