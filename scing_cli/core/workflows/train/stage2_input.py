"""What stage 2 is trained from: the run, what its stage 1 saved, and the CLIP whose encoders are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.devices import choose_precision
from scing_cli.core.embeddings.openvino_embedder import CROPS, make_openvino_model
from scing_cli.core.embeddings.openvino_text import make_openvino_text
from scing_cli.core.embeddings.text_embedder import TorchTextEmbedder
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.encoder_file import save_encoders, text_encoder_digest
from scing_cli.core.errors import RunError
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest
from scing_cli.core.methods import Batches, Stage1Result, StageInputs, Task, VisualStage, load_method
from scing_cli.core.methods.prompts_file import IdentityTexts, check_identities
from scing_cli.core.methods.task import Cached, not_cached
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import VisualSettings, given_settings, saved_settings
from scing_cli.core.training import AdamGroups
from scing_cli.core.workflows.shared.caption_side import captions_of, images_of_test
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.run_data import spectra_of
from scing_cli.core.workflows.shared.scoring import score_captions, score_parts, sides
from scing_cli.core.workflows.shared.starting_encoder import starting_clip
from scing_cli.core.workflows.train.training_images import encode, make_batches
from scing_cli.core.workflows.train.training_rows import TrainingRows, training_rows
from scing_cli.core.workflows.train.unfinished import Unfinished, machine_of

HEADS = "heads"


@dataclasses.dataclass(frozen=True)
class Stage2Input:
    """The method's stage, the run, its rows, and the CLIP on the device.

    Args:
        stage: Stage 2 of the method.
        run: The run.
        manifest: All rows of the data.
        rows: The rows of the training.
        earlier: What stage 1 saved.
        clip: The CLIP that stage 1 started from, with the image encoder that it left; the towers that are trained are
            on the device.
        machine: Device, precision and threads.
        left_out: Receives images that cannot be read.
    """

    stage: VisualStage
    run: Run
    manifest: Manifest
    rows: TrainingRows
    earlier: Stage1Result
    clip: ClipModel
    machine: Machine
    left_out: LeftOut

    @property
    def tunes_text(self) -> bool:
        """True if the text encoder is trained too."""
        return "text" in self.stage.towers

    def describe(self, settings: VisualSettings, given: Mapping[str, Any]) -> Unfinished:
        """Describe this training; it resumes an unfinished one with the same facts."""
        device = self.machine.torch_device()
        return Unfinished(
            self.run.path,
            "visual",
            facts={
                "settings": saved_settings(settings),
                "data": self.manifest.fingerprint(),
                "model": self.earlier.model_digest,
                "prompts": self.earlier.digest(),
            },
            given={"settings": given_settings(settings), "device": self.machine.device, **given},
            machine=machine_of(device.type, self.precision(settings), self.rows.part, self.machine.group),
        )

    def precision(self, settings: VisualSettings) -> str:
        """Return the precision of the training."""
        return choose_precision(settings.precision, self.machine.torch_device(), auto="bf16")

    def task(self, settings: VisualSettings, reporter: Reporter, cached: Cached = not_cached) -> Task:
        """Build the task, and say what it trains.

        Args:
            settings: Checked settings.
            reporter: Shows progress.
            cached: Stores slow results on disk, so that a resumed training does not compute them again.
        """
        device, encoder = self.machine.torch_device(), self.clip.image
        cameras = [sample.camera for sample in self.rows.part]
        given = StageInputs(
            self.clip,
            labels=torch.tensor(self.rows.classes, device=device),
            precision=self.precision(settings),
            features=self._features(settings, reporter, cached),
            captions=self.rows.captions,
            cameras=encoder.camera_rows(cameras) if encoder.cameras else None,
            camera_names=cameras,
            earlier=self.earlier,
            note=reporter.note,
        )
        task = self.stage.build(settings, given)
        counts = ", ".join(f"{name} {count:,}" for name, count in self.trainable(task).items())
        reporter.note(f"Trainable parameters: {counts}")
        reporter.note(f"Frozen: {self.earlier.summary()}")
        return task

    def _features(self, settings: VisualSettings, reporter: Reporter, cached: Cached) -> Tensor | None:
        """Return V of every training image, from the encoder that the training starts from; None if it is not read."""
        if self.stage.reads_features is None or not self.stage.reads_features(settings):
            return None
        embedder = self.machine.embedder(self.clip.image, precision=self.precision(settings))

        def make() -> Tensor:
            part, group = self.rows.part, self.machine.group
            return torch.from_numpy(encode(part, embedder, left_out=self.left_out, reporter=reporter, group=group))

        return cached("features", make).to(embedder.device)

    def trainable(self, task: Task) -> dict[str, int]:
        """Count the trainable parameters of each encoder, and of the heads of the losses if there are any."""
        counts = dict.fromkeys(self.stage.parts.values(), 0)
        for name, value in task.trainable().named_parameters():
            if value.requires_grad:
                counts[self.stage.parts[name.partition(".")[0]]] += value.numel()
        return {name: count for name, count in counts.items() if count}

    def groups(self, settings: VisualSettings) -> AdamGroups:
        """Return the settings of Adam for biases and heads."""
        heads = [prefix for prefix, part in self.stage.parts.items() if part == HEADS]
        decay, factor = settings.bias_weight_decay, settings.head_lr_factor
        return AdamGroups(eps=settings.adam_eps, bias_weight_decay=decay, heads=heads, head_factor=factor)

    def batches(self, reads: frozenset[str]) -> Batches:
        """Return a function from lists of rows to batches with these inputs."""
        return make_batches(
            self.rows,
            self.clip.image,
            device=self.machine.torch_device(),
            workers=self.machine.threads(),
            reads=reads,
            left_out=self.left_out,
            group=self.machine.group,
        )

    def save(self, folder: Path) -> str:
        """Write the trained encoders; return the digest of the image encoder."""
        text = self.clip.text if self.tunes_text else None
        return save_encoders(folder, self.clip.image, {"started_from": self.earlier.model_digest}, text=text)

    def export_openvino(self, digest: str, reporter: Reporter) -> None:
        """Export the trained encoders as OpenVINO models, and compare them on a few training images and texts."""
        samples, encoder = self.rows.part.samples[:CROPS], self.clip.image
        make_openvino_model(
            self.run.inference,
            encoder,
            digest,
            self.rows.part.sources(encoder.spectra)[:CROPS],
            cameras=[sample.camera for sample in samples] if encoder.cameras else None,
            workers=self.machine.threads(),
            reporter=reporter,
        )
        if self.tunes_text:
            text = self.clip.text.cpu()
            make_openvino_text(self.run.text_inference, text, text_encoder_digest(text), reporter=reporter)

    def queries(self, validation: Manifest) -> Manifest:
        """Return a row for each query of a validation: the image of each caption, or each image."""
        if not self.tunes_text:
            return validation.part("val")
        images = images_of_test(validation, "val")
        return dataclasses.replace(images, samples=captions_of(images, "val").samples())

    def validate(self, validation: Manifest, reporter: Reporter) -> Scores:
        """Evaluate the last epoch on the split `val`: with captions as queries if the method learns from them."""
        embedder = self.machine.embedder(self.clip.image)
        if self.tunes_text:
            words = TorchTextEmbedder(self.clip.text.to(embedder.device), device=embedder.device)
            return score_captions(validation, "val", words, embedder, reporter=reporter)
        queries, gallery = sides(validation.seen_in(embedder.spectra), "val")
        return score_parts(queries, gallery, embedder, protocol="auto", reporter=reporter)


def read_input(
    run: Run,
    manifest: Manifest,
    settings: VisualSettings,
    *,
    pretrained: str | None,
    cameras: Sequence[str],
    machine: Machine,
    left_out: LeftOut,
    reporter: Reporter,
) -> Stage2Input:
    """Read what stage 1 saved, and load the CLIP that it started from to the device.

    Args:
        run: The run.
        manifest: All rows of the data.
        settings: Settings of stage 2.
        pretrained: New location of the weights, if they have moved.
        cameras: Cameras that get a vector.
        machine: Device, precision and threads.
        left_out: Receives images that cannot be read.
        reporter: Shows the progress of a download.

    Raises:
        RunError: If what stage 1 saved is damaged, or belongs to other identities or another model.
    """
    first, stage = load_method(settings.method).stages
    if first.load is None or stage is None:
        raise RunError(f"--method {settings.method} has no stage 2.", "Choose a run of another method.")
    load = first.load
    earlier = machine.group.from_first(lambda: load(run.stage("prompts")))
    check_identities(earlier, run.identities, where=str(run.path))
    clip = starting_clip(run, earlier.model_digest, pretrained, reporter, text_digest=earlier.text_digest)
    clip = clip.reading(spectra_of(run), missing=run.info["model"].get("missing", "mean"), join="concat")
    if isinstance(earlier, IdentityTexts):
        earlier.start(clip.image)
    for name in ("image", "text"):  # on the device meta, a tower that is not trained takes no memory
        getattr(clip, name).to(machine.torch_device() if name in stage.towers else "meta")
    if settings.camera_embedding:
        clip.image.learn_cameras(cameras, settings.seed)
    rows = training_rows(manifest.part("train"), run.identities, settings.method)
    return Stage2Input(stage, run, manifest, rows, earlier, clip, machine, left_out)
