"""The pixels of a model: statistics, interpolation and size, as the user chose them, else as a file next to it states.

| file | written by | statement |
|---|---|---|
| `open_clip_config.json` | open_clip | `preprocess_cfg`; `quick_gelu` and `image_size` in `model_cfg` |
| `preprocessor_config.json` next to `config.json` | transformers | mean, deviation, resampling, size; `hidden_act` |
| `stamp.json` | this program, next to an image encoder | its geometry |

The folder of the weights comes before that of the model. Where nothing is stated and nothing chosen, the mean and the
deviation are 0.5 and the interpolation is bicubic (R11). This module imports neither torch nor Pillow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scing_cli.core.artifacts import STAMP
from scing_cli.core.encoders.architecture import CONFIG_FILES, config_file
from scing_cli.core.encoders.geometry import INTERPOLATIONS, LARGEST_SIDE, STATISTICS
from scing_cli.core.encoders.local_copies import refuse_outside
from scing_cli.core.errors import SettingError, WeightsError
from scing_cli.core.safe_reading import SMALL, check_ordinary, parse_json, read_limited

AUTO = "auto"
DEFAULT = ("half", "bicubic")
STATEMENT = "preprocessor_config.json"
_OURS = "image_encoder.safetensors"
_RESAMPLING = MappingProxyType({2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"})
"""Pillow's numbers, which transformers writes, and open_clip's words."""

Channels = tuple[float, float, float]
Chosen = tuple[bool, bool]  # whether the user has chosen statistics and interpolation
Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels are prepared for a model, and what else a file states that must fit it.

    Args:
        mean: Mean of each channel, on a scale of 0 to 1.
        std: Standard deviation of each channel, on the same scale.
        interpolation: A name of `INTERPOLATIONS`.
        source: The file that states one of them; None if none does.
        size: Height and width that a file states.
        exact: Whether `size` is to be used. A square is the size of CLIP's pretraining, not that of images of persons.
        quick_gelu: Whether a file states that the weights need QuickGELU; None if it does not say.
        stated_in: The file that states size or activation, or the program that lists it; None if none does.
    """

    mean: Channels
    std: Channels
    interpolation: str
    source: Path | None = None
    size: Size | None = None
    exact: bool = False
    quick_gelu: bool | None = None
    stated_in: Path | str | None = None


def choose_preprocessing(
    name: str, statistics: str = AUTO, interpolation: str = AUTO, *, weights: Path | None = None
) -> Preprocessing:
    """Return how pixels are prepared for a model.

    Args:
        name: The model's name, or the path of its JSON file or folder.
        statistics: `auto`, or a name of `STATISTICS`.
        interpolation: `auto`, or a name of `INTERPOLATIONS`.
        weights: The weights file that the user named; None for a tag or random weights.

    Raises:
        SettingError: If a choice is unknown.
        WeightsError: If a file states something that cannot be used.
    """
    if statistics not in (AUTO, *STATISTICS):
        raise SettingError(f"Pixel statistics {statistics!r} are unknown.", f"Known: {AUTO}, {', '.join(STATISTICS)}.")
    if interpolation not in (AUTO, *INTERPOLATIONS):
        known = ", ".join((AUTO, *INTERPOLATIONS))
        raise SettingError(f"Interpolation {interpolation!r} is unknown.", f"Known: {known}.")
    mean, std = STATISTICS[DEFAULT[0] if statistics == AUTO else statistics]
    how = DEFAULT[1] if interpolation == AUTO else interpolation
    stated = _stated(name, weights, (statistics != AUTO, interpolation != AUTO))
    if stated is None:
        return Preprocessing(mean, std, how)
    return dataclasses.replace(
        stated,
        mean=stated.mean if statistics == AUTO else mean,
        std=stated.std if statistics == AUTO else std,
        interpolation=stated.interpolation if interpolation == AUTO else how,
        source=stated.source if AUTO in (statistics, interpolation) else None,
    )


