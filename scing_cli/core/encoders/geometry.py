"""What an image encoder reads and returns: pixels (R11, R15) and a descriptor (R10).

The geometry (image size, patch grid, pixel statistics) is saved with the weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from scing_cli.core.errors import SettingError

Grid = tuple[int, int]
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
STATISTICS = {"half": (HALF, HALF), "clip": (CLIP_MEAN, CLIP_STD)}
LARGEST_SIDE = 4096
INTERPOLATIONS = ("bicubic", "bilinear")
DESCRIPTORS = ("projected", "concat")  # of every CLIP
CLASS = "class"  # of encoders whose `class_dim` is not 0


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
    """Size and statistics of the pixels, and how they are cut into patches.

    Args:
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
        patch: Side of a square patch, in pixels.
        stride: Step from one patch to the next, in pixels; patches overlap if it is smaller than `patch`.
        mean: Mean of each of the three channels, on a scale of 0 to 1.
        std: Standard deviation of each channel, on the same scale.
        interpolation: Interpolation for resizing: `bicubic` or `bilinear`.

    Raises:
        SettingError: If the stride is not within 1 to `patch`, a side is smaller than a patch or above `LARGEST_SIDE`,
            a deviation is not positive, or the interpolation is unknown.
    """

    height: int = 256
    width: int = 128
    patch: int = 16
    stride: int = 16
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.patch:
            raise SettingError(
                f"--stride {self.stride} does not fit patches of {self.patch} pixels.", f"Use 1 to {self.patch}."
            )
        if min(self.height, self.width) < self.patch:
            raise SettingError(
                f"{self.height}x{self.width} pixels are smaller than a patch of {self.patch}x{self.patch}."
            )
        if max(self.height, self.width) > LARGEST_SIDE:
            raise SettingError(f"{self.height}x{self.width} pixels are too many: a side has at most {LARGEST_SIDE}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise SettingError(f"mean {self.mean} and std {self.std} must be three numbers each, std above 0.")
        if self.interpolation not in INTERPOLATIONS:
            raise SettingError(
                f"Interpolation {self.interpolation!r} is unknown.", f"Known: {', '.join(INTERPOLATIONS)}."
            )

    @property
    def grid(self) -> Grid:
        """Rows and columns of patches.

        >>> Geometry(stride=16).grid, Geometry(stride=12).grid
        ((16, 8), (21, 10))
        """
        return (self.height - self.patch) // self.stride + 1, (self.width - self.patch) // self.stride + 1

    def as_dict(self) -> dict[str, Any]:
        """Return the fields in a form that JSON can represent."""
        return {**dataclasses.asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Geometry:
        """Return the geometry that `as_dict` returned.

        Raises:
            SettingError: If a field is unknown, has the wrong type, or has an invalid value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(content) - known):
            raise SettingError(f"A geometry has no field {', '.join(unknown)}.", f"It has: {', '.join(sorted(known))}.")
        try:
            values = {name: _value(name, content[name]) for name in content}
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SettingError(f"This geometry cannot be used: {dict(content)} ({error}).") from error


def check_descriptor(kind: str) -> str:
    """Return the kind of descriptor if it is known.

    Args:
        kind: `projected`; `concat` for class token and projection joined; `class` for the projected class tokens alone,
            of an encoder whose `projected` has more.

    Raises:
        SettingError: If the kind is unknown.
    """
    known = (*DESCRIPTORS, CLASS)
    if kind not in known:
        raise SettingError(f"--descriptor {kind!r} is unknown.", f"Known: {', '.join(known)}.")
    return kind


def check_class(kind: str, class_dim: int) -> None:
    """Check that an encoder has the descriptor `class`, if that is the kind.

    Args:
        kind: A known kind.
        class_dim: The encoder's.

    Raises:
        SettingError: If it does not.
    """
    if kind == CLASS and not class_dim:
        raise SettingError(
            "--descriptor class needs a model of --method dmpt: the usual descriptor of others is the class token's.",
            "Leave --descriptor out.",
        )


def _value(name: str, value: Any) -> Any:
    if name in {"mean", "std"}:
        return tuple(float(part) for part in value)
    if name == "interpolation":
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number")
    return value
