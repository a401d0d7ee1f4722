"""Stage 2: train the image encoder of a run towards the texts that stage 1 saved."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import Run, update_run
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut, announce_left_out, report_left_out
from scing_cli.core.embeddings.openvino_embedder import CROPS, make_openvino_model
from scing_cli.core.encoders import hub
from scing_cli.core.errors import RunError
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest, labels
from scing_cli.core.paths import StrPath, as_path, file_keys
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, choose_precision, memory_advice
from scing_cli.core.settings import VisualSettings, check_used, given_settings, saved_settings
from scing_cli.core.settings.schedule_settings import MINUTES
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.readable import readable_rows
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.scoring import Caution, score_parts, sides, trained_on
from scing_cli.core.workflows.shared.starting_encoder import starting_clip
from scing_cli.core.workflows.train.run_lock import lock_run
from scing_cli.core.workflows.train.session import TrainingSession
from scing_cli.core.workflows.train.unfinished import Unfinished, machine_of, read_unfinished
from scing_cli.core.workflows.train.visual_checks import check_validation, training_cameras
from scing_cli.core.workflows.train.visual_choice import branched, choose_visual_run, existing_branch

if TYPE_CHECKING:  # torch is imported inside functions: what is refused is refused before
    from scing_cli.core.encoders.clip import ClipModel
    from scing_cli.core.encoders.image import ImageEncoder
    from scing_cli.core.methods import Stage1Result, Task, VisualStage
    from scing_cli.core.training import Fit


@dataclasses.dataclass(frozen=True)
class _Stage2Input:
    """The stage, the run, its rows and what stage 1 saved, and the CLIP whose encoders are trained, on the device."""

    stage: VisualStage
    run: Run
    manifest: Manifest
    part: Manifest
    earlier: Stage1Result
    clip: ClipModel
    machine: Machine

    @property
    def encoder(self) -> ImageEncoder:
        """The image encoder."""
        return self.clip.image


@dataclasses.dataclass(frozen=True)
class VisualReport:
    """Result of stage 2.

    Args:
        run: The run folder.
        identities: Number of training identities, K.
        images: Number of training images.
        trainable: Trained parameters of the image encoder, and of the heads that only the losses use.
        fit: Figures of the training.
        digest: Digest of the trained encoder.
        validation: Scores on the split `val`; None if not requested.
        left_out: Images that cannot be read, with the reasons: of the training, and with a validation of `val`.
        cautions: Why the scores of the validation are better than they should be.
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

    The result is the last epoch: no epoch is selected on test data. An interrupted training resumes from its last saved
    step if it is started again with the same arguments. Images that cannot be read are left out; the run lists them.

    Args:
        settings: Losses and schedule.
        run: A run with prompts; None for the newest.
        name: A new run next to it, with a copy of its stage 1, that gets the image encoder; None for the run itself.
        data: New folder of the images, if they have moved.
        pretrained: New path of stage 1's weights, if they have moved.
        validate: Whether to evaluate on the split `val`, where each image is a query against the others.
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
    check_used(settings)
    run, name = existing_branch(run, name)
    resumed = resume if name is None else False
    opened, _ = choose_visual_run(run, lambda _: settings, resume=resumed, reporter=reporter)
    if settings.compile:
        from scing_cli.core.encoders.compiled import prepare_compiling

        prepare_compiling(machine.torch_device(), reporter)
    with branched(opened, name) as opened, lock_run(opened.path):
        if opened.has("visual") and (resume is False or read_unfinished(opened.path, "visual") is None):
            raise RunError(
                f"{opened.path} already has a trained image encoder.",
                f"Train another one from the same stage 1: scing train-visual --run {shlex.quote(str(opened.path))} "
                f"--as NAME. Or remove {opened.stage('visual')}.",
            )
        left_out, manifest = LeftOut(strict=strict), run_manifest(opened, moved_to=data)
        if validate:
            check_validation(manifest)
        model = opened.info["model"]
        hub.locate(model["model"], pretrained or model["pretrained"], reporter=reporter)
        total = sum(len(manifest.part(split)) for split in ("train", *(("val",) if validate else ())))
        readable = functools.partial(readable_rows, left_out=left_out, workers=machine.threads(), reporter=reporter)
        validation = readable(manifest, "val") if validate else None
        manifest = readable(manifest, "train")
        announce_left_out(len(left_out), total, reporter)
        cameras = training_cameras(manifest.part("train"), reporter) if settings.camera_embedding else ()
        from scing_cli.core.encoders.compiled import compile_advice
        from scing_cli.core.methods import load_method
        from scing_cli.core.methods.prompts_file import check_identities

        first, stage = load_method(opened.prompt_settings()["method"]).stages
        earlier = first.load(opened.stage("prompts"))
        check_identities(earlier, opened.identities, where=str(opened.path))
        machine = dataclasses.replace(machine, batch_size=settings.batch_size)
        memory = memory_advice("a smaller --batch-size, --precision bf16, --device cpu")
        with memory, compile_advice():
            clip = starting_clip(opened, earlier.model_digest, pretrained, reporter)
            for name in ("image", "text"):  # on the device meta, a tower that is not trained takes no memory
                getattr(clip, name).to(machine.torch_device() if name in stage.towers else "meta")
            if settings.camera_embedding:
                clip.image.learn_cameras(cameras, settings.seed)
            inputs = _Stage2Input(stage, opened, manifest, manifest.part("train"), earlier, clip, machine)
            moved = {"data": str(data.absolute()) if data is not None else None, "pretrained": pretrained}
            training = _describe(inputs, settings, {**moved, "validate": validate})
            session = TrainingSession(training, minutes=save_minutes, reporter=reporter)
            with session.running(resume=resume):
                report = _train(inputs, settings, session, left_out, reporter)
            scores = _validate(inputs, validation, reporter) if validation is not None else None
            report_left_out(left_out.dropped(), total, reporter, target=opened.left_out("visual"))
            cautions = _cautions(validation, inputs.part) if validation is not None else ()
            for caution in cautions:
                reporter.warn(caution.text)
            return dataclasses.replace(report, validation=scores, left_out=left_out.dropped(), cautions=cautions)


