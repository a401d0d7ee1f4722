"""CLIP models: both towers with their temperature and tokenizer, built and filled with weights.

Legend: B batch, T tokens of a text, W width of the image tower, D width of the joint embedding, d width of a token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from scing_cli.core.encoders import hub, weights
from scing_cli.core.encoders.architecture import Architecture, find_architecture, known_models
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.initial import LOGIT_SCALE, fill_image, fill_text
from scing_cli.core.encoders.position import resize_positions, source_grid, stride_of
from scing_cli.core.encoders.preprocessing import AUTO, Preprocessing, choose_preprocessing
from scing_cli.core.encoders.text import TextEncoder
from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.encoders.weight_names import CAMERAS, CLIP, CLIP_REID, TOWER, Named, is_tower_alone
from scing_cli.core.errors import WeightsError
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

__all__ = ["ClipModel", "ImageModel", "empty_clip", "known_models", "load_clip", "load_image_tower", "tokenize"]

Tokenizer = Callable[[str], list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class ClipModel:
    """A CLIP model.

    Args:
        image: The image tower.
        text: The text tower.
        logit_scale: 1 / temperature, such as 100.0: the factor of cosine similarities (R4, R7).
        name: The model's name, or the absolute path of its JSON file.
        pretrained: The tag, the absolute path of the weights file, or `random`; empty if there are no weights.
        tokenizer: Converts a text to token ids: start token, the words' tokens, end token; not padded, not truncated.
    """

    image: ImageEncoder
    text: TextEncoder
    logit_scale: float
    name: str
    pretrained: str
    tokenizer: Tokenizer


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
            the weights that ship with this package (`scing-tiny`), else `openai`.
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
    opened = _open(name, pretrained, stride, size, (statistics, interpolation), reporter=reporter)
    architecture, geometry, found, source = opened.architecture, opened.geometry, opened.found, opened.source
    if source is None:
        reporter.warn(f"{name} starts from random weights (seed {seed}): its features are meaningless before training.")
        return _random(architecture, geometry, seed)
    if is_tower_alone(found.state):
        found = _with_text_tower(found, architecture, source, reporter)
    image, text = _towers(architecture, geometry)
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
    seed: int = 0,
    reporter: Reporter = LIBRARY_REPORTER,
) -> ImageModel:
    """Build the image tower of a CLIP model and fill it with weights, as `load_clip` does; no text tower is needed.

    Raises:
        WeightsError: If the model or the tag is unknown, or the weights are missing, unreadable or of another model.
        SettingError: If stride, statistics or interpolation are invalid.
    """
    opened = _open(name, pretrained, stride, None, (statistics, interpolation), reporter=reporter)
    if opened.source is None:
        chosen = {"statistics": statistics, "interpolation": interpolation}
        clip = load_clip(name, "random", stride=stride, size=None, seed=seed, reporter=reporter, **chosen)
        return ImageModel(clip.image, clip.name, clip.pretrained)
    image, _ = _towers(opened.architecture, opened.geometry)
    _fill(image, None, opened.found, opened.architecture, opened.source)
    return ImageModel(image.eval(), opened.architecture.name, opened.label)


def empty_clip(name: str, *, stride: int | None = None) -> ClipModel:
    """Build a CLIP model without weights on torch's device `meta`, to count parameters and operations.

    Args:
        name: As for `load_clip`.
        stride: As for `load_clip`.

    Raises:
        WeightsError: If the model is unknown.
        SettingError: If the stride is invalid.
    """
    architecture = find_architecture(name)
    image, text = _towers(architecture, _geometry(architecture, stride, None, choose_preprocessing(name)))
    return ClipModel(image.eval(), text.eval(), LOGIT_SCALE, architecture.name, "", tokenize)


def _geometry(
    architecture: Architecture, stride: int | None, size: tuple[int, int] | None, pixels: Preprocessing
) -> Geometry:
    height, width = size or architecture.size
    return Geometry(
        height=height,
        width=width,
        patch=architecture.patch,
        stride=architecture.patch if stride is None else stride,
        mean=pixels.mean,
        std=pixels.std,
        interpolation=pixels.interpolation,
    )


def _towers(architecture: Architecture, geometry: Geometry) -> tuple[ImageEncoder, TextEncoder]:
    """Build both towers without memory for their weights."""
    with torch.device("meta"):  # loading then assigns the tensors of the file, so weights are never in memory twice
        image = ImageEncoder(geometry=geometry, **dataclasses.asdict(architecture.image))
        text = TextEncoder(**dataclasses.asdict(architecture.text))
    return image, text


def _random(architecture: Architecture, geometry: Geometry, seed: int) -> ClipModel:
    image, text = _towers(architecture, geometry)
    image.to_empty(device="cpu")
    text.to_empty(device="cpu")
    fill_image(image, seed)
    fill_text(text, seed)
    return ClipModel(image.eval(), text.eval(), LOGIT_SCALE, architecture.name, "random", tokenize)


@dataclasses.dataclass(frozen=True, slots=True)
class _Opened:
    """Weights that were read for a model.

    Args:
        architecture: The model's sizes.
        geometry: The geometry in which its image tower is used.
        found: The tensors; empty for random weights.
        source: The file; None for random weights.
        label: The name of the weights, as in `ClipModel.pretrained`.
    """

    architecture: Architecture
    geometry: Geometry
    found: Named
    source: Path | None
    label: str


def _open(
    name: str,
    pretrained: str | None,
    stride: int | None,
    size: tuple[int, int] | None,
    pixels: tuple[str, str],
    *,
    reporter: Reporter,
) -> _Opened:
    """Find and read a model's weights. The arguments are those of `load_clip`; `pixels`: statistics, interpolation."""
    architecture = find_architecture(name)
    prepared = choose_preprocessing(name, *pixels)
    pretrained = pretrained or hub.default_tag(name)
    source = hub.locate(name, pretrained, reporter=reporter)
    if source is None:
        geometry = _geometry(architecture, stride, size, prepared)
        return _Opened(architecture, geometry, Named("", {}), None, pretrained)
    found = _read(architecture, source, prepared, reporter)
    geometry = _geometry(architecture, stride or _trained_stride(architecture, found, size), size, prepared)
    label = source.as_posix() if hub.is_file_name(pretrained) else pretrained
    return _Opened(architecture, geometry, found, source, label)


