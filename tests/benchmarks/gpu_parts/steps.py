"""Steps of both stages: those of our training loop against the usual way.

Ours has its batches from the loop's own batches_of, with all images held on the device; a run of steps is waited for once.
Whether both sides agree in float32 is a figure of its own.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import measuring
import torch
from stage1 import UsualTuning
from stage2 import Ground as VisualGround
from stage2 import apart, inputs_of, open_clips, trainer_of
from torch import Tensor

from gpu_parts import usual
from gpu_parts.ground import Figure, Ground, text_operations
from gpu_parts.limits import guarded
from scing_cli.core.batches import identity_batches
from scing_cli.core.devices import choose_precision
from scing_cli.core.manifest import labels as classes_of
from scing_cli.core.methods import Batch, Batches, StageInputs, Task, load_method
from scing_cli.core.methods.stage1 import PromptTuning
from scing_cli.core.methods.stage2 import tune_visual
from scing_cli.core.methods.task import IMAGES
from scing_cli.core.settings import PromptSettings, Schedule, VisualSettings
from scing_cli.core.workflows.train.training_images import make_batches
from scing_cli.core.workflows.train.training_rows import TrainingRows, training_rows

BANK = 8
EQUAL = 1e-3  # relative, of losses in float32: the kernels of a GPU add in other orders
VIEWS = ("fresh", f"bank:{BANK}")
TURNS = 3  # at most


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
    batches_of: Batches = dataclasses.field(init=False)
    plan: Sequence[Sequence[int]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        ground, settings = self.ground, self.settings
        self.batches_of = make_batches(
            rows_of(ground),
            ground.clip.image,
            device=ground.device,
            workers=ground.cores,
            reads=self.task.reads,
        )
        count = dict(ground.sizes.steps)[settings.batch_size]
        self.plan = planned(ground, settings, self.task.name)[:count]
        self.trainer = trainer_of(self.task, settings, plan=self.plan, batches_of=self.batches_of)
        self.optimiser = self.trainer._optimiser()

    def step(self, batch: Batch, number: int) -> None:
        """Take a step as the loop does; the very first also measures gradient norms, as a training's dry_run."""
        self.trainer._advance(batch, (0, self.task.name, 0, number), self.optimiser)

    def run(self) -> None:
        """Take all steps of the plan."""
        for number, batch in enumerate(self.batches_of(self.plan)):
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
        batches, found = iter(self.batches_of(few)), []
        for number in range(len(few)):
            self.ground.sync()
            start = time.perf_counter()
            self.step(next(batches), number)
            found.append(time.perf_counter() - start)
        self.ground.sync()
        return statistics.median(found)


Reference = Callable[[Ours, bool], usual.Step]  # ours, and whether attention is plain -> a step in the usual way


def planned(ground: Ground, settings: Schedule, stage: str) -> list[list[int]]:
    """Return the batches of an epoch."""
    classes = classes_of(ground.part, ground.part.identities())
    key = (0, stage, 0, "sampler")
    return identity_batches(classes, identities=settings.identities_per_batch, instances=settings.instances, key=key)


def classes(ground: Ground) -> Tensor:
    """Return the classes of the training images."""
    return torch.tensor(classes_of(ground.part, ground.part.identities()), device=ground.device)


def visual(ground: Ground, batch: int, *, compiled: bool = False) -> Ours:
    """Return our stage 2 in bf16 on a copy of the tower."""
    settings = VisualSettings(batch_size=batch, compile=compiled)
    clip = dataclasses.replace(ground.clip, image=copy.deepcopy(ground.clip.image))
    texts = usual.unit(ground.sizes.people, clip.image.embed_dim, ground.device)
    task = tune_visual(settings, inputs_of(clip, texts, classes(ground), "bf16"))
    return Ours(ground, task, settings, 3 * ground.image_operations)


def rows_of(ground: Ground) -> TrainingRows:
    """Return the rows of a training on images."""
    return training_rows(ground.part, ground.part.identities(), "scing")


def prompts(ground: Ground, batch: int, views: str, precision: str = "bf16", *, compiled: bool = False) -> PromptTuning:
    """Return our stage 1; a bank is filled with random features, which are looked up as fast as others."""
    count, width = len(ground.part), ground.clip.image.embed_dim
    first, _ = load_method("scing").stages
    features = usual.unit(count, width, ground.device)
    inputs = StageInputs(copy.deepcopy(ground.clip), classes(ground), precision, features=features)
    task = first.build(prompt_settings(batch, views, compiled=compiled), inputs)
    if views != "fresh":
        task.perturbation.views.features = torch.randn(count, BANK, width, device=ground.device)
    return task


def prompt_settings(batch: int, views: str, *, compiled: bool = False) -> PromptSettings:
    """Return the settings of stage 1."""
    return PromptSettings(model="-", pretrained="random", batch_size=batch, views=views, compile=compiled)


def tuning(ground: Ground, batch: int, views: str, *, compiled: bool = False) -> Ours:
    """Return our stage 1 in bf16; a text's backward passes through frozen weights, so it counts once."""
    task = prompts(ground, batch, views, compiled=compiled)
    texts = 3 * 2 * text_operations(ground.sizes.model, task.prompts.end)
    images = 2 * ground.image_operations if views == "fresh" else 0
    return Ours(ground, task, prompt_settings(batch, views), texts + images)


def stage2(ground: Ground) -> Iterator[Figure]:
    """Measure a step of stage 2."""
    yield from guarded(ground, "the losses of stage 2", visual_losses(ground))

    def reference(ours: Ours, plain: bool) -> usual.Step:
        task = ours.task
        return usual.visual_step(ground, ground.clip.image, task.objective.texts, task.labels, plain=plain)

    for batch, _ in ground.sizes.steps:
        name = f"stage 2, batch {batch}"
        figures = compared(ground, name, functools.partial(visual, ground, batch), reference, views=1, aim=40)
        yield from guarded(ground, name, figures)


