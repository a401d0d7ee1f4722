"""Stage 1, from a folder of images to saved prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scing_cli.core.artifacts import Run, create_run, open_run, update_run
from scing_cli.core.config import PromptSettings, check_used, given_settings, saved_settings
from scing_cli.core.datasets import check_training
from scing_cli.core.embeddings.torch_embedder import TowerEmbedder
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.compiled import compile_advice, prepare_compiling
from scing_cli.core.encoders.encoder_file import encoder_digest, tensors_digest
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.manifest import Manifest, labels, write_manifest
from scing_cli.core.method_table import check_method
from scing_cli.core.methods import Feed, PromptTask, load_method
from scing_cli.core.methods.prompts_file import IdentityTexts, save_prompts
from scing_cli.core.runtime import Reporter, Silent, choose_precision, memory_advice
from scing_cli.core.training import MINUTES, Fit
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.run_data import read_source
from scing_cli.core.workflows.train.session import Course, course
from scing_cli.core.workflows.train.stage import make_feed, rehearse_evaluation, train
from scing_cli.core.workflows.train.unfinished import Unfinished, machine_of, place_of_prompts


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
class _Ground:
    """What stage 1 stands on: the data, its classes, and the frozen CLIP on the device."""

    manifest: Manifest
    part: Manifest
    classes: Sequence[int]
    clip: ClipModel
    digest: str
    embedder: TowerEmbedder


def train_prompts(
    data: Path,
    settings: PromptSettings,
    *,
    layout: str = "auto",
    include_val: bool = False,
    run: Path | None = None,
    resume: bool | None = None,
    save_minutes: float = MINUTES,
    machine: Machine | None = None,
    reporter: Reporter | None = None,
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
    machine, reporter = machine or Machine(), reporter or Silent()
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
    with place_of_prompts(run, manifest.name, facts, resume=resume) as target, memory, compile_advice():
        ground = _ground(manifest, settings, machine, reporter)
        wanted = Unfinished(
            target,
            "prompts",
            facts={**facts, "model": _digest(ground.clip)},
            given=given,
            machine=machine_of(ground.embedder.device.type, ground.embedder.precision, ground.part),
        )
        info = _run_info(place, ground, settings)
        with course(wanted, resume=resume, minutes=save_minutes, reporter=reporter) as begun:
            return _learn(_opened(target, info), ground, settings, begun, reporter)


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


def _learn(opened: Run, ground: _Ground, settings: PromptSettings, begun: Course, reporter: Reporter) -> PromptsReport:
    manifest = ground.manifest
    reporter.note(f"Run folder: {opened.path}")
    write_manifest(manifest, opened.manifest, relative_to=manifest.root)
    task = _task(ground, settings, reporter)
    task.prepare(_feed(ground, images=True), reporter, begun.checkpoints.keep)

    def rehearsal(folder: Path) -> None:
        _save(folder, task, ground, settings)
        rehearse_evaluation(manifest, ground.embedder)

    fit = train(
        task,
        ground.part,
        ground.classes,
        settings,
        feed=_feed(ground, images=task.reads_images),
        run=opened,
        course=begun,
        reporter=reporter,
        rehearsal=rehearsal,
    )
    _save(opened.prompts, task, ground, settings)
    learnt, frozen = _parameters(task, ground.clip)
    return PromptsReport(opened, len(ground.part.identities()), len(ground.part), fit, learnt, frozen)


def _ground(manifest: Manifest, settings: PromptSettings, machine: Machine, reporter: Reporter) -> _Ground:
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
    return _Ground(manifest, part, labels(part, part.identities()), clip, digest, embedder)


def _task(ground: _Ground, settings: PromptSettings, reporter: Reporter) -> PromptTask:
    embedder = ground.embedder
    vectors = embedder.files(ground.part.files(), unit=False, reporter=reporter, text="encode train")
    task = load_method(settings.method).prompt_task(
        settings,
        clip=ground.clip,
        features=torch.from_numpy(vectors).to(embedder.device),
        labels=torch.tensor(ground.classes, device=embedder.device),
        precision=embedder.precision,
    )
    for kind, counts in zip(("Trainable", "Frozen"), _parameters(task, ground.clip), strict=True):
        reporter.note(f"{kind} parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    return task


def _feed(ground: _Ground, *, images: bool) -> Feed:
    embedder = ground.embedder
    return make_feed(
        ground.part, ground.clip.image.geometry, device=embedder.device, workers=embedder.workers, images=images
    )


def _save(folder: Path, task: PromptTask, ground: _Ground, settings: PromptSettings) -> None:
    texts = IdentityTexts(
        vectors=task.identity_texts(kind=settings.identity_text),
        identities=ground.part.identities(),
        logit_scale=ground.clip.logit_scale,
        model_digest=ground.digest,
        similarity=settings.similarity,
    )
    extra = {"method": settings.method, "settings": saved_settings(settings)}
    save_prompts(folder, task.learnt().state_dict(), texts, extra)


def _parameters(task: PromptTask, clip: ClipModel) -> tuple[dict[str, int], dict[str, int]]:
    """Count learnt and frozen parameters per module: the learnt module's own parts, and the two towers."""
    learnt: dict[str, int] = {}
    for name, value in task.learnt().named_parameters():
        head = name.partition(".")[0]
        learnt[head] = learnt.get(head, 0) + value.numel()
    towers = {"image encoder": clip.image, "text encoder": clip.text}
    frozen = {name: sum(value.numel() for value in tower.parameters()) for name, tower in towers.items()}
    return learnt, frozen


def _run_info(given: Mapping[str, Any], ground: _Ground, settings: PromptSettings) -> dict[str, Any]:
    clip = ground.clip
    return {
        "data": {
            "root": str(ground.manifest.root.absolute()),
            "name": ground.manifest.name,
            **given,
            "fingerprint": ground.manifest.fingerprint(),
        },
        "identities": list(ground.part.identities()),
        "model": {
            "model": clip.name,
            "pretrained": clip.pretrained,
            "geometry": clip.image.geometry.as_dict(),
            "digest": ground.digest,
        },
        "seed": settings.seed,
        "machine": {"device": ground.embedder.device.type, "precision": ground.embedder.precision},
        "settings": {"train-prompts": saved_settings(settings)},
    }
