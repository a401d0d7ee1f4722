"""Opens the text tower of a model: the one that its run trained, or the one of the CLIP that it is or started from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scing_cli.core.artifacts import Run, cache_folder, text_digest
from scing_cli.core.artifacts.known_digests import key_of
from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.openvino_text import load_openvino_text, make_openvino_text
from scing_cli.core.embeddings.text_embedder import TextEmbedder, TorchTextEmbedder
from scing_cli.core.encoders.hub import locate
from scing_cli.core.errors import INDEX_AGAIN, RunError, SettingError
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.starting_encoder import starting_clip

if TYPE_CHECKING:
    from scing_cli.core.encoders.clip import ClipModel
    from scing_cli.core.encoders.text import TextEncoder
    from scing_cli.core.workflows.shared.machine import Machine

REMEDY = f"Restore its weights, or embed the gallery again: {INDEX_AGAIN}"


def open_text_embedder(
    model: OpenedModel, *, machine: Machine | None = None, option: str = "--text", reporter: Reporter
) -> TextEmbedder:
    """Return the embedder of texts whose vectors can be compared with a model's.

    A run whose stage 2 trained the text tower has its own. Otherwise stage 2 moved the image encoder towards texts of
    CLIP's text tower, which stayed as it was.

    Args:
        model: The model of the images.
        machine: For an embedder in torch on its device, in its precision; None for one that starts quickly, in
            OpenVINO where there is a copy, on the CPU.
        option: The option that needs it, for messages.
        reporter: Receives the warnings of loading the CLIP, such as random weights, also if a copy is used.

    Raises:
        SettingError: If the model has no text tower.
        RunError: If the CLIP that a run started from is not the same any more.
        WeightsError: If its weights are not available.
    """
    check_text_tower(model, option)
    if model.run is not None and "text" in model.run.encoders:
        return _trained_embedder(model.run, machine, reporter)
    clip = _clip_of(model)
    if machine is not None:
        return machine.text_embedder(clip.load(reporter).text)
    key = clip.key(reporter)
    folder = _cache(key)
    if (found := _openvino(folder, key, reporter)) is not None:
        return found
    listening = _Listening(reporter)
    tower = clip.load(listening).text
    _make_openvino(folder, tower, key, listening.warnings, reporter)
    return TorchTextEmbedder(tower)


def _trained_embedder(run: Run, machine: Machine | None, reporter: Reporter) -> TextEmbedder:
    """Return the embedder of the text tower that a run's stage 2 trained."""
    digest, own = run.encoders["text"], run.text_inference
    folders = (own, _cache(digest))  # the second one for a run in a folder that cannot be written
    for folder in folders if machine is None else ():
        if (found := _openvino(folder, digest, reporter)) is not None:
            return found
    from scing_cli.core.encoders.encoder_file import load_text_encoder

    tower = load_text_encoder(run.stage("visual"))
    if machine is not None:
        return machine.text_embedder(tower)
    _make_openvino(folders[0] if os.access(own.parent, os.W_OK) else folders[1], tower, digest, (), reporter)
    return TorchTextEmbedder(tower)


def _cache(key: str) -> Path:
    return cache_folder() / "inference-text" / key[:32]


def _openvino(folder: Path, key: str, reporter: Reporter) -> TextEmbedder | None:
    """Return a tower's OpenVINO model; None if there is none, or with a warning if it is damaged."""
    try:
        found = load_openvino_text(folder, key)
    except RunError as error:
        reporter.warn(str(error).replace("\n", " "))
        return None
    for warning in found.warnings if found is not None else ():
        reporter.warn(warning)
    return found


def _make_openvino(folder: Path, tower: TextEncoder, key: str, warnings: Sequence[str], reporter: Reporter) -> None:
    if make_openvino_text(folder, tower, key, warnings=warnings, reporter=reporter):
        reporter.note(f"OpenVINO model of the text tower, for searches that start without torch: {folder}")


def check_text_tower(model: OpenedModel, option: str) -> None:
    """Refuse a model that cannot read words, before anything is embedded.

    Args:
        model: The model of the images.
        option: The option that needs a text tower.

    Raises:
        SettingError: If the model has no text tower.
    """
    if model.engine is not None:
        raise SettingError(f"{option} needs a CLIP: {model.label()} has no text encoder.", "Use photos.")
    if model.run is not None and "dmpt" in model.run.visual_stamp()["model"]:
        raise SettingError(
            f"{option}: the vectors of {model.label()} are not those of CLIP, to which words could be compared: "
            "--method dmpt learns without words.",
            "Use images, or a model of another method.",
        )


@dataclasses.dataclass(frozen=True)
class _Clip:
    """The CLIP whose text tower belongs to a model.

    Args:
        digest: The digest of its image encoder.
        model: Its name.
        pretrained: The name of its weights.
        load: Loads it, and checks that it is still the same.
        seed: The seed of random weights.
    """

    digest: str
    model: str
    pretrained: str
    load: Callable[[Reporter], ClipModel]
    seed: int

    def key(self, reporter: Reporter) -> str:
        """Return a key of both towers without loading them: of the image encoder's digest and the weights file's state.

        Raises:
            WeightsError: If that file is gone.
        """
        file = locate(self.model, self.pretrained, reporter=reporter)
        return text_digest(f"{self.digest} {self.seed if file is None else key_of(file).hex()}")


class _Listening(Silent):
    """Passes warnings and notes on, and keeps the warnings."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.reporter.warn(text)

    def note(self, text: str) -> None:
        self.reporter.note(text)


def _clip_of(model: OpenedModel) -> _Clip:
    """Return the CLIP whose text tower belongs to a model."""
    if (run := model.run) is not None:
        info = run.info["model"]
        digest, seed = str(info["digest"]), int(run.prompt_settings()["seed"])

        def start(reporter: Reporter) -> ClipModel:
            return starting_clip(run, digest, None, reporter, text_digest=info.get("text_digest"))

        return _Clip(digest, str(info["model"]), str(info["pretrained"]), start, seed)

    where = model.where

    def load(reporter: Reporter) -> ClipModel:
        from scing_cli.core.encoders.clip import load_clip
        from scing_cli.core.encoders.encoder_file import encoder_digest

        options = {name: where[name] for name in ("stride", "seed", "statistics", "interpolation") if name in where}
        clip = load_clip(where["model"], where["pretrained"], reporter=reporter, **options)
        # a model with camera vectors has another digest than the CLIP that it became
        if not model.cameras and encoder_digest(clip.image) != model.digest:
            raise RunError(f"{model.label()} is not the model that made the index any more.", REMEDY)
        return clip

    return _Clip(model.digest, str(where["model"]), str(where["pretrained"]), load, int(where.get("seed") or 0))


def for_each_spectrum(words: Vectors, width: int) -> Vectors:
    """Return texts as vectors that are compared with the joined vectors of several spectra.

    Each text stands in the place of every spectrum, so that its cosine is that with the mean of their vectors, weighted
    by their lengths.

    Args:
        words: Shape (Q, d), float32, unit length.
        width: D, a multiple of d.

    Returns:
        Shape (Q, D), float32, unit length.

    Raises:
        SettingError: If the vectors of images are not joined of such ones.
    """
    if width % words.shape[1]:
        raise SettingError(
            f"Words have vectors {words.shape[1]} wide, which cannot be compared with those of the images, {width} "
            "wide.",
            "Search with images of any spectrum.",
        )
    count = width // words.shape[1]
    return np.asarray(np.tile(words, count) / np.sqrt(count), np.float32)
