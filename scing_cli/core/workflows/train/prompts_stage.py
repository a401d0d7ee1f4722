"""Stage 1, from a folder of images to saved prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scing_cli.core.artifacts import Run, create_run, open_run, update_run
from scing_cli.core.datasets import check_training
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.compiled import compile_advice, prepare_compiling
from scing_cli.core.encoders.encoder_file import encoder_digest, tensors_digest
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import Manifest, labels, write_manifest
from scing_cli.core.methods import Batches, PromptTask, load_method
from scing_cli.core.methods.prompts_file import IdentityTexts, save_prompts
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, choose_precision, memory_advice
from scing_cli.core.settings import PromptSettings, check_method, check_used, given_settings, saved_settings
from scing_cli.core.training import MINUTES, Fit
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.run_data import read_source
from scing_cli.core.workflows.train.session import TrainingSession, training_session
from scing_cli.core.workflows.train.stage import dry_run_evaluation, make_batches, train
from scing_cli.core.workflows.train.unfinished import Unfinished, lock_prompts_run, machine_of


@dataclasses.dataclass(frozen=True)
class PromptsReport:
    """What stage 1 has to tell.

    Args:
        run: The run folder.
        identities: K.
        images: Training images.
        fit: The course of training.
        trainable: Learnt parameters per module.
        frozen: Frozen parameters per module.
    """

    run: Run
    identities: int
    images: int
    fit: Fit
    trainable: Mapping[str, int]
    frozen: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class _Stage1Input:
    """What stage 1 stands on: the data, its classes, and the frozen CLIP on the device."""

    manifest: Manifest
    part: Manifest
    classes: Sequence[int]
    clip: ClipModel
    digest: str
    embedder: TorchEmbedder


def train_prompts(
    data: StrPath,
    settings: PromptSettings,
    *,
    layout: str = "auto",
    include_val: bool = False,
    run: StrPath | None = None,
    resume: bool | None = None,
    save_minutes: float = MINUTES,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> PromptsReport:
    """Learn each identity's prompts from its images; both encoders stay frozen (Eq. 7-16).

    A training that was interrupted goes on from its last saved step when it is started again in the same way.

    Args:
        data: A data set folder or a CSV, prepared or not.
        settings: Method, model, losses and schedule.
        layout: `auto`, or the layout's name.
        include_val: Whether validation rows are for training too; the run keeps them as such.
        run: The run folder to make, or one whose stage 1 is unfinished; None for one in `runs/`.
        resume: False to begin anew even where the same training is unfinished.
        save_minutes: A step is saved that often, and at the ends of epochs.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        DataError: If the data cannot be trained on.
        WeightsError: If the model cannot be had.
        TrainingError: If a loss is not finite.
        InterruptionError: On Ctrl-C or SIGTERM.
    """
    data, run = as_path(data), as_path(run)
    machine = machine or Machine()
    machine = dataclasses.replace(machine, batch_size=settings.batch_size)
    check_method(settings)
    check_used(settings)
    source = read_source(data, layout=layout, include_val=include_val, reporter=reporter)
    manifest = source.manifest
    check_training(manifest, train_on=LAYOUTS[source.layout].train_on)
    if settings.compile:
        prepare_compiling(machine.place(), reporter)
    facts = {"settings": saved_settings(settings), "data": manifest.fingerprint()}
    place = {"given": str(data), "layout": source.layout, "include_val": include_val}
    given = {
        "settings": given_settings(settings),
        "path": str(data.absolute()),
        "layout": layout,
        "include-val": include_val,
        "device": machine.device,
    }
    memory = memory_advice("a smaller --batch-size, --precision bf16, --stride 16, --device cpu")
    with lock_prompts_run(run, manifest.name, facts, resume=resume) as target, memory, compile_advice():
        inputs = _read_input(manifest, settings, machine, reporter)
        wanted = Unfinished(
            target,
            "prompts",
            facts={**facts, "model": _digest(inputs.clip)},
            given=given,
            machine=machine_of(inputs.embedder.device.type, inputs.embedder.precision, inputs.part),
        )
        info = _run_info(place, inputs, settings)
        with training_session(wanted, resume=resume, minutes=save_minutes, reporter=reporter) as begun:
            return _learn(_opened(target, info), inputs, settings, begun, reporter)


def _opened(target: Path, info: Mapping[str, Any]) -> Run:
    """Make the run, or open one that goes on; the data may have moved meanwhile."""
    if not (target / "run.json").exists():
        return create_run(target, info)
    opened = open_run(target)
    moved = opened.info["data"].get("root") != info["data"]["root"]
    return update_run(opened, {"data": info["data"]}) if moved else opened


def _digest(clip: ClipModel) -> str:
    """Return what tells one CLIP from another: both towers, and the scale of their products."""
    facts = {"image": encoder_digest(clip.image), "logit_scale": clip.logit_scale}
    return tensors_digest(clip.text.state_dict(), facts)


def _learn(
    opened: Run, inputs: _Stage1Input, settings: PromptSettings, begun: TrainingSession, reporter: Reporter
) -> PromptsReport:
    manifest = inputs.manifest
    reporter.note(f"Run folder: {opened.path}")
    write_manifest(manifest, opened.manifest, relative_to=manifest.root)
    task = _task(inputs, settings, reporter)
    task.prepare(_batches(inputs, images=True), reporter, begun.checkpoints.keep)

    def dry_run(folder: Path) -> None:
        _save(folder, task, inputs, settings)
        dry_run_evaluation(manifest, inputs.embedder)

    fit = train(
        task,
        inputs.part,
        inputs.classes,
        settings,
        batches_of=_batches(inputs, images=task.reads_images),
        run=opened,
        session=begun,
        reporter=reporter,
        dry_run=dry_run,
    )
    _save(opened.prompts, task, inputs, settings)
    learnt, frozen = _parameters(task, inputs.clip)
    return PromptsReport(opened, len(inputs.part.identities()), len(inputs.part), fit, learnt, frozen)


def _read_input(manifest: Manifest, settings: PromptSettings, machine: Machine, reporter: Reporter) -> _Stage1Input:
    device = machine.place()
    clip = load_clip(
        settings.model,
        settings.pretrained,
        stride=settings.stride,
        statistics=settings.statistics,
        seed=settings.seed,
        reporter=reporter,
    )
    digest = encoder_digest(clip.image)
    precision = choose_precision(settings.precision, device, auto="bf16")
    embedder = machine.embedder(clip.image, precision=precision)
    clip.text.to(device)
    part = manifest.part("train")
    return _Stage1Input(manifest, part, labels(part, part.identities()), clip, digest, embedder)


def _task(inputs: _Stage1Input, settings: PromptSettings, reporter: Reporter) -> PromptTask:
    embedder = inputs.embedder
    vectors = embedder.files(inputs.part.files(), unit=False, reporter=reporter, text="encode train")
    task = load_method(settings.method).prompt_task(
        settings,
        clip=inputs.clip,
        features=torch.from_numpy(vectors).to(embedder.device),
        labels=torch.tensor(inputs.classes, device=embedder.device),
        precision=embedder.precision,
    )
    for kind, counts in zip(("Trainable", "Frozen"), _parameters(task, inputs.clip), strict=True):
        reporter.note(f"{kind} parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    return task


def _batches(inputs: _Stage1Input, *, images: bool) -> Batches:
    embedder = inputs.embedder
    return make_batches(
        inputs.part, inputs.clip.image.geometry, device=embedder.device, workers=embedder.workers, images=images
    )


def _save(folder: Path, task: PromptTask, inputs: _Stage1Input, settings: PromptSettings) -> None:
    texts = IdentityTexts(
        vectors=task.identity_texts(kind=settings.identity_text),
        identities=inputs.part.identities(),
        logit_scale=inputs.clip.logit_scale,
        model_digest=inputs.digest,
        similarity=settings.similarity,
    )
    extra = {"method": settings.method, "settings": saved_settings(settings)}
    save_prompts(folder, task.trainable().state_dict(), texts, extra)


def _parameters(task: PromptTask, clip: ClipModel) -> tuple[dict[str, int], dict[str, int]]:
    """Count learnt and frozen parameters per module: the learnt module's own parts, and the two towers."""
    learnt: dict[str, int] = {}
    for name, value in task.trainable().named_parameters():
        head = name.partition(".")[0]
        learnt[head] = learnt.get(head, 0) + value.numel()
    towers = {"image encoder": clip.image, "text encoder": clip.text}
    frozen = {name: sum(value.numel() for value in tower.parameters()) for name, tower in towers.items()}
    return learnt, frozen


def _run_info(given: Mapping[str, Any], inputs: _Stage1Input, settings: PromptSettings) -> dict[str, Any]:
    clip = inputs.clip
    return {
        "data": {
            "root": str(inputs.manifest.root.absolute()),
            "name": inputs.manifest.name,
            **given,
            "fingerprint": inputs.manifest.fingerprint(),
        },
        "identities": list(inputs.part.identities()),
        "model": {
            "model": clip.name,
            "pretrained": clip.pretrained,
            "geometry": clip.image.geometry.as_dict(),
            "digest": inputs.digest,
        },
        "seed": settings.seed,
        "machine": {"device": inputs.embedder.device.type, "precision": inputs.embedder.precision},
        "settings": {"train-prompts": saved_settings(settings)},
    }
