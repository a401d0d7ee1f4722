"""CLIP models: both towers with their temperature and tokenizer, built and filled with weights.

Legend: B batch, T tokens of a text, W width of the image tower, D width of the joint embedding, d width of a token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scing_cli.core.encoders import hub, weights
from scing_cli.core.encoders.architecture import Architecture, find_architecture, known_models
from scing_cli.core.encoders.fetch import UnfetchedError
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.initial import LOGIT_SCALE, fill_image, fill_text
from scing_cli.core.encoders.opened_weights import Opened, make_geometry, open_weights
from scing_cli.core.encoders.position import resize_positions, source_grid
from scing_cli.core.encoders.preprocessing import AUTO, choose_preprocessing
from scing_cli.core.encoders.spectral import AnyImageEncoder, SpectralEncoder
from scing_cli.core.encoders.text import TextEncoder
from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.encoders.weight_names import CAMERAS, Named, is_tower_alone
from scing_cli.core.errors import WeightsError, counted
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

__all__ = ["ClipModel", "ImageModel", "empty_clip", "known_models", "load_clip", "load_image_tower", "tokenize"]

Tokenizer = Callable[[str], list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class ClipModel:
    """A CLIP model.

    Args:
        image: The image tower; that of several spectra, if `reading` put it there.
        text: The text tower.
        logit_scale: 1 / temperature, such as 100.0: the factor of cosine similarities (R4, R7).
        name: The model's name, or the absolute path of its JSON file.
        pretrained: The tag, the absolute path of the weights file, or `random`; empty if there are no weights.
        tokenizer: Converts a text to token ids: start token, the words' tokens, end token; not padded, not truncated.
    """

    image: AnyImageEncoder
    text: TextEncoder
    logit_scale: float
    name: str
    pretrained: str
    tokenizer: Tokenizer

    @property
    def tower(self) -> ImageEncoder:
        """The tower that encodes single images."""
        return self.image.tower if isinstance(self.image, SpectralEncoder) else self.image

    def reading(self, spectra: Sequence[str], *, missing: str, join: str) -> ClipModel:
        """Return the model with an image encoder of several spectra, `SpectralEncoder`, of the same tower.

        Args:
            spectra: Names of the spectra; the model as it is for none.
            missing: As for `SpectralEncoder`.
            join: As for `SpectralEncoder`.
        """
        if not spectra:
            return self
        return dataclasses.replace(self, image=SpectralEncoder(self.tower, spectra, missing=missing, join=join))


@dataclasses.dataclass(frozen=True, slots=True)
class ImageModel:
    """An image tower with the model and the weights that it was made of, as in `ClipModel`."""

    image: ImageEncoder
    name: str
    pretrained: str


def load_clip(
    name: str,
    pretrained: str | None = None,
    *,
    stride: int | None = None,
    size: tuple[int, int] | None = None,
    statistics: str = AUTO,
    interpolation: str = AUTO,
    seed: int = 0,
    reporter: Reporter = LIBRARY_REPORTER,
) -> ClipModel:
    """Build a CLIP model and fill it with weights: float32, evaluation mode, on the CPU.

    Args:
        name: One of `known_models()`, or the path of a JSON file in open_clip's format (`--model FILE.json`).
        pretrained: A tag that open_clip knows for the model, the path of a weights file, or `random`. The default is
            the weights that ship with this package (`scing-small`, `scing-tiny`), else `openai`.
        stride: Step between patches in pixels; by default the patch's side (R15).
        size: Height and width in pixels; by default 256x128, or the model's own size if that is not square.
        statistics: `half` (mean = std = 0.5) or `clip` (CLIP's own), R11; `auto` for what the model's folder states,
            else `half`.
        interpolation: `bicubic`, `bilinear`, or `auto` for what the model's folder states, else `bicubic`.
        seed: Seed for `random`: the same seed gives the same bytes. Global random generators are not used.
        reporter: Shows the progress of downloads, and warnings such as random weights.

    Raises:
        WeightsError: If the model or the tag is unknown, or the weights are missing, unreadable or of another model.
        SettingError: If stride, size, statistics or interpolation are invalid.
    """
    opened = open_weights(name, pretrained, stride, size, (statistics, interpolation), reporter=reporter)
    architecture, found, source = opened.architecture, opened.found, opened.source
    if source is None:
        return _random(opened, seed, reporter)
    if (vectors := found.state.pop(f"visual.{CAMERAS}", None)) is not None:
        left_out = f"{counted(len(vectors), 'camera vector')}, which are left out"
        reporter.warn(f"{source} has {left_out}: train-visual learns new ones with --camera-embedding.")
    if is_tower_alone(found.state):
        found = _with_text_tower(found, architecture, source, reporter)
    image, text = _towers(architecture, opened.geometry)
    scale = found.state.pop("logit_scale", None)
    _fill(image, text, found, architecture, source)
    if scale is None or scale.numel() != 1:
        raise WeightsError(
            f"{source} does not contain logit_scale, the temperature of a CLIP.",
            "Use a file of the whole model.",
        )
    return ClipModel(image.eval(), text.eval(), float(scale.exp()), architecture.name, opened.label, tokenize)


def load_image_tower(
    name: str,
    pretrained: str | None = None,
    *,
    stride: int | None = None,
    statistics: str = AUTO,
    interpolation: str = AUTO,
    cameras: Sequence[str] = (),
    camera_factor: float = 1.0,
    seed: int = 0,
    reporter: Reporter = LIBRARY_REPORTER,
) -> ImageModel:
    """Build the image tower of a CLIP model and fill it with weights, as `load_clip` does; no text tower is needed.

    Args:
        name: As for `load_clip`, like all other arguments.
        pretrained: The weights.
        stride: Step between patches.
        statistics: Pixel statistics.
        interpolation: Interpolation.
        cameras: Names for the camera vectors of the weights, such as CLIP-ReID's `cv_embed`, in their order; without
            names, the vectors are left out with a warning.
        camera_factor: Factor of these vectors: `MODEL.SIE_COE` of the training with CLIP-ReID.
        seed: Seed for `random`.
        reporter: Receives notes and warnings.

    Raises:
        WeightsError: If the model or the tag is unknown, the weights are missing, unreadable or of another model, or
            they have no camera vectors, or another number than `cameras`.
        SettingError: If stride, statistics or interpolation are invalid.
    """
    opened = open_weights(name, pretrained, stride, None, (statistics, interpolation), reporter=reporter)
    vectors = opened.found.state.pop(f"visual.{CAMERAS}", None)
    if cameras or vectors is not None:
        vectors = _named_vectors(opened, vectors, cameras, reporter)
    if opened.source is None:
        image = _random(opened, seed, reporter).tower
    else:
        image, _ = _towers(opened.architecture, opened.geometry)
        _fill(image, None, opened.found, opened.architecture, opened.source)
    if vectors is not None:
        image.set_cameras(cameras, camera_factor * vectors)
    return ImageModel(image.eval(), opened.architecture.name, opened.label)


def _named_vectors(opened: Opened, vectors: Tensor | None, cameras: Sequence[str], reporter: Reporter) -> Tensor | None:
    """Return the camera vectors if the cameras are named; None, with a warning, if they are not.

    Raises:
        WeightsError: If the weights have no vectors, or not one for each name.
    """
    where = opened.source or opened.label
    if vectors is None:
        raise WeightsError(f"{where} has no camera vectors.", "Leave --cameras out.")
    fit = (len(cameras), opened.architecture.image.width)
    if not cameras:
        reporter.warn(
            f"{where} has {counted(len(vectors), 'camera vector')}, but the file does not name the cameras: they are "
            "left out. To use them, name the cameras in the order of its training, such as --cameras 1,2,3,4,5,6."
        )
        return None
    if tuple(vectors.shape) != fit:
        raise WeightsError(
            f"--cameras names {counted(len(cameras), 'camera')}, but {where} has camera vectors of shape "
            f"{tuple(vectors.shape)}.",
            f"Name {len(vectors)} cameras, in the order of the training. If these are vectors of views, such as those "
            "of a training on VeRi-776, they cannot be used: leave --cameras out.",
        )
    return vectors


def empty_clip(name: str, *, stride: int | None = None, size: tuple[int, int] | None = None) -> ClipModel:
    """Build a CLIP model without weights on torch's device `meta`, to count parameters and operations.

    Args:
        name: As for `load_clip`.
        stride: As for `load_clip`.
        size: As for `load_clip`.

    Raises:
        WeightsError: If the model is unknown.
        SettingError: If stride or size are invalid.
    """
    architecture = find_architecture(name)
    image, text = _towers(architecture, make_geometry(architecture, stride, size, choose_preprocessing(name)))
    return ClipModel(image.eval(), text.eval(), LOGIT_SCALE, architecture.name, "", tokenize)


def _towers(architecture: Architecture, geometry: Geometry) -> tuple[ImageEncoder, TextEncoder]:
    """Build both towers without memory for their weights."""
    with torch.device("meta"):  # loading then assigns the tensors of the file, so weights are never in memory twice
        image = ImageEncoder(geometry=geometry, **dataclasses.asdict(architecture.image))
        text = TextEncoder(**dataclasses.asdict(architecture.text))
    return image, text


def _random(opened: Opened, seed: int, reporter: Reporter) -> ClipModel:
    name = opened.architecture.name
    reporter.warn(f"{name} starts from random weights (seed {seed}): its features are meaningless before training.")
    image, text = _towers(opened.architecture, opened.geometry)
    image.to_empty(device="cpu")
    text.to_empty(device="cpu")
    fill_image(image, seed)
    fill_text(text, seed)
    return ClipModel(image.eval(), text.eval(), LOGIT_SCALE, name, "random", tokenize)


def _with_text_tower(found: Named, architecture: Architecture, source: Path, reporter: Reporter) -> Named:
    """Add the text tower and the temperature of the model's own weights to an image tower alone.

    Raises:
        WeightsError: If the model's own weights are not on this machine.
    """
    tag = hub.default_tag(architecture.name)
    try:
        own = hub.locate(architecture.name, None, reporter=reporter)
    except WeightsError as error:
        raise WeightsError(
            f"{source} has an image encoder alone, but training needs CLIP's text tower too, and the weights {tag!r} "
            f"of {architecture.name} cannot be had: {error.what}",
            error.remedy if isinstance(error, UnfetchedError) else "Give a file of the whole model: --pretrained FILE",
        ) from error
    state = {} if own is None else weights.read_state(own)
    reporter.warn(f"{source} has an image encoder alone: the text tower is that of {architecture.name} ({tag}).")
    return Named(found.layout, {**found.state, **{k: v for k, v in state.items() if not k.startswith("visual.")}})


def _fill(
    image: ImageEncoder, text: TextEncoder | None, found: Named, architecture: Architecture, source: Path
) -> None:
    """Fill one tower or both, with deep prompts if there are any; positions are resized to the image tower's grid."""
    parts = weights.split_state(found.state)
    positions = parts.image.get("positional_embedding")
    if positions is not None and positions.ndim == 2:
        native = (architecture.native[0] // architecture.patch, architecture.native[1] // architecture.patch)
        source_of = source_grid(len(positions), native, image.geometry.grid)
        parts.image["positional_embedding"] = resize_positions(positions, source_of, image.geometry.grid)
    image.expect_prompts(parts.image.get("prompts"))
    if text is not None:
        text.expect_prompts(parts.text.get("prompts"))
    weights.fill(image, text, parts, source)