def _describe(inputs: _Stage2Input, settings: VisualSettings, given: Mapping[str, Any]) -> Unfinished:
    """Describe this training; it resumes an unfinished one with the same facts."""
    device = inputs.machine.torch_device()
    return Unfinished(
        inputs.run.path,
        "visual",
        facts={
            "settings": saved_settings(settings),
            "data": inputs.manifest.fingerprint(),
            "model": inputs.earlier.model_digest,
            "prompts": inputs.earlier.digest(),
        },
        given={"settings": given_settings(settings), "device": inputs.machine.device, **given},
        machine=machine_of(device.type, choose_precision(settings.precision, device, auto="bf16"), inputs.part),
    )


def _train(
    inputs: _Stage2Input, settings: VisualSettings, session: TrainingSession, left_out: LeftOut, reporter: Reporter
) -> VisualReport:
    from scing_cli.core.encoders.encoder_file import save_image_encoder
    from scing_cli.core.workflows.train.stage import dry_run_evaluation, train
    from scing_cli.core.workflows.train.training_images import make_batches

    run, encoder = inputs.run, inputs.encoder
    task, classes = _task(inputs, settings, reporter)
    device = inputs.machine.torch_device()

    def dry_run(folder: Path) -> None:
        dry_run_evaluation(inputs.manifest, inputs.machine.embedder(encoder))
        save_image_encoder(folder, encoder, {})

    part, workers = inputs.part, inputs.machine.threads()
    batches_of = make_batches(
        part, encoder.geometry, device=device, workers=workers, reads=task.reads, left_out=left_out
    )
    fit = train(
        task,
        inputs.part,
        classes,
        settings,
        batches_of=batches_of,
        run=run,
        session=session,
        reporter=reporter,
        dry_run=dry_run,
    )
    changes = {"settings": {**run.info["settings"], "train-visual": saved_settings(settings)}}
    if inputs.manifest.root != Path(run.info["data"]["root"]):  # the data were moved: later commands find them
        changes["data"] = {**run.info["data"], "root": str(inputs.manifest.root.absolute())}
    run = update_run(run, changes)
    digest = save_image_encoder(run.stage("visual"), encoder, {"started_from": inputs.earlier.model_digest})
    _export_openvino(inputs, digest, reporter)
    counts = _parameters(task, inputs.stage)
    return VisualReport(run, len(run.identities), len(inputs.part), counts, fit, digest, None)


def _export_openvino(inputs: _Stage2Input, digest: str, reporter: Reporter) -> None:
    """Export the trained encoder as an OpenVINO model, and compare both on a few training images."""
    samples = inputs.part.samples[:CROPS]
    make_openvino_model(
        inputs.run.inference,
        inputs.encoder,
        digest,
        [inputs.part.file(sample) for sample in samples],
        cameras=[sample.camera for sample in samples] if inputs.encoder.cameras else None,
        workers=inputs.machine.threads(),
        reporter=reporter,
    )


def _task(inputs: _Stage2Input, settings: VisualSettings, reporter: Reporter) -> tuple[Task, list[int]]:
    import torch

    from scing_cli.core.methods import StageInputs

    device, encoder = inputs.machine.torch_device(), inputs.encoder
    classes = labels(inputs.part, inputs.run.identities)
    cameras = [sample.camera for sample in inputs.part]
    given = StageInputs(
        inputs.clip,
        labels=torch.tensor(classes, device=device),
        precision=choose_precision(settings.precision, device, auto="bf16"),
        cameras=encoder.camera_rows(cameras) if encoder.cameras else None,
        earlier=inputs.earlier,
    )
    task = inputs.stage.build(settings, given)
    counts = ", ".join(f"{name} {count:,}" for name, count in _parameters(task, inputs.stage).items())
    reporter.note(f"Trainable parameters: {counts}")
    reporter.note(f"Frozen: {inputs.earlier.summary()}")
    return task, classes


def _parameters(task: Task, stage: VisualStage) -> dict[str, int]:
    """Count the trainable parameters of each encoder, and of the heads of the losses if there are any."""
    counts = dict.fromkeys(stage.parts.values(), 0)
    for name, value in task.trainable().named_parameters():
        if value.requires_grad:
            counts[stage.parts[name.partition(".")[0]]] += value.numel()
    return {name: count for name, count in counts.items() if count}


def _validate(inputs: _Stage2Input, validation: Manifest, reporter: Reporter) -> Scores:
    """Evaluate the last epoch on the split `val`."""
    queries, gallery = sides(validation, "val")
    return score_parts(queries, gallery, inputs.machine.embedder(inputs.encoder), protocol="auto", reporter=reporter)


def _cautions(validation: Manifest, trained: Manifest) -> tuple[Caution, ...]:
    """Return the caution that the split `val` shows people, or images, of the training."""
    queries, files = validation.part("val"), set(file_keys(trained.files()))
    people = set(trained.identities())
    rows = zip(file_keys(queries.files()), queries, strict=True)
    return trained_on([row.identity for key, row in rows if row.identity in people or key in files], len(queries))