def _read(architecture: Architecture, source: Path, pixels: Preprocessing, reporter: Reporter) -> Named:
    """Read a weights file; report what it is, and what is left out of it."""
    found = weights.read_weights(source)
    if weights.is_archive(source) and not architecture.image.quick_gelu:
        reporter.warn(
            f"{source} is a TorchScript archive, as published by OpenAI; its weights need QuickGELU, which "
            f"{architecture.name} does not use: choose {architecture.name}-quickgelu."
        )
    if pixels.source is not None:
        mean, std = (", ".join(f"{each:.3g}" for each in numbers) for numbers in (pixels.mean, pixels.std))
        reporter.note(f"Pixels as {pixels.source} states: mean {mean}; std {std}; {pixels.interpolation}.")
    if found.layout not in ("", CLIP):
        reporter.note(f"{source} is read as {found.layout}.")
    vectors = found.state.pop(f"visual.{CAMERAS}", None)
    if vectors is not None:
        reporter.warn(f"{source} has vectors of {len(vectors)} cameras without their names: they are left out.")
    return found


def _trained_stride(architecture: Architecture, found: Named, size: tuple[int, int] | None) -> int | None:
    """Return the stride that an image tower of re-identification was trained with; None for the patch's side."""
    positions = found.state.get("visual.positional_embedding")
    if found.layout not in (CLIP_REID, TOWER) or positions is None:
        return None
    return stride_of(len(positions), architecture.native, size or architecture.size, architecture.patch)


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
            error.remedy,
        ) from error
    state = {} if own is None else weights.read_state(own)
    reporter.warn(f"{source} has an image encoder alone: the text tower is that of {architecture.name} ({tag}).")
    return Named(found.layout, {**found.state, **{k: v for k, v in state.items() if not k.startswith("visual.")}})


def _fill(
    image: ImageEncoder, text: TextEncoder | None, found: Named, architecture: Architecture, source: Path
) -> None:
    """Fill one tower or both; the positions are resized to the image tower's grid."""
    parts = weights.split_state(found.state)
    positions = parts.image.get("positional_embedding")
    if positions is not None and positions.ndim == 2:
        native = (architecture.native[0] // architecture.patch, architecture.native[1] // architecture.patch)
        source_of = source_grid(len(positions), native, image.geometry.grid)
        parts.image["positional_embedding"] = resize_positions(positions, source_of, image.geometry.grid)
    weights.fill(image, text, parts, source)
