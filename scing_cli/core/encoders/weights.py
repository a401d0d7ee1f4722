"""Reads weights files as tensors only, renames the tensors as in CLIP, and checks them against both towers.

Supported formats: safetensors, torch checkpoints (read with `weights_only`, or by a reader that replaces all else than
tensors and containers by inert objects), and OpenAI's TorchScript archives.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from scing_cli.core.encoders.archive import is_archive, read_archive
from scing_cli.core.encoders.checkpoint import read_checkpoint
from scing_cli.core.encoders.compact_words import with_all_words
from scing_cli.core.encoders.foreign_files import appearance, fitting_models, not_a_clip, told_by_start, without_tensors
from scing_cli.core.encoders.weight_names import Named, check_arrays, clip_names, has_sizes
from scing_cli.core.errors import WeightsError, one_line, spelled

__all__ = ["TowerStates", "fill", "is_archive", "read_state", "read_weights", "split_state"]

MOST_UNPACKED, SLACK = 4, 2**24  # a zip may unpack to 4 times its own size plus 16 MiB
_INNER = ("state_dict", "model_state_dict", "model", "module", "net", "ema")  # keys of the tensors in a checkpoint
_SHOWN = 6
_ZIP = b"PK\x03\x04"
_AGAIN = "Download it again."


class TowerStates(NamedTuple):
    """Tensors of both towers by name, without the prefix `visual.`."""

    image: dict[str, Tensor]
    text: dict[str, Tensor]


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of `read_weights` alone."""
    return read_weights(path).state


def read_weights(path: Path) -> Named:
    """Read a weights file without running any code in it.

    Args:
        path: A safetensors file, a torch checkpoint, or OpenAI's archive, in one of the layouts of `weight_names`.

    Returns:
        The layout, and float32 tensors by CLIP's names: `visual.*`, and if the file has them, those of the text tower
        and `logit_scale`.

    Raises:
        WeightsError: If the file is missing, empty, damaged or not a weights file, or would run code.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.", "Give its path: --pretrained FILE.")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty.", _AGAIN)
    _check_unpacked(path)
    archive = is_archive(path)
    try:
        found: Any = _read(path, archive=archive)
    except WeightsError as error:
        raise (told_by_start(path) or error) from error
    given = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not given:
        raise without_tensors(path, found)
    try:
        layout, tensors, _ = clip_names(given)
        tensors = with_all_words(tensors)
    except ValueError as error:
        raise _not_weights(path, error) from error
    foreign = not layout and not any(name.startswith("visual.") for name in tensors)
    plain = any(name.startswith("visual.transformer.") for name in tensors)
    if foreign or (not plain and appearance(tensors)):  # CLIPs with a ResNet have names of a plain CLIP too
        raise not_a_clip(path, given, archive=archive)
    return Named(layout, _floats(path, tensors), openai=has_sizes(given) or archive)


def _floats(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as float32.

    Raises:
        WeightsError: If some are not floating-point numbers.
    """
    if odd := [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if not tensor.is_floating_point()]:
        raise WeightsError(
            f"{path} contains weights that are not floating-point numbers: {', '.join(odd[:_SHOWN])}.", _AGAIN
        )
    try:
        check_arrays(tensors)
        return {name: tensor.to(torch.float32) for name, tensor in tensors.items()}
    except (RuntimeError, ValueError) as error:  # torch raises RuntimeError for dtypes that it cannot convert
        raise _not_weights(path, error) from error


def _not_weights(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} contains tensors that are not weights: {one_line(error)}.", "Use another file.")


def _read(path: Path, *, archive: bool) -> Mapping[str, Any]:
    """Read a file by its format, which its suffix or its content says."""
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return read_archive(path) if archive else _read_checkpoint(path)


