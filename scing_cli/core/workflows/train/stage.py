"""What both training stages share: batches for the loop, the rehearsal, and a small evaluation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from scing_cli.core.artifacts import Run
from scing_cli.core.batches import ImageLoader, identity_batches, normalise, random_batches
from scing_cli.core.batches.image_cache import HeldImages
from scing_cli.core.config import PromptSettings, Schedule
from scing_cli.core.embeddings import Embedder
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest
from scing_cli.core.methods import Batch, Feed, Task
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.training import Fit, LearningRate, MetricsLog, Trainer
from scing_cli.core.workflows.shared.scoring import score_parts
from scing_cli.core.workflows.train.run_lock import REHEARSAL
from scing_cli.core.workflows.train.session import Course

FEW = 8


def make_feed(part: Manifest, geometry: Geometry, *, device: torch.device, workers: int, images: bool) -> Feed:
    """Return what turns lists of training rows into batches on the device; without images where none is read."""
    loader = ImageLoader(
        part.files(),
        height=geometry.height,
        width=geometry.width,
        interpolation=geometry.interpolation,
        workers=workers,
    )
    room = 0 if device.type == "cpu" else None  # a CPU has time to decode, and no memory of its own
    held = HeldImages(loader, device, room=room) if images else None

    def feed(plan: Sequence[Sequence[int]]) -> Iterator[Batch]:
        if held is None:
            yield from (Batch(rows, None) for rows in plan)
            return
        for rows, pixels in held.batches(plan):
            yield Batch(rows, normalise(pixels, geometry.mean, geometry.std))

    return feed


def train(
    task: Task,
    part: Manifest,
    labels: Sequence[int],
    settings: Schedule,
    *,
    feed: Feed,
    run: Run,
    course: Course,
    reporter: Reporter,
    rehearsal: Callable[[Path], None],
) -> Fit:
    """Take a task through its epochs, after a rehearsal, and from its last saved step where there is one.

    Args:
        task: What is learnt.
        part: The training rows.
        labels: Their classes.
        settings: Epochs, rate, batches and seed.
        feed: Lists of rows -> batches.
        run: Where metrics.jsonl is.
        course: Where steps are saved.
        reporter: Where progress goes.
        rehearsal: Called with a folder that is removed afterwards: evaluate and save there.
    """

    def plan(epoch: int) -> list[list[int]]:
        key = (settings.seed, task.name, epoch, "sampler")
        if isinstance(settings, PromptSettings) and settings.sampler == "random":
            return random_batches(len(labels), size=settings.batch_size, key=key)
        return identity_batches(labels, identities=settings.identities_per_batch, instances=settings.instances, key=key)

    def rehearse() -> None:
        with tempfile.TemporaryDirectory(prefix=REHEARSAL, dir=run.path) as folder:
            rehearsal(Path(folder))

    trainer = Trainer(
        task,
        plan=plan,
        feed=feed,
        rate=rate_of(settings),
        bias_factor=settings.bias_lr_factor,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        log=MetricsLog(run.metrics),
        reporter=reporter,
        describe=lambda rows: ", ".join(part.samples[row].path for row in rows[:4]) + (", …" if len(rows) > 4 else ""),
        checkpoints=course.checkpoints,
        interruption=course.interruption,
    )
    return trainer.fit(settings.epochs, rehearsal=rehearse)


def rate_of(settings: Schedule) -> LearningRate:
    """Return the learning rate that a stage's settings describe."""
    cosine = settings.schedule == "cosine"
    return LearningRate(
        settings.lr,
        milestones=() if cosine else settings.milestones,
        warmup_epochs=settings.warmup_epochs,
        warmup_from=settings.warmup_lr,
        epochs=settings.epochs if cosine else None,
        final=settings.final_lr,
        first=settings.first_epoch,
    )


def rehearse_evaluation(manifest: Manifest, embedder: Embedder) -> Scores | None:
    """Evaluate a few queries, so that what would fail after hours fails now; None where the data cannot be evaluated.

    The few queries have their true matches in the small gallery as far as the data allows; the figures mean nothing.
    """
    wanted = {"query", "gallery"}
    if not wanted <= set(manifest.splits()):
        return None
    known = set(manifest.part("gallery").identities())
    queries = [sample for sample in manifest.part("query") if sample.identity in known][:FEW]
    wanted = {sample.identity for sample in queries}
    own = {sample.path for sample in queries}
    matches = [row for row in manifest.part("gallery") if row.identity in wanted and row.path not in own][: 8 * FEW]
    if not matches:
        return None
    query, gallery = (Manifest(manifest.root, tuple(rows), manifest.name) for rows in (queries, matches))
    return score_parts(query, gallery, embedder, protocol="no-camera", reporter=Silent())
