"""What stage 1 is trained from: the CLIP on the device, and the rows with their classes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.devices import choose_precision
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.encoder_file import encoder_digest, save_encoders, tensors_digest
from scing_cli.core.errors import duration
from scing_cli.core.manifest import Manifest
from scing_cli.core.methods import Batches, Origin, PromptStage, Task, load_method
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, saved_settings
from scing_cli.core.training import AdamGroups
from scing_cli.core.training.gradients import trainable_by_name
from scing_cli.core.training.step_cost import step_cost
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.train.training_images import encode, make_batches
from scing_cli.core.workflows.train.training_rows import TrainingRows, training_rows

FEW = 8  # images of the step from which the cost of all is judged
IMAGE_ENCODER = "image encoder"


@dataclasses.dataclass(frozen=True)
class Stage1Input:
    """The method's stage, its rows, the CLIP on the device, and the images that cannot be read.

    Args:
        stage: Stage 1 of the method.
        manifest: All rows of the data.
        rows: The rows of the training.
        clip: Both towers, on the device.
        digest: Of the image tower, as loaded.
        text_digest: Of the text tower, as loaded.
        embedder: The image tower as an embedder.
        left_out: Receives images that cannot be read.
        group: The processes of the training.
    """

    stage: PromptStage
    manifest: Manifest
    rows: TrainingRows
    clip: ClipModel
    digest: str
    text_digest: str
    embedder: TorchEmbedder
    left_out: LeftOut
    group: ProcessGroup = ALONE

    def model_digest(self) -> str:
        """Return a digest of both towers and the logit scale."""
        facts = {"image": self.digest, "logit_scale": self.clip.logit_scale}
        return tensors_digest(self.clip.text.state_dict(), facts)

    def batches(self, reads: frozenset[str]) -> Batches:
        """Return a function from lists of rows to batches with these inputs."""
        embedder, image = self.embedder, self.clip.image
        device, workers, left_out, rows = embedder.device, embedder.workers, self.left_out, self.rows
        return make_batches(
            rows, image, device=device, workers=workers, reads=reads, left_out=left_out, group=self.group
        )

    def origin(self, settings: PromptSettings) -> Origin:
        """Return the facts that are saved with the result."""
        extra = {"method": settings.method, "settings": saved_settings(settings)}
        identities, scale = self.rows.part.identities(), self.clip.logit_scale
        return Origin(identities, self.digest, self.text_digest, scale, extra)

    def trainable(self, task: Task | None) -> dict[str, int]:
        """Count the trainable parameters of each part of the prompts."""
        counts: dict[str, int] = {}
        for name, value in trainable_by_name(task.trainable()) if task is not None else ():
            part = name.partition(".")[0]
            part = self.stage.parts.get(part, part)
            counts[part] = counts.get(part, 0) + value.numel()
        return counts

    def save(self, prompts: Path, visual: Path, task: Task | None, settings: PromptSettings) -> None:
        """Write the result of the stage: to `visual` the image encoder if the stage trains it, then to `prompts`."""
        if task is not None and self.stage.encoder is not None:
            facts = {"started_from": self.digest, "trained_by": self.stage.name}
            save_encoders(visual, self.stage.encoder(task), facts)
        self.stage.save(prompts, task, settings, self.origin(settings))

    def embedder_of(self, task: Task) -> TorchEmbedder:
        """Return the embedder that an evaluation after the stage would use: with the encoder that it trains, if any."""
        if self.stage.encoder is None:
            return self.embedder
        own = self.embedder
        return TorchEmbedder(
            self.stage.encoder(task),
            kind=own.kind,
            device=own.device,
            precision=own.precision,
            batch_size=own.batch_size,
            workers=own.workers,
        )

    def frozen(self) -> dict[str, int]:
        """Count the frozen parameters of each tower."""
        towers = {IMAGE_ENCODER: self.clip.image, "text encoder": self.clip.text}
        trained = {id(tower.prompts) for tower in towers.values()}
        trained |= {id(value) for value in self.clip.image.parameters() if value.requires_grad}
        return {
            name: sum(value.numel() for value in tower.parameters() if id(value) not in trained)
            for name, tower in towers.items()
        }

    def groups(self, settings: PromptSettings) -> AdamGroups | None:
        """Return the settings of Adam for an image encoder that learns too (R22); None where it is frozen."""
        if not settings.learns_encoder:
            return None
        encoders = [name for name, part in self.stage.parts.items() if part == IMAGE_ENCODER]
        return AdamGroups(heads=encoders, head_factor=settings.encoder_lr_factor)

    def encode(self, reporter: Reporter) -> Tensor:
        """Return V of every training image as the encoder is now, (N, D) float32 on the device."""
        vectors = encode(self.rows.part, self.embedder, left_out=self.left_out, reporter=reporter, group=self.group)
        return torch.from_numpy(vectors).to(self.embedder.device)

    def cost(self, task: Task, settings: PromptSettings) -> str:
        """Return what steps with the image encoder will need, judged from steps of a few images of different people."""
        first = {identity: row for row, identity in reversed(list(enumerate(self.rows.classes)))}
        most = FEW * self.group.size
        few = sorted(first.values())[:most] if len(first) >= most else range(min(most, len(self.rows.images)))
        batches = list(self.batches(task.reads)([list(few)[: max(1, len(few) // 2)], list(few)]))
        key = (settings.seed, task.name, "cost")
        (half, _), (kept, seconds) = (step_cost(task, batch, key) for batch in batches)
        sizes = [len(batch.share.rows or batch.rows) for batch in batches]
        each = (kept - half) / max(1, sizes[1] - sizes[0])  # bytes of an image; weights that are kept count once
        size = math.ceil(min(settings.batch_size, len(self.rows.images)) / self.group.size)  # of a process
        weights = sum(value.numel() * 4 for value in self.clip.image.parameters()) * 4
        memory = (kept + each * (size - sizes[1]) + weights) / 1e9
        time = duration(seconds / sizes[1] * len(self.rows.images) / self.group.size * settings.epochs)
        return (
            f"The image encoder learns too. Judged from {sizes[1]} images, a step of {size} needs "
            f"{memory:,.1f} GB (activations, weights, gradients, averages), and {settings.epochs} epochs take {time}. "
            "A smaller --batch-size needs less memory."
        )

    def run_info(self, origin: Mapping[str, Any], settings: PromptSettings) -> dict[str, Any]:
        """Return the entries of run.json; `origin` has those of how the data were given."""
        clip, manifest, spectra = self.clip, self.manifest, list(self.clip.image.spectra)
        return {
            "data": {"root": str(manifest.root.absolute()), "name": manifest.name, **origin}
            | {"fingerprint": manifest.fingerprint()},
            "identities": list(self.rows.part.identities()),
            "model": {
                "model": clip.name,
                "pretrained": clip.pretrained,
                "geometry": clip.image.geometry.as_dict(),
                "digest": self.digest,
                "text_digest": self.text_digest,
                **({"spectra": spectra, "missing": settings.missing} if spectra else {}),
            },
            "seed": settings.seed,
            "machine": {"device": self.embedder.device.type, "precision": self.embedder.precision},
            "settings": {"train-prompts": saved_settings(settings)},
        }


def read_input(
    manifest: Manifest,
    settings: PromptSettings,
    machine: Machine,
    left_out: LeftOut,
    reporter: Reporter,
    *,
    spectra: tuple[str, ...] = (),
) -> Stage1Input:
    """Load the CLIP of the settings to the device, and list the rows of the training.

    The vectors of several spectra are joined by their mean, which has the width of a text.
    """
    device = machine.torch_device()
    clip = load_clip(
        settings.model,
        settings.pretrained,
        stride=settings.stride,
        size=settings.size,
        statistics=settings.statistics,
        interpolation=settings.interpolation,
        seed=settings.seed,
        reporter=reporter,
    )
    digest, text_digest = encoder_digest(clip.image), tensors_digest(clip.text.state_dict(), {})
    clip = clip.reading(spectra, missing=settings.missing, join="mean")
    precision = choose_precision(settings.precision, device, auto="bf16")
    embedder = machine.embedder(clip.image, precision=precision)
    clip.text.to(device)
    part = manifest.part("train")
    stage, _ = load_method(settings.method).stages
    rows = training_rows(part, part.identities(), settings.method)
    return Stage1Input(stage, manifest, rows, clip, digest, text_digest, embedder, left_out, machine.group)
