"""Opens the text tower that belongs to a model: the one of the CLIP that it is, or that its run started from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scing_cli.core.artifacts import cache_folder
from scing_cli.core.embeddings.openvino_text import load_openvino_text, make_openvino_text
from scing_cli.core.embeddings.text_embedder import TextEmbedder, TorchTextEmbedder
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.starting_encoder import starting_clip

if TYPE_CHECKING:
    from scing_cli.core.encoders.clip import ClipModel

RANDOM = "random"
REMEDY = "Restore its weights, or embed the gallery again: scing embed --force, same --output."


def open_text_embedder(model: OpenedModel, *, reporter: Reporter) -> TextEmbedder:
    """Return the embedder of texts whose vectors can be compared with a model's.

    Stage 2 of every method moves the image encoder towards texts of CLIP's text tower, which stays as it is.

    Args:
        model: The model of the images.
        reporter: Receives a warning if the model was never trained with words.

    Raises:
        SettingError: If the model has no text tower.
        RunError: If the CLIP that a run started from is not the same any more.
        WeightsError: If its weights are not available.
    """
    if model.engine is not None:
        raise SettingError(f"--text needs a CLIP: {model.label()} has no text encoder.", "Search with a photo.")
    digest, pretrained, load = _clip_of(model, reporter)
    if pretrained == RANDOM:
        reporter.warn(f"{model.label()}: its text tower has random weights, so words mean nothing to it.")
    folder = _folder(digest)
    try:
        found = load_openvino_text(folder, digest)
    except RunError as error:
        reporter.warn(str(error).replace("\n", " "))
        found = None
    if found is not None:
        return found
    tower = load().text
    if make_openvino_text(folder, tower, digest, reporter=reporter):
        reporter.note(f"OpenVINO model of the text tower, for searches that start without torch: {folder}")
    return TorchTextEmbedder(tower)


def _clip_of(model: OpenedModel, reporter: Reporter) -> tuple[str, str, Callable[[], ClipModel]]:
    """Return the digest of the CLIP whose text tower belongs to a model, the name of its weights, and its loader."""
    if (run := model.run) is not None:
        digest = str(run.info["model"]["digest"])
        return digest, str(run.info["model"]["pretrained"]), lambda: starting_clip(run, digest, None, reporter)

    def load() -> ClipModel:
        from scing_cli.core.encoders.clip import load_clip
        from scing_cli.core.encoders.encoder_file import encoder_digest

        where = model.where
        options = {name: where[name] for name in ("stride", "seed", "statistics", "interpolation") if name in where}
        clip = load_clip(where["model"], where["pretrained"], reporter=reporter, **options)
        # a model with camera vectors has another digest than the CLIP that it became
        if not model.cameras and encoder_digest(clip.image) != model.digest:
            raise RunError(f"{model.label()} is not the model that made the index any more.", REMEDY)
        return clip

    return model.digest, str(model.where["pretrained"]), load


def _folder(digest: str) -> Path:
    return cache_folder() / "inference-text" / digest[:32]
