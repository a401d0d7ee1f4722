"""Stage 1: train prompts on a data set and save them in a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets import DataSet, check_training
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut, announce_left_out, report_left_out
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.devices import memory_advice
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import Manifest, with_own_paths, write_manifest
from scing_cli.core.paths import StrPath, as_path, as_paths
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, check_method, check_used, given_settings, saved_settings
from scing_cli.core.settings.schedule_settings import MINUTES
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.readable import image_count, readable_rows
from scing_cli.core.workflows.shared.run_data import read_sources
from scing_cli.core.workflows.shared.training_spectra import chosen_spectra, trainable_rows
from scing_cli.core.workflows.train.run_entries import given_as, objects_entry, open_or_create
from scing_cli.core.workflows.train.session import TrainingSession
from scing_cli.core.workflows.train.training_rows import captioned
from scing_cli.core.workflows.train.unfinished import Unfinished, lock_prompts_run, machine_of
from scing_cli.core.workflows.train.visual_choice import PLANNED

if TYPE_CHECKING:  # torch is imported inside functions: what is refused is refused before
    from scing_cli.core.methods import PromptTask
    from scing_cli.core.training import Fit
    from scing_cli.core.workflows.train.stage1_input import Stage1Input


@dataclasses.dataclass(frozen=True)
class PromptsReport:
    """Result of stage 1.

    Args:
        run: The run folder.
        identities: Number of training identities, K.
        images: Number of training images.
        fit: Figures of the training; None for a method whose stage 1 trains nothing.
        trainable: Trained parameters per module.
        frozen: Frozen parameters per module.
        left_out: Training images that cannot be read, with the reasons; the run is without them.
        passed_over: What was passed over in the data's folders.
        captions: Number of captions that the method learns from; 0 for a method of images alone.
    """

    run: Run
    identities: int
    images: int
    fit: Fit | None
    trainable: Mapping[str, int]
    frozen: Mapping[str, int]
    left_out: tuple[Dropped, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    captions: int = 0


def train_prompts(
    data: StrPath | Sequence[StrPath],
    settings: PromptSettings,
    *,
    layout: str = "auto",
    include_val: bool = False,
    run: StrPath | None = None,
    visual: Mapping[str, Any] | None = None,
    resume: bool | None = None,
    save_minutes: float = MINUTES,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> PromptsReport:
    """Train the prompts of all identities (Eq. 7-16); both encoders stay frozen, unless the image encoder learns (R22).

    An interrupted training resumes from its last saved step if it is started again with the same arguments. Training
    images that cannot be read are left out; the run lists them.

    Args:
        data: A data set folder or a CSV file, prepared or not. Of several, people and cameras stay apart.
        settings: Method, model, losses and schedule.
        layout: `auto`, or the layout's name, of each data set.
        include_val: Whether to train on the validation rows as well; the run stores the choice.
        run: A new run folder, or one with an unfinished stage 1; None to choose one in `runs/`.
        visual: Settings for stage 2 by option name, which the run keeps for `scing train-visual`.
        resume: True if there must be an unfinished training; False to start over; None to resume if there is one.
        save_minutes: Minutes between two saved steps; ends of epochs are saved as well.
        strict: Raise at the first training image that cannot be read, instead of leaving such images out.
        machine: Device, precision, threads, and the processes that train together.
        reporter: Shows progress.

    Raises:
        DataError: If the data cannot be trained on, or more than a tenth of the training images cannot be read.
        ImageError: If a training image cannot be read, with `strict`.
        WeightsError: If the model's weights cannot be read or downloaded.
        TrainingError: If a loss is not finite.
        InterruptionError: On Ctrl-C or SIGTERM.
    """
    paths, run = as_paths(data), as_path(run)
    machine = machine or Machine()
    machine = dataclasses.replace(machine, batch_size=settings.batch_size)
    check_method(settings)
    check_used(settings)
    group = machine.group

    def read() -> tuple[DataSet, Manifest, tuple[str, ...]]:
        source = read_sources(paths, layout=layout, include_val=include_val, reporter=reporter, check=_check_source)
        manifest = captioned(with_own_paths(source.manifest), settings.method, reporter)
        spectra = chosen_spectra(settings, manifest, reporter)
        return source, trainable_rows(manifest, spectra, reporter), spectra

    source, manifest, spectra = group.from_first(read)
    left_out, total = LeftOut(strict=strict), image_count(manifest, "train", spectra)
    manifest = readable_rows(
        manifest, "train", left_out=left_out, workers=machine.threads(), reporter=reporter, spectra=spectra, group=group
    )
    announce_left_out(len(left_out), total, reporter, what="training image")
    check_training(manifest)
    if settings.compile:
        from scing_cli.core.encoders.compiled import prepare_compiling

        prepare_compiling(machine.torch_device(), reporter)
    facts = {"settings": saved_settings(settings), "data": manifest.fingerprint()}
    origin = {**given_as(paths), "layout": source.layout, "include_val": include_val, **objects_entry(source)}
    given = {
        "settings": given_settings(settings),
        "path": str(paths[0].absolute()) if len(paths) == 1 else [str(path.absolute()) for path in paths],
        "layout": layout,
        "include-val": include_val,
        "device": machine.device,
    }
    memory = memory_advice("a smaller --batch-size, --precision bf16, --stride 16, --device cpu")
    with group.entered(lambda: lock_prompts_run(run, manifest.name, facts, resume=resume)) as target:
        from scing_cli.core.encoders.compiled import compile_advice

        with memory, compile_advice():
            from scing_cli.core.workflows.train.stage1_input import read_input

            inputs = read_input(manifest, settings, machine, left_out, reporter, spectra=spectra)
            training = Unfinished(
                target,
                "prompts",
                facts={**facts, "model": inputs.model_digest()},
                given=given,
                machine=machine_of(inputs.embedder.device.type, inputs.embedder.precision, inputs.rows.part, group),
            )
            info = inputs.run_info(origin, settings) | ({PLANNED: {"train-visual": dict(visual)}} if visual else {})
            session = TrainingSession(training, minutes=save_minutes, reporter=reporter, group=group)
            with session.running(resume=resume):
                opened = group.from_first(lambda: open_or_create(target, info))
                report = _train(opened, inputs, settings, session, reporter)
            left_out.share(group)
            if group.is_first:
                listing = report.run.left_out("prompts")
                report_left_out(left_out.dropped(), total, reporter, what="training image", target=listing)
            return dataclasses.replace(report, left_out=left_out.dropped(), passed_over=source.passed)


def _check_source(source: DataSet) -> None:
    check_training(source.manifest, train_on=LAYOUTS[source.layout].train_on)


def _train(
    opened: Run, inputs: Stage1Input, settings: PromptSettings, session: TrainingSession, reporter: Reporter
) -> PromptsReport:
    reporter.note(f"Run folder: {opened.path}")
    inputs.group.from_first(lambda: write_manifest(inputs.manifest, opened.manifest, relative_to=inputs.manifest.root))
    task = _task(inputs, settings, reporter)
    fit = None if task is None else _fit(task, opened, inputs, settings, session=session, reporter=reporter)
    inputs.group.from_first(lambda: inputs.save(opened.stage("prompts"), opened.stage("visual"), task, settings))
    rows, counts = inputs.rows, (inputs.trainable(task), inputs.frozen())
    people, images = len(rows.part.identities()), len(rows.part)
    return PromptsReport(opened, people, images, fit, *counts, captions=len(rows.captions))


def _fit(
    task: PromptTask,
    opened: Run,
    inputs: Stage1Input,
    settings: PromptSettings,
    *,
    session: TrainingSession,
    reporter: Reporter,
) -> Fit:
    from scing_cli.core.methods.task import IMAGES
    from scing_cli.core.workflows.train.stage import dry_run_evaluation, train

    task.prepare(inputs.batches(IMAGES), reporter, session.cached)

    def dry_run(folder: Path) -> None:
        inputs.save(folder, folder / "visual", task, settings)
        dry_run_evaluation(inputs.manifest, inputs.embedder_of(task))

    def encode_again() -> None:
        if settings.learns_encoder and inputs.stage.use_features is not None:
            inputs.stage.use_features(task, inputs.encode(reporter))

    return train(
        task,
        inputs.rows,
        settings,
        batches_of=inputs.batches(task.reads),
        run=opened,
        session=session,
        reporter=reporter,
        dry_run=dry_run,
        groups=inputs.groups(settings),
        finish=encode_again,
    )


def _task(inputs: Stage1Input, settings: PromptSettings, reporter: Reporter) -> PromptTask | None:
    """Build the task; None if the method's stage 1 trains nothing."""
    import torch

    from scing_cli.core.methods import StageInputs

    stage, rows, embedder, features = inputs.stage, inputs.rows, inputs.embedder, None
    if stage.build is None:
        reporter.note(f"--method {settings.method} has no prompts: this stage makes the run, and stage 2 trains.")
        return None
    if stage.use_features is not None:
        features = inputs.encode(reporter)
    given = StageInputs(
        inputs.clip,
        labels=torch.tensor(rows.classes, device=embedder.device),
        precision=embedder.precision,
        features=features,
        captions=rows.captions,
        note=reporter.note,
        objects=inputs.manifest.objects(),
    )
    task = stage.build(settings, given)
    for kind, counts in (("Trainable", inputs.trainable(task)), ("Frozen", inputs.frozen())):
        shown = [f"{name} {count:,}" for name, count in counts.items() if count]
        reporter.note(f"{kind} parameters: {', '.join(shown)}")
    if settings.learns_encoder:
        plain = stage.build(settings.model_copy(update={"compile": False}), given)  # compiled blocks keep one shape
        reporter.note(inputs.cost(plain, settings))
    return task
