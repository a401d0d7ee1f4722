"""Saving and loading trained towers: safetensors files, and one JSON stamp with their description and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scing_cli.core.artifacts import (
    FORMAT,
    STAMP,
    VISUAL_REMEDY,
    check_content,
    check_provenance,
    checked_once,
    file_digest,
    read_json,
    replacing,
    run_id,
    write_json,
)
from scing_cli.core.encoders.architecture import check_sizes
from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.spectral import AnyImageEncoder, SpectralEncoder
from scing_cli.core.encoders.text import TextEncoder
from scing_cli.core.errors import RunError, SettingError, one_line

WEIGHTS = "image_encoder.safetensors"
TEXT_WEIGHTS = "text_encoder.safetensors"
SPECTRAL = ("spectra", "missing", "dmpt")  # entries of a `config` that are not the tower's


def encoder_digest(encoder: AnyImageEncoder) -> str:
    """Return the digest that identifies an image tower: of its weights, its geometry and its sizes."""
    return state_digest(encoder.state_dict(), encoder.geometry, encoder.config)


def state_digest(state: Mapping[str, Tensor], geometry: Geometry, model: Mapping[str, Any] | None = None) -> str:
    """Return the SHA-256 of named tensors, their geometry and the model's sizes, in hexadecimal.

    It does not depend on the device or on the order of the names.
    """
    return tensors_digest(state, {"geometry": geometry.as_dict(), "model": dict(model or {})})


def tensors_digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of named tensors and of JSON-ready facts about them, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def text_encoder_digest(encoder: TextEncoder) -> str:
    """Return the digest that identifies a trained text tower: of its weights and its sizes."""
    return tensors_digest(encoder.state_dict(), {"model": encoder.sizes})


def save_encoders(
    folder: Path, encoder: AnyImageEncoder, extra: Mapping[str, Any], *, text: TextEncoder | None = None
) -> str:
    """Write an image tower, a text tower if it was trained too, and their stamp.

    Args:
        folder: Target folder; it is created if it is missing.
        encoder: The image tower, on any device.
        extra: Additional JSON fields of the stamp; they cannot replace the standard fields.
        text: The text tower, on any device.

    Returns:
        The image tower's `encoder_digest`.
    """
    parts: dict[str, Any] = {}
    if text is not None:
        file = _write(folder / TEXT_WEIGHTS, text)
        parts["text"] = {"digest": text_encoder_digest(text), "file_digest": file, "model": text.sizes}
    file = _write(folder / WEIGHTS, encoder)
    digest = encoder_digest(encoder)
    # The stamp is written last: it does not match the weights of an interrupted save.
    standard = {
        "format": FORMAT,
        "model": encoder.config,
        "geometry": encoder.geometry.as_dict(),
        "grid": list(encoder.geometry.grid),
        "embed_dim": encoder.embed_dim,
        "width": encoder.width,
        "digest": digest,
        "file_digest": file,
        **parts,
        **run_id(folder),
    }
    write_json(folder / STAMP, {**standard, **{key: value for key, value in extra.items() if key not in standard}})
    return digest


def load_image_encoder(folder: Path, *, verify: bool = False) -> tuple[AnyImageEncoder, dict[str, Any]]:
    """Load the image tower: float32 as saved, in evaluation mode, on the CPU.

    Digests are checked once per file (size, modification time and inode); the user's cache records the result.

    Args:
        folder: The folder that `save_encoders` wrote to.
        verify: Whether to check the digests again even if they were checked before.

    Returns:
        The tower and its stamp.

    Raises:
        RunError: If the weights or the stamp are missing or damaged, or do not match each other or the run.
    """
    stamp = read_json(folder / STAMP, remedy=VISUAL_REMEDY)
    check_content("visual stamp", stamp, folder / STAMP, remedy=VISUAL_REMEDY)
    check_provenance(folder, stamp, remedy=VISUAL_REMEDY)
    state = _read(folder / WEIGHTS, str(stamp.get("file_digest")), again=verify)
    try:
        geometry = Geometry.from_dict(stamp["geometry"])
        check_sizes(stamp["model"])
        with torch.device("meta"):
            encoder = _without_weights(geometry, stamp["model"])
        encoder.load_state_dict(state, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SettingError) as error:
        raise RunError(
            f"{folder / STAMP} does not describe {WEIGHTS} next to it: {one_line(error)}", VISUAL_REMEDY
        ) from error
    fact = repr((stamp.get("digest"), encoder.geometry, encoder.config))
    if not checked_once(folder / WEIGHTS, fact, lambda: encoder_digest(encoder) == stamp.get("digest"), again=verify):
        raise _unfit(folder / WEIGHTS)
    return encoder.eval(), stamp


def _without_weights(geometry: Geometry, model: Mapping[str, Any]) -> AnyImageEncoder:
    """Build the encoder that a `config` describes."""
    sizes = {name: value for name, value in model.items() if name not in SPECTRAL}
    tower = ImageEncoder(geometry=geometry, **sizes)
    if "spectra" not in model:
        return tower
    given = {name: model[name] for name in SPECTRAL if name in model}
    return BoundPromptEncoder(tower, **given) if "dmpt" in model else SpectralEncoder(tower, **given)


def load_text_encoder(folder: Path) -> TextEncoder:
    """Load the text tower of a folder that `save_encoders` wrote: float32, in evaluation mode, on the CPU.

    Raises:
        RunError: As for `load_image_encoder`, or if the folder has no text tower.
    """
    stamp = read_json(folder / STAMP, remedy=VISUAL_REMEDY)
    check_content("visual stamp", stamp, folder / STAMP, remedy=VISUAL_REMEDY)
    check_provenance(folder, stamp, remedy=VISUAL_REMEDY)
    if (text := stamp.get("text")) is None:
        raise RunError(f"{folder} has no text encoder.", VISUAL_REMEDY)
    state, source = _read(folder / TEXT_WEIGHTS, str(text["file_digest"]), again=False), folder / TEXT_WEIGHTS
    try:
        with torch.device("meta"):
            encoder = TextEncoder(**{name: value for name, value in text["model"].items() if value is not None})
        encoder.load_state_dict(state, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SettingError) as error:
        raise RunError(
            f"{folder / STAMP} does not describe {TEXT_WEIGHTS} next to it: {one_line(error)}", VISUAL_REMEDY
        ) from error
    fact = repr((text["digest"], encoder.sizes))
    if not checked_once(source, fact, lambda: text_encoder_digest(encoder) == text["digest"], again=False):
        raise _unfit(source)
    return encoder.eval()


def _write(path: Path, tower: nn.Module) -> str:
    """Write the tensors of a tower; return the digest of the file."""
    with replacing(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tower.state_dict().items()}, temporary)
    return file_digest(path)


def _read(path: Path, digest: str, *, again: bool) -> dict[str, Tensor]:
    """Read the tensors of a file after checking its digest, so no foreign bytes are parsed."""
    if not path.is_file():
        raise RunError(f"{path} is missing.", VISUAL_REMEDY)
    try:
        if not checked_once(path, digest, lambda: file_digest(path) == digest, again=again):
            raise _unfit(path)
        found: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {one_line(error)}.", VISUAL_REMEDY) from error
    return found


def _unfit(path: Path) -> RunError:
    return RunError(f"{path} does not match {STAMP} next to it: the digests differ.", VISUAL_REMEDY)
