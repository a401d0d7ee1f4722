"""Stage 2: train the image encoder of a run towards the texts that stage 1 saved."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scing_cli.core.artifacts import Run, update_run
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut, announce_left_out, report_left_out
from scing_cli.core.devices import memory_advice
from scing_cli.core.encoders import hub
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest
from scing_cli.core.paths import StrPath, as_path, file_keys
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import VisualSettings, of_method, saved_settings
from scing_cli.core.settings.schedule_settings import MINUTES
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.readable import image_count, readable_rows
from scing_cli.core.workflows.shared.run_data import run_manifest, spectra_of
from scing_cli.core.workflows.shared.scoring import Caution, trained_on
from scing_cli.core.workflows.train.run_lock import lock_run
from scing_cli.core.workflows.train.session import TrainingSession
from scing_cli.core.workflows.train.unfinished import read_unfinished
from scing_cli.core.workflows.train.visual_checks import check_validation, training_cameras
from scing_cli.core.workflows.train.visual_choice import branched, choose_visual_run, existing_branch

if TYPE_CHECKING:  # torch is imported inside functions: what is refused is refused before
    from scing_cli.core.training import Fit
    from scing_cli.core.workflows.train.stage2_input import Stage2Input


@dataclasses.dataclass(frozen=True)
class VisualReport:
    """Result of stage 2.

    Args:
        run: The run folder.
        identities: Number of training identities, K.
        images: Number of training images.
        trainable: Trained parameters of each encoder, and of the heads that only the losses use.
        fit: Figures of the training.
        digest: Digest of the trained image encoder.
        validation: Scores on the split `val`; None if not requested.
        left_out: Images that cannot be read, with the reasons: of the training, and with a validation of `val`.
        cautions: Why the scores of the validation are better than they should be.
        captions: Number of captions that the method learns from; 0 for a method of images alone.
    """

    run: Run
    identities: int
    images: int
    trainable: Mapping[str, int]
    fit: Fit
    digest: str
    validation: Scores | None
    left_out: tuple[Dropped, ...] = ()
    cautions: tuple[Caution, ...] = ()
    captions: int = 0


def train_visual(
    settings: VisualSettings,
    *,
    run: StrPath | None = None,
    name: str | None = None,
    data: StrPath | None = None,
    pretrained: str | None = None,
    validate: bool = False,
    resume: bool | None = None,
    save_minutes: float = MINUTES,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> VisualReport:
    """Train the whole image encoder towards the texts that stage 1 saved (Eq. 17-20).

    A method that learns from captions trains both encoders, with the prompts that stage 1 saved. The result is the last
    epoch: no epoch is selected on test data. An interrupted training resumes from its last saved step if it is started
    again with the same arguments. Images that cannot be read are left out; the run lists them.

    Args:
        settings: Losses and schedule.
        run: A run with prompts; None for the newest.
        name: A new run next to it, with a copy of its stage 1, that gets the image encoder; None for the run itself.
        data: New folder of the images, if they have moved.
        pretrained: New path of stage 1's weights, if they have moved.
        validate: Whether to evaluate on the split `val`, where each image is a query against the others; for a method
            that learns from captions, each caption against all images.
        resume: True if there must be an unfinished training; False to start over; None to resume if there is one.
        save_minutes: Minutes between two saved steps; ends of epochs are saved as well.
        strict: Raise at the first image that cannot be read, instead of leaving such images out.
        machine: Device, precision and threads.
        reporter: Shows progress.

    Raises:
        RunError: If there is no run with prompts, or they belong to other identities or another model.
        DataError: If more than a tenth of the images cannot be read.
        ImageError: If an image cannot be read, with `strict`.
        TrainingError: If a loss is not finite.
        InterruptionError: On Ctrl-C or SIGTERM.
    """
    run, data = as_path(run), as_path(data)
    machine = machine or Machine()
    group = machine.group

    def choose() -> tuple[Run, VisualSettings, str | None]:
        found, new = existing_branch(run, name)
        resumed = resume if new is None else False
        return *choose_visual_run(
            found, lambda _, method: of_method(settings, method), resume=resumed, reporter=reporter
        ), new

    opened, settings, name = group.from_first(choose)
    if settings.independent_augmentation and len(spectra_of(opened)) < 2:
        raise SettingError(
            f"--independent-augmentation has no effect: {opened.path} reads one image of each observation.",
            "Leave it out, or train the prompts with --spectra.",
        )
    if settings.compile:
        from scing_cli.core.encoders.compiled import prepare_compiling

        prepare_compiling(machine.torch_device(), reporter)
    with (
        group.entered(lambda: branched(opened, name)) as opened,
        group.entered(lambda: lock_run(opened.path)),
    ):
        group.from_first(lambda: _check_untrained(opened, resume=resume))
        left_out, manifest = LeftOut(strict=strict), group.from_first(lambda: run_manifest(opened, moved_to=data))
        if validate:
            check_validation(manifest, settings.method)
        model = opened.info["model"]
        hub.locate(model["model"], pretrained or model["pretrained"], reporter=reporter)
        splits = ("train", "val") if validate else ("train",)
        total = sum(image_count(manifest, split, spectra_of(opened)) for split in splits)
        readable = functools.partial(
            readable_rows,
            left_out=left_out,
            workers=machine.threads(),
            reporter=reporter,
            spectra=spectra_of(opened),
            group=group,
        )
        validation = readable(manifest, "val") if validate else None
        manifest = readable(manifest, "train")
        announce_left_out(len(left_out), total, reporter)
        cameras = training_cameras(manifest.part("train"), reporter) if settings.camera_embedding else ()
        from scing_cli.core.encoders.compiled import compile_advice
        from scing_cli.core.workflows.train.stage2_input import read_input

        machine = dataclasses.replace(machine, batch_size=settings.batch_size)
        memory = memory_advice("a smaller --batch-size, --precision bf16, --device cpu")
        with memory, compile_advice():
            inputs = read_input(
                opened,
                manifest,
                settings,
                pretrained=pretrained,
                cameras=cameras,
                machine=machine,
                left_out=left_out,
                reporter=reporter,
            )
            moved = {"data": str(data.absolute()) if data is not None else None, "pretrained": pretrained}
            training = inputs.describe(settings, {**moved, "validate": validate})
            session = TrainingSession(training, minutes=save_minutes, reporter=reporter, group=group)
            with session.running(resume=resume):
                report = _train(inputs, settings, session, reporter)
            left_out.share(group)

            def finish() -> VisualReport:
                scores = inputs.validate(validation, reporter) if validation is not None else None
                report_left_out(left_out.dropped(), total, reporter, target=opened.left_out("visual"))
                cautions = _cautions(validation, inputs) if validation is not None else ()
                for caution in cautions:
                    reporter.warn(caution.text)
                return dataclasses.replace(report, validation=scores, left_out=left_out.dropped(), cautions=cautions)

            return finish() if group.is_first else report  # the others do not wait for a validation


def _check_untrained(run: Run, *, resume: bool | None) -> None:
    if run.has("visual") and (resume is False or read_unfinished(run.path, "visual") is None):
        raise RunError(
            f"{run.path} already has a trained image encoder.",
            f"Train another one from the same stage 1: scing train-visual --run {shlex.quote(str(run.path))} "
            f"--as NAME. Or remove {run.stage('visual')}.",
        )


def _train(inputs: Stage2Input, settings: VisualSettings, session: TrainingSession, reporter: Reporter) -> VisualReport:
    from scing_cli.core.workflows.train.stage import dry_run_evaluation, train

    run, rows = inputs.run, inputs.rows
    task = inputs.task(settings, reporter, session.cached)

    def dry_run(folder: Path) -> None:
        dry_run_evaluation(inputs.manifest, inputs.machine.embedder(inputs.clip.image))
        inputs.save(folder)

    fit = train(
        task,
        rows,
        settings,
        batches_of=inputs.batches(task.reads),
        run=run,
        session=session,
        reporter=reporter,
        dry_run=dry_run,
        groups=inputs.groups(settings),
    )
    if inputs.stage.finish is not None:
        inputs.stage.finish(task)
    run, digest = inputs.machine.group.from_first(lambda: _save(inputs, settings, reporter))
    counts = inputs.trainable(task)
    return VisualReport(
        run, len(run.identities), len(rows.part), counts, fit, digest, None, captions=len(rows.captions)
    )


def _save(inputs: Stage2Input, settings: VisualSettings, reporter: Reporter) -> tuple[Run, str]:
    """Write the result into the run; return the run and the digest of the image encoder."""
    run = inputs.run
    changes = {"settings": {**run.info["settings"], "train-visual": saved_settings(settings)}}
    if inputs.manifest.root != Path(run.info["data"]["root"]):  # the data were moved: later commands find them
        changes["data"] = {**run.info["data"], "root": str(inputs.manifest.root.absolute())}
    run = update_run(run, changes)
    digest = inputs.save(run.stage("visual"))
    inputs.export_openvino(digest, reporter)
    return run, digest


def _cautions(validation: Manifest, inputs: Stage2Input) -> tuple[Caution, ...]:
    """Return the caution that queries of the split `val`, images or captions, show people or images of the training."""
    queries, trained = inputs.queries(validation), inputs.rows.part
    files, people = set(file_keys(trained.files())), set(trained.identities())
    rows = zip(file_keys(queries.files()), queries, strict=True)
    return trained_on([row.identity for key, row in rows if row.identity in people or key in files], len(queries))
