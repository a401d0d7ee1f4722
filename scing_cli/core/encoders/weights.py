"""Reads weights files as tensors only, renames the tensors as in CLIP, and checks them against both towers.

Supported formats: safetensors, open_clip's `.pt` and `.bin` (read with `weights_only`), and OpenAI's TorchScript
archives.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from scing_cli.core.encoders.archive import is_archive, read_archive
from scing_cli.core.errors import WeightsError, one_line, spelled

__all__ = ["TowerStates", "fill", "is_archive", "read_state", "split_state"]

MOST_UNPACKED, SLACK = 4, 2**24  # a zip may unpack to 4 times its own size plus 16 MiB
_NOT_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})
_WRAPPERS = ("module.", "_orig_mod.")
_SHOWN = 6
_ZIP = b"PK\x03\x04"
_AGAIN = "Download it again."


class TowerStates(NamedTuple):
    """Tensors of both towers by name, without the prefix `visual.`."""

    image: dict[str, Tensor]
    text: dict[str, Tensor]


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a weights file without running any code in it.

    Args:
        path: A safetensors file, an open_clip checkpoint, or OpenAI's archive.

    Returns:
        Float32 tensors by CLIP's names (`visual.*` and the text tower's), with `logit_scale`.

    Raises:
        WeightsError: If the file is missing, empty, damaged or not a weights file, or would run code.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.", "Give its path: --pretrained FILE.")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty.", _AGAIN)
    _check_unpacked(path)
    if path.suffix == ".safetensors":
        found: Mapping[str, Any] = _read_safetensors(path)
    elif is_archive(path):
        found = read_archive(path)
    else:
        found = _read_checkpoint(path)
    tensors = {name: tensor for name, tensor in _plain_names(found).items() if not _is_extra(name)}
    if not tensors:
        raise WeightsError(f"{path} does not contain named tensors.", "Use a file with a whole CLIP model.")
    if odd := [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise WeightsError(
            f"{path} contains weights that are not floating-point numbers: {', '.join(odd[:_SHOWN])}.", _AGAIN
        )
    try:
        return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}
    except RuntimeError as error:  # torch raises this for dtypes that it cannot convert, such as quantized ones
        raise WeightsError(
            f"{path} contains tensors that are not weights: {one_line(error)}.", "Use another file."
        ) from error


def _check_unpacked(path: Path) -> None:
    """Refuse a zip that unpacks to much more than its own size."""
    # Such a zip bomb would use up all memory. torch does not compress tensors, only code.
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as container:
            unpacked = sum(record.file_size for record in container.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # not a complete zip: its reader reports that
    if unpacked > MOST_UNPACKED * path.stat().st_size + SLACK:
        raise WeightsError(f"{path} would unpack to {unpacked:,} bytes; weights files are not compressed.", _AGAIN)


def split_state(state: Mapping[str, Tensor]) -> TowerStates:
    """Separate a CLIP's tensors into those of the image tower and those of the text tower."""
    image = {name.removeprefix("visual."): tensor for name, tensor in state.items() if name.startswith("visual.")}
    text = {name: tensor for name, tensor in state.items() if not name.startswith("visual.")}
    return TowerStates(image=image, text=text)


def fill(image: nn.Module, text: nn.Module, parts: TowerStates, source: Path) -> None:
    """Assign the tensors to both towers without copying them.

    Raises:
        WeightsError: If tensors are missing, have the wrong shape, or belong to neither tower; the message names them.
    """
    faults = _faults(image, parts.image, "visual.") + _faults(text, parts.text, "")
    if faults:
        shown = "; ".join(map(spelled, faults[:_SHOWN])) + (
            f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        )
        raise WeightsError(
            f"{source} does not fit the model: {shown}.", "Choose the --model that the file was made for."
        )
    image.load_state_dict(parts.image, assign=True)
    text.load_state_dict(parts.text, assign=True)


def _faults(tower: nn.Module, state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Return why a state does not fit a tower: wrong shapes, then missing and unexpected names."""
    expected = {name: tuple(tensor.shape) for name, tensor in tower.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    shapes = [
        f"{prefix}{name} has shape {found[name]} instead of {expected[name]}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    missing = [f"{prefix}{name} is missing" for name in expected if name not in found]
    return shapes + missing + [f"{prefix}{name} is unexpected" for name in found if name not in expected]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = load_file(path)
    except Exception as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file: {one_line(error)}.", _AGAIN) from error
    return found


def _read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a torch checkpoint; the tensors may be under the key `state_dict` or `model`."""
    try:
        _check_parts(path)
        with warnings.catch_warnings(action="ignore"):  # about pickle variants: they are refused or read completely
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} contains more than tensors, or is not a weights file. It was not loaded: it might run code.",
            "Use a safetensors file, or a checkpoint that torch.load(weights_only=True) reads.",
        ) from error
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        raise WeightsError(f"{path} is damaged or not a weights file: {reason}.", _AGAIN) from error
    for inner in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(inner), Mapping):
            content = content[inner]
    return content if isinstance(content, Mapping) else {}


def _check_parts(path: Path) -> None:
    """Compare the members of a zip with their checksums, which torch does not check.

    Raises:
        BadZipFile: If a member is damaged or has no checksum.
    """
    with path.open("rb") as stream:
        if stream.read(len(_ZIP)) != _ZIP:
            return
    with zipfile.ZipFile(path) as container:
        if broken := container.testzip():
            raise zipfile.BadZipFile(f"its member {broken} does not match its checksum")


def _plain_names(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """Remove the prefixes of wrappers from all names, and the prefix `text.` of some open_clip models."""
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return {name.removeprefix("text."): tensor for name, tensor in tensors.items()}


def _is_extra(name: str) -> bool:
    """Return whether a tensor is a size or a mask, which archives contain in addition to the weights."""
    return name in _NOT_WEIGHTS or name.rpartition(".")[2] == "attn_mask"
