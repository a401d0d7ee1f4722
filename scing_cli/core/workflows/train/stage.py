"""What both training stages share: batches for the loop, the dry run, and a small evaluation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from scing_cli.core.artifacts import Run
from scing_cli.core.batches import ImageLoader, identity_batches, normalise, random_batches
from scing_cli.core.batches.image_cache import DeviceImageCache
from scing_cli.core.embeddings import Embedder
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest
from scing_cli.core.methods import Batch, Batches, Task
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.settings import PromptSettings, Schedule
from scing_cli.core.training import Fit, LearningRate, MetricsLog, Trainer
from scing_cli.core.workflows.shared.scoring import score_parts
from scing_cli.core.workflows.train.run_lock import DRY_RUN
from scing_cli.core.workflows.train.session import TrainingSession

FEW = 8


def make_batches(part: Manifest, geometry: Geometry, *, device: torch.device, workers: int, images: bool) -> Batches:
    """Return what turns lists of training rows into batches on the device; without images where none is read."""
    loader = ImageLoader(
        part.files(),
        height=geometry.height,
        width=geometry.width,
        interpolation=geometry.interpolation,
        workers=workers,
    )
    room = 0 if device.type == "cpu" else None  # a CPU has time to decode, and no memory of its own
    cache = DeviceImageCache(loader, device, room=room) if images else None

    def batches_of(batch_rows: Sequence[Sequence[int]]) -> Iterator[Batch]:
        if cache is None:
            yield from (Batch(rows, None) for rows in batch_rows)
            return
        for rows, pixels in cache.batches(batch_rows):
            yield Batch(rows, normalise(pixels, geometry.mean, geometry.std))

    return batches_of


def train(
    task: Task,
    part: Manifest,
    labels: Sequence[int],
    settings: Schedule,
    *,
    batches_of: Batches,
    run: Run,
    session: TrainingSession,
    reporter: Reporter,
    dry_run: Callable[[Path], None],
) -> Fit:
    """Take a task through its epochs, after a dry run, and from its last saved step where there is one.

    Args:
        task: What is learnt.
        part: The training rows.
        labels: Their classes.
        settings: Epochs, rate, batches and seed.
        batches_of: Lists of rows -> batches.
        run: Where metrics.jsonl is.
        session: Where steps are saved.
        reporter: Where progress goes.
        dry_run: Called with a folder that is removed afterwards: evaluate and save there.
    """

    def batch_sampler(epoch: int) -> list[list[int]]:
        key = (settings.seed, task.name, epoch, "sampler")
        if isinstance(settings, PromptSettings) and settings.sampler == "random":
            return random_batches(len(labels), size=settings.batch_size, key=key)
        return identity_batches(labels, identities=settings.identities_per_batch, instances=settings.instances, key=key)

    def run_in_scratch_folder() -> None:
        with tempfile.TemporaryDirectory(prefix=DRY_RUN, dir=run.path) as folder:
            dry_run(Path(folder))

    trainer = Trainer(
        task,
        batch_sampler=batch_sampler,
        batches_of=batches_of,
        rate=rate_of(settings),
        bias_factor=settings.bias_lr_factor,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        log=MetricsLog(run.metrics),
        reporter=reporter,
        describe=lambda rows: ", ".join(part.samples[row].path for row in rows[:4]) + (", …" if len(rows) > 4 else ""),
        checkpoints=session.checkpoints,
        interruption=session.interruption,
    )
    return trainer.fit(settings.epochs, dry_run=run_in_scratch_folder)


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


def dry_run_evaluation(manifest: Manifest, embedder: Embedder) -> Scores | None:
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
