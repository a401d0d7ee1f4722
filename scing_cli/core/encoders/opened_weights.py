"""Opens the weights of a model: finds and reads the file, reports what it is, and chooses the geometry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.encoders import hub, weights
from scing_cli.core.encoders.architecture import Architecture, find_architecture, known_models
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.local_copies import is_file_name, is_place, repository_of
from scing_cli.core.encoders.position import stride_of
from scing_cli.core.encoders.preprocessing import Preprocessing, choose_preprocessing
from scing_cli.core.encoders.published_tags import needs_quick_gelu
from scing_cli.core.encoders.weight_names import CLIP, CLIP_REID, TOWER, Named
from scing_cli.core.runtime import Reporter

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """Weights that were read for a model.

    Args:
        architecture: The model's sizes.
        geometry: The geometry in which its image tower is used.
        found: The tensors; empty for random weights.
        source: The file; None for random weights.
        label: The name of the weights, as in `clip.ClipModel.pretrained`.
    """

    architecture: Architecture
    geometry: Geometry
    found: Named
    source: Path | None
    label: str


def open_weights(
    name: str,
    pretrained: str | None,
    stride: int | None,
    size: Size | None,
    pixels: tuple[str, str],
    *,
    reporter: Reporter,
) -> Opened:
    """Find and read a model's weights.

    Args:
        name: As for `clip.load_clip`, like all arguments.
        pretrained: The weights.
        stride: Step between patches.
        size: Height and width.
        pixels: Statistics and interpolation.
        reporter: Receives notes and warnings.

    Raises:
        WeightsError: As for `clip.load_clip`.
        SettingError: As for `clip.load_clip`.
    """
    architecture = find_architecture(name)
    choose_preprocessing(name, *pixels)  # unknown choices are refused before a download
    pretrained = pretrained or hub.default_tag(name)
    source = hub.locate(name, pretrained, reporter=reporter)
    named = source if is_place(pretrained) else None
    prepared = choose_preprocessing(name, *pixels, weights=named)
    found = Named("", {})
    if source is not None:
        found = weights.read_weights(source)
        _report(source, found, architecture, _known(prepared, source, pretrained), reporter)
        stride = stride or _trained_stride(architecture, found, _size(architecture, size, prepared))
    geometry = make_geometry(architecture, stride, size, prepared)
    if prepared.size not in (None, (geometry.height, geometry.width)) and size is None:
        height, width = prepared.size or architecture.size
        reporter.note(
            f"Images are resized to {geometry.height}x{geometry.width} pixels; {prepared.stated_in} states "
            f"{height}x{width}, the size of its pretraining."
        )
    label = source.as_posix() if source is not None and is_file_name(pretrained) else pretrained
    return Opened(architecture, geometry, found, source, label)


def _known(pixels: Preprocessing, source: Path, pretrained: str) -> Preprocessing:
    """Add the activation that open_clip lists for a published file, if no file states one."""
    if pixels.quick_gelu is not None or not is_place(pretrained):
        return pixels
    needed = needs_quick_gelu(source.name, repository_of(pretrained))
    return pixels if needed is None else dataclasses.replace(pixels, quick_gelu=needed, stated_in="open_clip")


def make_geometry(architecture: Architecture, stride: int | None, size: Size | None, pixels: Preprocessing) -> Geometry:
    """Return the geometry of a model's image tower: what was chosen, else what is stated, else the model's own.

    Args:
        architecture: The model's sizes.
        stride: Step between patches; None for the patch's side.
        size: Height and width; None for those that are stated, or the model's own.
        pixels: How pixels are prepared.

    Raises:
        SettingError: If they do not fit each other.
    """
    height, width = _size(architecture, size, pixels)
    return Geometry(
        height=height,
        width=width,
        patch=architecture.patch,
        stride=architecture.patch if stride is None else stride,
        mean=pixels.mean,
        std=pixels.std,
        interpolation=pixels.interpolation,
    )


def _size(architecture: Architecture, size: Size | None, pixels: Preprocessing) -> Size:
    stated = pixels.size if pixels.exact else None
    return size or stated or architecture.size


def _report(source: Path, found: Named, architecture: Architecture, pixels: Preprocessing, reporter: Reporter) -> None:
    """Report what a weights file is, which pixels a file states, and weights that need another activation."""
    if reason := _other_activation(source, found, architecture, pixels):
        reporter.warn(f"{reason}: features will be wrong. {_remedy(architecture)}")
    if pixels.source is not None:
        mean, std = (", ".join(f"{each:.3g}" for each in numbers) for numbers in (pixels.mean, pixels.std))
        reporter.note(f"Pixels as {pixels.source} states: mean {mean}; std {std}; {pixels.interpolation}.")
    if found.layout not in ("", CLIP):
        reporter.note(f"{source} is read as {found.layout}.")


def _other_activation(source: Path, found: Named, architecture: Architecture, pixels: Preprocessing) -> str:
    """Return why the weights need another activation than the model has; empty if nothing says so."""
    ours = architecture.image.quick_gelu
    if pixels.quick_gelu is not None:
        if pixels.quick_gelu == ours:
            return ""
        theirs, other = ("QuickGELU", "GELU") if pixels.quick_gelu else ("GELU", "QuickGELU")
        return f"{pixels.stated_in} says that the weights need {theirs}, but {architecture.name} uses {other}"
    if ours:
        return ""
    if found.openai:
        return f"{source} has the form of OpenAI's files, whose weights need QuickGELU, which {architecture.name} lacks"
    if found.layout == CLIP_REID:
        return f"{source} is of CLIP-ReID, whose weights need QuickGELU, which {architecture.name} lacks"
    return ""


def _remedy(architecture: Architecture) -> str:
    """Return which model has the other activation."""
    name, suffix = architecture.name, "-quickgelu"
    other = name.removesuffix(suffix) if name.endswith(suffix) else f"{name}{suffix}"
    if other in known_models():
        return f"Use --model {other}."
    return f"Change quick_gelu in {name}."


def _trained_stride(architecture: Architecture, found: Named, size: Size) -> int | None:
    """Return the stride that an image tower of re-identification was trained with; None for the patch's side."""
    positions = found.state.get("visual.positional_embedding")
    if found.layout not in (CLIP_REID, TOWER) or positions is None or positions.ndim != 2:
        return None
    return stride_of(len(positions), architecture.native, size, architecture.patch)
