"""The image tower on disk: safetensors and a JSON stamp that says what they are and holds their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from scing_cli.core.artifacts import (
    FORMAT,
    STAMP,
    VISUAL_REMEDY,
    check_provenance,
    checked_once,
    file_digest,
    read_json,
    replacing,
    run_id,
    write_json,
)
from scing_cli.core.encoders.architecture import check_sizes
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.errors import RunError, SettingError, one_line

WEIGHTS = "image_encoder.safetensors"


def encoder_digest(encoder: ImageEncoder) -> str:
    """Return the digest by which an image tower is known: its numbers, its geometry, its heads and activation."""
    return state_digest(encoder.state_dict(), encoder.geometry, encoder.config)


def state_digest(state: Mapping[str, Tensor], geometry: Geometry, model: Mapping[str, Any] | None = None) -> str:
    """Return the SHA-256 of named tensors, the geometry they expect and the model's sizes, in hexadecimal.

    Equal for equal numbers, whatever the device or the order of the names.
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


def save_image_encoder(folder: Path, encoder: ImageEncoder, extra: Mapping[str, Any]) -> str:
    """Write an image tower and its stamp; the stamp comes last, so a broken save is noticed.

    Args:
        folder: Made where missing.
        encoder: The tower, on any device.
        extra: Further JSON fields of the stamp; they cannot replace its own.

    Returns:
        The tower's `encoder_digest`.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    digest = state_digest(state, encoder.geometry, encoder.config)
    with replacing(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    own = {
        "format": FORMAT,
        "model": encoder.config,
        "geometry": encoder.geometry.as_dict(),
        "grid": list(encoder.geometry.grid),
        "embed_dim": encoder.embed_dim,
        "width": encoder.width,
        "digest": digest,
        "file_digest": file_digest(folder / WEIGHTS),
        **run_id(folder),
    }
    write_json(folder / STAMP, {**own, **{key: value for key, value in extra.items() if key not in own}})
    return digest


def load_image_encoder(folder: Path, *, verify: bool = False) -> tuple[ImageEncoder, dict[str, Any]]:
    """Read an image tower back: float32 as saved, evaluation mode, on the CPU.

    Digests are checked once for a file of this size, time and inode, and then remembered in the user's cache.

    Args:
        folder: Where `save_image_encoder` wrote.
        verify: Check the digests even if they were checked before.

    Returns:
        The tower and its stamp.

    Raises:
        RunError: If weights or stamp are missing or damaged, or do not belong together or to the run.
    """
    stamp = read_json(folder / STAMP, remedy=VISUAL_REMEDY)
    check_provenance(folder, stamp, remedy=VISUAL_REMEDY)
    state = _read(folder / WEIGHTS, str(stamp.get("file_digest")), again=verify)
    try:
        geometry = Geometry.from_dict(stamp["geometry"])
        check_sizes(stamp["model"])
        with torch.device("meta"):
            encoder = ImageEncoder(geometry=geometry, **stamp["model"])
        encoder.load_state_dict(state, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, SettingError) as error:
        raise RunError(
            f"{folder / STAMP} does not describe {WEIGHTS} beside it: {one_line(error)}", VISUAL_REMEDY
        ) from error
    fact = repr((stamp.get("digest"), encoder.geometry, encoder.config))
    if not checked_once(folder / WEIGHTS, fact, lambda: encoder_digest(encoder) == stamp.get("digest"), again=verify):
        raise _unfit(folder / WEIGHTS)
    return encoder.eval(), stamp


def _read(path: Path, digest: str, *, again: bool) -> dict[str, Tensor]:
    """Read the tensors of a file whose bytes are those of a digest; no other bytes are parsed."""
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
    return RunError(f"{path} is not what {STAMP} beside it was written for: the digests differ.", VISUAL_REMEDY)
