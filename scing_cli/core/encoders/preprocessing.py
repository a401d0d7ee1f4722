"""The pixel statistics and the interpolation of a model: what the user chose, else what the model's folder states.

open_clip writes them to `open_clip_config.json` (`preprocess_cfg`), transformers to `preprocessor_config.json` next to
`config.json`. Where nothing is stated and nothing chosen, the mean and the deviation are 0.5 and the interpolation is
bicubic (R11). This module imports neither torch nor Pillow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scing_cli.core.encoders.architecture import config_file
from scing_cli.core.encoders.geometry import INTERPOLATIONS, STATISTICS
from scing_cli.core.errors import SettingError, WeightsError
from scing_cli.core.safe_reading import SMALL, check_ordinary, parse_json, read_limited

AUTO = "auto"
DEFAULT = ("half", "bicubic")
STATEMENT = "preprocessor_config.json"
_RESAMPLING = MappingProxyType({2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"})
"""Pillow's numbers, which transformers writes, and open_clip's words."""

Channels = tuple[float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels are prepared for a model.

    Args:
        mean: Mean of each channel, on a scale of 0 to 1.
        std: Standard deviation of each channel, on the same scale.
        interpolation: A name of `INTERPOLATIONS`.
        source: The file that states one of them; None if none does.
    """

    mean: Channels
    std: Channels
    interpolation: str
    source: Path | None = None


def choose_preprocessing(name: str, statistics: str = AUTO, interpolation: str = AUTO) -> Preprocessing:
    """Return how pixels are prepared for a model.

    Args:
        name: The model's name, or the path of its JSON file or folder.
        statistics: `auto`, or a name of `STATISTICS`.
        interpolation: `auto`, or a name of `INTERPOLATIONS`.

    Raises:
        SettingError: If a choice is unknown.
        WeightsError: If the model's folder states something that cannot be used.
    """
    if statistics not in (AUTO, *STATISTICS):
        raise SettingError(f"Pixel statistics {statistics!r} are unknown.", f"Known: {AUTO}, {', '.join(STATISTICS)}.")
    if interpolation not in (AUTO, *INTERPOLATIONS):
        known = ", ".join((AUTO, *INTERPOLATIONS))
        raise SettingError(f"Interpolation {interpolation!r} is unknown.", f"Known: {known}.")
    stated = _stated(name)
    mean, std = STATISTICS[DEFAULT[0] if statistics == AUTO else statistics]
    how = DEFAULT[1] if interpolation == AUTO else interpolation
    if stated is None:
        return Preprocessing(mean, std, how)
    return Preprocessing(
        mean=stated.mean if statistics == AUTO else mean,
        std=stated.std if statistics == AUTO else std,
        interpolation=stated.interpolation if interpolation == AUTO else how,
        source=stated.source if AUTO in (statistics, interpolation) else None,
    )


def _stated(name: str) -> Preprocessing | None:
    """Return what the model's folder states; None if it states nothing."""
    config = config_file(name)
    if config is None:
        return None
    content = _read(config)
    section: Any = content.get("preprocess_cfg")
    source, keys = config, ("mean", "std", "interpolation")
    if section is None and (config.parent / STATEMENT).is_file() and "vision_config" in content:
        source, keys = config.parent / STATEMENT, ("image_mean", "image_std", "resample")
        section = _read(source)
    if not isinstance(section, Mapping) or not any(section.get(key) for key in keys):
        return None
    mean, std = STATISTICS[DEFAULT[0]]
    return Preprocessing(
        mean=_channels(section, keys[0], mean, source),
        std=_channels(section, keys[1], std, source),
        interpolation=_interpolation(section.get(keys[2]), source),
        source=source,
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        check_ordinary(path)
        content = parse_json(read_limited(path, SMALL))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}.", "Mend the file, or copy it again.") from error
    return content if isinstance(content, Mapping) else {}


def _channels(section: Mapping[str, Any], key: str, default: Channels, source: Path) -> Channels:
    value = section.get(key)
    if value is None:
        return default
    numbers = value if isinstance(value, list) else [value] * 3
    lowest = 0.0 if "mean" in key else 1e-6
    fit = all(isinstance(each, int | float) and not isinstance(each, bool) and lowest <= each <= 1 for each in numbers)
    if len(numbers) != 3 or not fit:
        raise WeightsError(
            f"{source}: {key} {value!r} cannot be used; it should be three numbers on a scale of 0 to 1.",
            "Mend the file, or choose --statistics half or clip.",
        )
    red, green, blue = map(float, numbers)
    return red, green, blue


def _interpolation(value: Any, source: Path) -> str:
    if value is None:
        return DEFAULT[1]
    if isinstance(value, bool) or not isinstance(value, int | str) or value not in _RESAMPLING:
        raise WeightsError(
            f"{source}: the interpolation {value!r} is unknown.", "Choose --interpolation bicubic or bilinear."
        )
    return _RESAMPLING[value]
