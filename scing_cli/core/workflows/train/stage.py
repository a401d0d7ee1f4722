"""Shared parts of both training stages: the training itself, and the evaluation of the dry run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from scing_cli.core.artifacts import Run
from scing_cli.core.batches import identity_batches, random_batches
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.methods import Batches, Task
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.settings import Schedule
from scing_cli.core.spectra import image_files
from scing_cli.core.training import AdamGroups, Fit, LearningRate, MetricsLog, Trainer
from scing_cli.core.workflows.shared.readable import find_unreadable
from scing_cli.core.workflows.shared.scoring import score_parts
from scing_cli.core.workflows.train.run_lock import DRY_RUN
from scing_cli.core.workflows.train.session import TrainingSession
from scing_cli.core.workflows.train.training_rows import TrainingRows

FEW = 8  # queries of the dry run


def train(
    task: Task,
    rows: TrainingRows,
    settings: Schedule,
    *,
    batches_of: Batches,
    run: Run,
    session: TrainingSession,
    reporter: Reporter,
    dry_run: Callable[[Path], None],
    groups: AdamGroups | None = None,
    finish: Callable[[], None] | None = None,
) -> Fit:
    """Train a task after a dry run; resume from the last saved step if there is one.

    Args:
        task: The stage of a method to train.
        rows: The training rows, with their classes.
        settings: Epochs, learning rate, batches and seed.
        batches_of: Lists of rows -> batches.
        run: The run, whose metrics.jsonl gets the figures.
        session: Saves steps, and delays Ctrl-C.
        reporter: Shows progress.
        dry_run: Evaluates and saves in the given folder, which is removed afterwards.
        groups: Further settings of Adam; None for its usual ones.
        finish: Slow work after the last step, before which that step is saved if it is interrupted; None for none.
    """

    def batch_sampler(epoch: int) -> list[list[int]]:
        labels, key = rows.classes, (settings.seed, task.name, epoch, "sampler")
        if not settings.identity_batches:
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
        groups=groups,
        seed=settings.seed,
        log=MetricsLog(run.metrics),
        reporter=reporter,
        describe=rows.describe,
        checkpoints=session.checkpoints,
        interruption=session.interruption,
        group=session.group,
    )
    return trainer.fit(settings.epochs, dry_run=run_in_scratch_folder, finish=finish)


def rate_of(settings: Schedule) -> LearningRate:
    """Return the learning rate of a stage's settings."""
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
    """Evaluate a few queries on a small gallery with their matches. The scores have no meaning.

    An evaluation that would fail after hours of training fails here instead.

    Returns:
        The scores; None if the data cannot be evaluated.

    Raises:
        ImageError: If none of these queries or none of these gallery images can be read.
    """
    manifest = manifest.seen_in(embedder.spectra)
    if not {"query", "gallery"} <= set(manifest.splits()):
        return None
    known = set(manifest.part("gallery").identities())
    queries = [sample for sample in manifest.part("query") if sample.identity in known][:FEW]
    identities = {sample.identity for sample in queries}
    paths = {sample.path for sample in queries}  # a query may be in the gallery as well
    gallery_rows = manifest.part("gallery")
    matches = [row for row in gallery_rows if row.identity in identities and row.path not in paths][: 8 * FEW]
    queries, matches = (_readable(manifest, rows, embedder) for rows in (queries, matches))
    if not {row.identity for row in queries} & {row.identity for row in matches}:
        return None
    query, gallery = (Manifest(manifest.root, tuple(rows), manifest.name) for rows in (queries, matches))
    return score_parts(query, gallery, embedder, protocol="no-camera", reporter=Silent())


def _readable(manifest: Manifest, rows: Sequence[Sample], embedder: Embedder) -> list[Sample]:
    """Return the rows whose images can be read, because an evaluation leaves the others out as well.

    Raises:
        ImageError: If there is none.
    """
    left_out = LeftOut()
    sources = Manifest(manifest.root, tuple(rows), manifest.name).sources(embedder.spectra)
    files = [image_files(source) for source in sources]
    find_unreadable(list(chain(*files)), left_out=left_out, workers=embedder.workers, reporter=Silent())
    lost = [next((file for file in own if file in left_out), own[0]) for own in files]
    left_out.check_not_all(lost)
    return [row for row, file in zip(rows, lost, strict=True) if file not in left_out]