def stage1(ground: Ground) -> Iterator[Figure]:
    """Measure a step of stage 1 with PDCA, its views made at each step and from a bank."""
    batch = ground.sizes.steps[0][0]
    yield from guarded(ground, "the losses of stage 1", prompt_losses(ground, batch))

    @functools.cache
    def task() -> PromptTuning:
        return usual.usual_tuning(UsualTuning(prompts(ground, batch, "fresh")))

    def reference(ours: Ours, plain: bool) -> usual.Step:
        return usual.prompts_step(ground, task(), plain=plain)

    for views in VIEWS:
        name = f"stage 1, batch {batch}, {views}"
        figures = compared(ground, name, functools.partial(tuning, ground, batch, views), reference, views=2)
        yield from guarded(ground, name, figures)


def visual_losses(ground: Ground) -> Iterator[Figure]:
    """Yield how far the losses of both ways are apart in float32 on the same pixels, relative to the usual way's."""
    choose_precision("fp32", ground.device, auto="fp32")
    small = VisualGround(ground.sizes.model, 8, ground.device)
    yield losses_apart("stage 2", apart(small, open_clips(small.encoder)))


def prompt_losses(ground: Ground, batch: int) -> Iterator[Figure]:
    """Yield how far the losses of both ways are apart in float32 on the same perturbed views."""
    choose_precision("fp32", ground.device, auto="fp32")
    ours = prompts(ground, batch, "fresh", "fp32")
    task = usual.usual_tuning(UsualTuning(prompts(ground, batch, "fresh", "fp32")))
    settings, key = prompt_settings(batch, "fresh"), (0, "train-prompts", 0, 0)
    plan = planned(ground, settings, "train-prompts")[:1]
    (given,) = make_batches(
        rows_of(ground), ground.clip.image, device=ground.device, workers=ground.cores, reads=IMAGES
    )(plan)
    image = ours.perturbation.views.encode.image
    seen = torch.cat([image(given.pixels, *key, view) for view in (1, 2)])
    with torch.no_grad():
        found, known = (
            float(each.losses(Batch(given.rows, {"pixels": pixels}), key).total())
            for each, pixels in ((ours, given.pixels), (task, seen))
        )
    yield losses_apart("stage 1", abs(found - known) / abs(known))


def turns_of(ground: Ground) -> int:
    """Return how often each way is timed."""
    return min(TURNS, ground.sizes.repeats)


def losses_apart(stage: str, far: float) -> Figure:
    """Return the figure that says whether both ways compute the same."""
    return Figure(f"{stage}: losses apart in float32, relative", far, "", aim=EQUAL, least=False)


def compared(
    ground: Ground, name: str, make: Callable[[], Ours], reference: Reference, *, views: int, aim: float | None = None
) -> Iterator[Figure]:
    """Time ours; then the usual way, whose failure costs only the figures beside it.

    Args:
        ground: Where.
        name: Of stage, batch and views.
        make: Makes ours.
        reference: Makes the usual way's step.
        views: Of each image in the usual way's batches.
        aim: Share of the matrix rate to reach, %.
    """
    ground.forget_peak()
    ours = make()
    batch = ours.settings.batch_size
    ours.run()
    ground.sync()
    peak = ground.peak()
    step, host = statistics.median(ours.seconds() for _ in range(turns_of(ground))), ours.host()
    share = ground.share(batch * ours.operations, step)
    bound = "launches" if host > 0.9 * step else f"{share:.0f} % of products"
    more = {"operations of an image": ours.operations, "steps": len(ours.plan)}
    yield Figure(f"{name}: a step", 1e3 * step, "ms", bound=bound, more=more)
    yield Figure("  of it the host", 1e3 * host, "ms")
    yield Figure("  images/s", batch / step, "images/s", bound=bound)
    yield Figure("  of the matrix rate", share, "%", aim=aim, bound=bound)
    yield Figure("  peak memory", peak, "GB", bound="with the held images")
    goal = 2.0 if aim is not None and batch == ground.sizes.steps[0][0] else None
    yield from guarded(ground, f"{name}: the usual way", against(name, ours, reference, views=views, aim=goal))


def against(name: str, ours: Ours, reference: Reference, *, views: int, aim: float | None) -> Iterator[Figure]:
    """Time both ways in turns: print `measuring.line`, and yield how many times faster ours is."""
    ground, batch = ours.ground, ours.settings.batch_size
    ground.forget_peak()
    plain = reference(ours, True)
    without = usual.alone(ground, plain, ours.plan, views)  # what is chosen or loaded once is so before the turns
    peak = ground.peak()
    pairs = [(usual.pace(ground, plain, ours.plan, views), ours.seconds()) for _ in range(turns_of(ground))]
    paces, own = (list(each) for each in zip(*pairs, strict=True))
    more = {
        "reference without loading, images/s": round(batch / without, 1),
        "reference peak memory, GB": round(peak, 2),
        "reference steps": [pace.steps for pace in paces],
        "reference workers": usual.workers(ground),
        "reference batches come by": paces[0].way,
        "device": str(ground.device),
    }
    times = [pace.seconds for pace in paces]
    line = measuring.line(f"a step of {name}, bf16 against fp16", times, own, work=batch, **more)
    step = statistics.median(own)
    yield Figure("  times the usual way", line["ratio"], "x", aim=aim, bound=paces[0].way)
    yield Figure("  times it without its loading", without / step, "x")
    fused = usual.pace(ground, reference(ours, False), ours.plan, views)
    yield Figure("  times it with fused attention", fused.seconds / step, "x", more={"reference steps": fused.steps})