def _check_unpacked(path: Path) -> None:
    """Refuse a zip that unpacks to much more than its own size, or has members with paths out of a folder."""
    # Such a zip bomb would use up all memory. torch does not compress tensors, only code.
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as container:
            unpacked = sum(record.file_size for record in container.infolist())
            odd = next((name for name in container.namelist() if _leads_out(name)), None)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # not a complete zip: its reader reports that
    if odd is not None:
        raise WeightsError(f"{path} has a member with the path {spelled(odd)}: it was not read.", "Use another file.")
    if unpacked > MOST_UNPACKED * path.stat().st_size + SLACK:
        raise WeightsError(f"{path} would unpack to {unpacked:,} bytes; weights files are not compressed.", _AGAIN)


def _leads_out(member: str) -> bool:
    """Return whether a member of a zip has an absolute path, or one that leads out of its folder."""
    return (
        PurePosixPath(member).is_absolute()
        or PureWindowsPath(member).anchor != ""
        or ".." in re.split(r"[/\\]", member)
    )


def split_state(state: Mapping[str, Tensor]) -> TowerStates:
    """Separate a CLIP's tensors into those of the image tower and those of the text tower."""
    image = {name.removeprefix("visual."): tensor for name, tensor in state.items() if name.startswith("visual.")}
    text = {name: tensor for name, tensor in state.items() if not name.startswith("visual.")}
    return TowerStates(image=image, text=text)


def fill(image: nn.Module, text: nn.Module | None, parts: TowerStates, source: Path) -> None:
    """Assign the tensors to both towers, or to the image tower alone, without copying them.

    Raises:
        WeightsError: If tensors are missing, have the wrong shape, or belong to neither tower; the message names them.
    """
    faults = _faults(image, parts.image, "visual.") + (_faults(text, parts.text, "") if text is not None else [])
    if faults:
        shown = "; ".join(map(spelled, faults[:_SHOWN])) + (
            f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        )
        state = {f"visual.{name}": tensor for name, tensor in parts.image.items()}
        raise WeightsError(f"{source} does not fit the model: {shown}.", fitting_models(state))
    image.load_state_dict(parts.image, assign=True)
    if text is not None:
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
    """Read a torch checkpoint; the tensors may be under one of the keys `_INNER`."""
    try:
        _check_parts(path)
        with warnings.catch_warnings(action="ignore"):  # about pickle variants: they are refused or read completely
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = _read_with_extras(path)
    except Exception as error:
        raise _damaged(path, error) from error
    return _tensors_of(content)


def _read_with_extras(path: Path) -> Any:
    """Read a checkpoint that holds more than tensors; what is not a tensor or a plain container becomes inert."""
    try:
        return read_checkpoint(path)
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = f" ({one_line(error)})" if isinstance(error, pickle.UnpicklingError) else ""
        raise WeightsError(
            f"{path} contains more than tensors, or is not a weights file. "
            f"It was not loaded: it might run code{reason}.",
            "Use a safetensors file, or a checkpoint that torch.load(weights_only=True) reads.",
        ) from error
    except Exception as error:  # an untrusted file can make the zip and pickle readers raise almost anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = one_line(error) or type(error).__name__
    return WeightsError(f"{path} is damaged or not a weights file: {reason}.", _AGAIN)


def _tensors_of(content: Any) -> Mapping[str, Any]:
    """Return the mapping with the tensors: the content itself, or what is under one of the keys `_INNER`."""
    for _ in _INNER:
        if not isinstance(content, Mapping):
            return {}
        inner = next((content[key] for key in _INNER if isinstance(content.get(key), Mapping)), None)
        # a training may have a tensor of its own beside them: its best figure, the state of a random generator
        own = sum(isinstance(value, Tensor) for value in content.values())
        if inner is None or own > _count_tensors(inner):
            return content
        content = inner
    return content if isinstance(content, Mapping) else {}


def _count_tensors(content: Mapping[str, Any]) -> int:
    """Return how many tensors a mapping holds; those of an inner one under a key of `_INNER` count for it."""
    inner = max((_count_tensors(content[key]) for key in _INNER if isinstance(content.get(key), Mapping)), default=0)
    return max(sum(isinstance(value, Tensor) for value in content.values()), inner)


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