def _stated(name: str, weights: Path | None, chosen: Chosen) -> Preprocessing | None:
    """Return what the folder of the weights states, else what that of the model states; None if neither does."""
    if weights is not None:
        if weights.name == _OURS and (weights.parent / STAMP).is_file():
            return _of_stamp(weights.parent / STAMP, chosen)
        near = next((weights.parent / file for file in CONFIG_FILES if (weights.parent / file).is_file()), None)
        if near is not None:
            refuse_outside(near, near.parent)
        if near is not None and (found := _of_config(near, chosen)) is not None:
            return found
    config = config_file(name)
    found = None if config is None else _of_config(config, chosen)
    # The model's own description says which activation is used, not which one weights from elsewhere need.
    return None if found is None else dataclasses.replace(found, quick_gelu=None)


def _of_stamp(stamp: Path, chosen: Chosen) -> Preprocessing | None:
    """Return the geometry in the stamp of an image encoder that this program wrote."""
    content = _read(stamp)
    geometry, model = content.get("geometry"), content.get("model")
    if not isinstance(geometry, Mapping) or not isinstance(model, Mapping):
        return None
    size = _size([geometry.get("height"), geometry.get("width")])
    found = _pixels(geometry, ("mean", "std", "interpolation"), stamp, chosen)
    return dataclasses.replace(
        found, size=size, exact=size is not None, quick_gelu=_flag(model.get("quick_gelu")), stated_in=stamp
    )


def _of_config(config: Path, chosen: Chosen) -> Preprocessing | None:
    """Return what the JSON file of open_clip or transformers states; None if it is another file."""
    content = _read(config)
    vision = content.get("vision_config")
    if isinstance(vision, Mapping):
        given = config.parent / STATEMENT
        refuse_outside(given, config.parent)
        section: Any = _read(given) if given.is_file() else {}
        source, keys = (given if section else config), ("image_mean", "image_std", "resample")
        sizes = [section.get("crop_size"), section.get("size"), vision.get("image_size")]
        quick = {"quick_gelu": True, "gelu": False}.get(str(vision.get("hidden_act", "quick_gelu")))
    else:
        pixels, source, keys = content.get("preprocess_cfg"), config, ("mean", "std", "interpolation")
        model = _mapping(content.get("model_cfg", content))
        tower = _mapping(model.get("vision_cfg"))
        if not tower and not isinstance(pixels, Mapping):
            return None
        section = _mapping(pixels)
        sizes = [section.get("size"), tower.get("image_size")]
        quick = bool(model.get("quick_gelu", False)) if tower else None
    size = next((size for each in sizes if (size := _size(each)) is not None), None)
    found = _pixels(section, keys, source, chosen)
    exact = size is not None and size[0] != size[1]
    return dataclasses.replace(found, size=size, exact=exact, quick_gelu=quick, stated_in=config)


def _pixels(section: Mapping[str, Any], keys: tuple[str, str, str], source: Path, chosen: Chosen) -> Preprocessing:
    """Return mean, deviation and interpolation under three keys; the defaults without a source if there are none.

    What the user has chosen is not read: it may be wrong.
    """
    unread = {*(keys[:2] if chosen[0] else ()), *(keys[2:] if chosen[1] else ())}
    section = {key: value for key, value in section.items() if key not in unread}
    mean, std = STATISTICS[DEFAULT[0]]
    return Preprocessing(
        mean=_channels(section, keys[0], mean, source),
        std=_channels(section, keys[1], std, source),
        interpolation=_interpolation(section.get(keys[2]), source),
        source=source if any(section.get(key) for key in keys) else None,
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        check_ordinary(path)
        content = parse_json(read_limited(path, SMALL))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}.", "Mend the file, or copy it again.") from error
    return content if isinstance(content, Mapping) else {}


def _size(value: Any) -> Size | None:
    """Return a height and width as any of the programs writes them; None if the value is not one."""
    if isinstance(value, Mapping):
        value = [value.get("height", value.get("shortest_edge")), value.get("width", value.get("shortest_edge"))]
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        return None
    height, width = sides
    return height, width


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


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
