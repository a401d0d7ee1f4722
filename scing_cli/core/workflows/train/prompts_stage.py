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
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import Manifest, labels, with_own_paths, write_manifest
from scing_cli.core.paths import StrPath, as_path, as_paths
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, choose_precision, memory_advice
from scing_cli.core.settings import PromptSettings, check_method, check_used, given_settings, saved_settings
from scing_cli.core.settings.schedule_settings import MINUTES
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.readable import readable_rows
from scing_cli.core.workflows.shared.run_data import read_sources
from scing_cli.core.workflows.train.run_entries import given_as, open_or_create
from scing_cli.core.workflows.train.session import TrainingSession
from scing_cli.core.workflows.train.unfinished import Unfinished, lock_prompts_run, machine_of
from scing_cli.core.workflows.train.visual_choice import PLANNED

if TYPE_CHECKING:  # torch is imported inside functions: what is refused is refused before
    from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
    from scing_cli.core.encoders.clip import ClipModel
    from scing_cli.core.methods import Batches, Origin, PromptStage, PromptTask
    from scing_cli.core.training import Fit


@dataclasses.dataclass(frozen=True)
class PromptsReport:
    """Result of stage 1.

    Args:
        run: The run folder.
        identities: Number of training identities, K.
        images: Number of training images.
        fit: Figures of the training.
        trainable: Trained parameters per module.
        frozen: Frozen parameters per module.
        left_out: Training images that cannot be read, with the reasons; the run is without them.
        passed_over: What was passed over in the data's folders.
    """

    run: Run
    identities: int
    images: int
    fit: Fit
    trainable: Mapping[str, int]
    frozen: Mapping[str, int]
    left_out: tuple[Dropped, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Stage1Input:
    """The stage, data, classes of the training rows, the frozen CLIP on the device, and images that cannot be read."""

    stage: PromptStage
    manifest: Manifest
    part: Manifest
    classes: Sequence[int]
    clip: ClipModel
    digest: str
    embedder: TorchEmbedder
    left_out: LeftOut


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
    """Train the prompts of all identities; both encoders stay frozen (Eq. 7-16).

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
        machine: Device, precision and threads.
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
    source = read_sources(paths, layout=layout, include_val=include_val, reporter=reporter, check=_check_source)
    manifest = with_own_paths(source.manifest)
    left_out, total = LeftOut(strict=strict), len(manifest.part("train"))
    manifest = readable_rows(manifest, "train", left_out=left_out, workers=machine.threads(), reporter=reporter)
    announce_left_out(len(left_out), total, reporter, what="training image")
    check_training(manifest)
    if settings.compile:
        from scing_cli.core.encoders.compiled import prepare_compiling

        prepare_compiling(machine.torch_device(), reporter)
    facts = {"settings": saved_settings(settings), "data": manifest.fingerprint()}
    origin = {**given_as(paths), "layout": source.layout, "include_val": include_val}
    given = {
        "settings": given_settings(settings),
        "path": str(paths[0].absolute()) if len(paths) == 1 else [str(path.absolute()) for path in paths],
        "layout": layout,
        "include-val": include_val,
        "device": machine.device,
    }
    memory = memory_advice("a smaller --batch-size, --precision bf16, --stride 16, --device cpu")
    with lock_prompts_run(run, manifest.name, facts, resume=resume) as target:
        from scing_cli.core.encoders.compiled import compile_advice

        with memory, compile_advice():
            inputs = _read_input(manifest, settings, machine, left_out, reporter)
            training = Unfinished(
                target,
                "prompts",
                facts={**facts, "model": _digest(inputs.clip)},
                given=given,
                machine=machine_of(inputs.embedder.device.type, inputs.embedder.precision, inputs.part),
            )
            info = _run_info(origin, inputs, settings) | ({PLANNED: {"train-visual": dict(visual)}} if visual else {})
            session = TrainingSession(training, minutes=save_minutes, reporter=reporter)
            with session.running(resume=resume):
                report = _train(open_or_create(target, info), inputs, settings, session, reporter)
            listing = report.run.left_out("prompts")
            report_left_out(left_out.dropped(), total, reporter, what="training image", target=listing)
            return dataclasses.replace(report, left_out=left_out.dropped(), passed_over=source.passed)


def _check_source(source: DataSet) -> None:
    check_training(source.manifest, train_on=LAYOUTS[source.layout].train_on)


def _digest(clip: ClipModel) -> str:
    """Return a digest of both towers and the logit scale."""
    from scing_cli.core.encoders.encoder_file import encoder_digest, tensors_digest

    facts = {"image": encoder_digest(clip.image), "logit_scale": clip.logit_scale}
    return tensors_digest(clip.text.state_dict(), facts)


def _train(
    opened: Run, inputs: _Stage1Input, settings: PromptSettings, session: TrainingSession, reporter: Reporter
) -> PromptsReport:
    from scing_cli.core.methods.task import IMAGES
    from scing_cli.core.workflows.train.stage import dry_run_evaluation, train

    manifest = inputs.manifest
    reporter.note(f"Run folder: {opened.path}")
    write_manifest(manifest, opened.manifest, relative_to=manifest.root)
    task = _task(inputs, settings, reporter)
    task.prepare(_batches(inputs, reads=IMAGES), reporter, session.checkpoints.cached)
    origin = _origin(inputs, settings)

    def dry_run(folder: Path) -> None:
        inputs.stage.save(folder, task, settings, origin)
        dry_run_evaluation(manifest, inputs.embedder)

    fit = train(
        task,
        inputs.part,
        inputs.classes,
        settings,
        batches_of=_batches(inputs, reads=task.reads),
        run=opened,
        session=session,
        reporter=reporter,
        dry_run=dry_run,
    )
    inputs.stage.save(opened.stage("prompts"), task, settings, origin)
    trainable, frozen = _parameters(task, inputs.clip)
    return PromptsReport(opened, len(inputs.part.identities()), len(inputs.part), fit, trainable, frozen)


def _read_input(
    manifest: Manifest, settings: PromptSettings, machine: Machine, left_out: LeftOut, reporter: Reporter
) -> _Stage1Input:
    from scing_cli.core.encoders.clip import load_clip
    from scing_cli.core.encoders.encoder_file import encoder_digest
    from scing_cli.core.methods import load_method

    device = machine.torch_device()
    clip = load_clip(
        settings.model,
        settings.pretrained,
        stride=settings.stride,
        statistics=settings.statistics,
        interpolation=settings.interpolation,
        seed=settings.seed,
        reporter=reporter,
    )
    digest = encoder_digest(clip.image)
    precision = choose_precision(settings.precision, device, auto="bf16")
    embedder = machine.embedder(clip.image, precision=precision)
    clip.text.to(device)
    part = manifest.part("train")
    stage, _ = load_method(settings.method).stages
    return _Stage1Input(stage, manifest, part, labels(part, part.identities()), clip, digest, embedder, left_out)


def _task(inputs: _Stage1Input, settings: PromptSettings, reporter: Reporter) -> PromptTask:
    import torch

    from scing_cli.core.methods import StageInputs
    from scing_cli.core.workflows.train.training_images import encode

    embedder, features = inputs.embedder, None
    if inputs.stage.reads_features:
        vectors = encode(inputs.part, embedder, left_out=inputs.left_out, reporter=reporter)
        features = torch.from_numpy(vectors).to(embedder.device)
    classes = torch.tensor(inputs.classes, device=embedder.device)
    task = inputs.stage.build(settings, StageInputs(inputs.clip, classes, embedder.precision, features=features))
    for kind, counts in zip(("Trainable", "Frozen"), _parameters(task, inputs.clip), strict=True):
        reporter.note(f"{kind} parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    return task


def _batches(inputs: _Stage1Input, *, reads: frozenset[str]) -> Batches:
    from scing_cli.core.workflows.train.training_images import make_batches

    embedder, geometry = inputs.embedder, inputs.clip.image.geometry
    device, workers, left_out = embedder.device, embedder.workers, inputs.left_out
    return make_batches(inputs.part, geometry, device=device, workers=workers, reads=reads, left_out=left_out)


def _origin(inputs: _Stage1Input, settings: PromptSettings) -> Origin:
    from scing_cli.core.methods import Origin

    extra = {"method": settings.method, "settings": saved_settings(settings)}
    return Origin(inputs.part.identities(), inputs.digest, inputs.clip.logit_scale, extra)


def _parameters(task: PromptTask, clip: ClipModel) -> tuple[dict[str, int], dict[str, int]]:
    """Count trainable parameters per part of the prompts, and frozen ones per tower."""
    trainable: dict[str, int] = {}
    for name, value in task.trainable().named_parameters():
        part = name.partition(".")[0]
        trainable[part] = trainable.get(part, 0) + value.numel()
    towers = {"image encoder": clip.image, "text encoder": clip.text}
    frozen = {name: sum(value.numel() for value in tower.parameters()) for name, tower in towers.items()}
    return trainable, frozen


def _run_info(origin: Mapping[str, Any], inputs: _Stage1Input, settings: PromptSettings) -> dict[str, Any]:
    from scing_cli.core.encoders.encoder_file import tensors_digest

    clip, manifest = inputs.clip, inputs.manifest
    return {
        "data": {"root": str(manifest.root.absolute()), "name": manifest.name, **origin}
        | {"fingerprint": manifest.fingerprint()},
        "identities": list(inputs.part.identities()),
        "model": {
            "model": clip.name,
            "pretrained": clip.pretrained,
            "geometry": clip.image.geometry.as_dict(),
            "digest": inputs.digest,
            "text_digest": tensors_digest(clip.text.state_dict(), {}),
        },
        "seed": settings.seed,
        "machine": {"device": inputs.embedder.device.type, "precision": inputs.embedder.precision},
        "settings": {"train-prompts": saved_settings(settings)},
    }
