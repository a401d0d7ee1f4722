"""The spectra of an observation, and the images that show it: visible, near-infrared and thermal.

A source is what a model reads as one input: an image file, or an observation with an image per spectrum. Models that
read several spectra get the pixels of an observation as one array, with three channels per spectrum.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from scing_cli.core.errors import SettingError

VISIBLE = "rgb"
SPECTRA: Mapping[str, str] = MappingProxyType({VISIBLE: "visible", "nir": "near-infrared", "tir": "thermal"})
"""The short name of each spectrum, which options and files use -> its name in sentences; in the order of pixels."""
COLUMNS: Mapping[str, str] = MappingProxyType({"nir": "near_infrared", "tir": "thermal"})
"""Spectrum -> the column of its images. The visible image stands in the column `path`."""
CROPS = "crops"
STRIP = "3x1"
"""Value of the column `crops`: the image in `path` shows all spectra side by side, from left to right."""


class View(NamedTuple):
    """One image of one spectrum: a file, or a part of a strip, counted from the left."""

    file: Path
    part: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One observation as a model of several spectra reads it.

    Args:
        views: The image of each spectrum that the model reads, in the model's order; None where there is none. At least
            one is there.
    """

    views: tuple[View | None, ...]

    def __post_init__(self) -> None:
        if not any(self.views):
            raise ValueError("an observation needs an image")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the images, each once."""
        return tuple(dict.fromkeys(view.file for view in self.views if view is not None))


Source = Path | Observation


def file_of(source: Source) -> Path:
    """Return the file that stands for a source: the first one of an observation."""
    return source if isinstance(source, Path) else source.files[0]


def image_files(source: Source) -> tuple[Path, ...]:
    """Return all files of a source."""
    return (source,) if isinstance(source, Path) else source.files


def views_of(source: Source, spectra: tuple[str, ...] = ()) -> tuple[View | None, ...]:
    """Return the image of each spectrum that a model reads of a source; an image file shows the visible one.

    Args:
        source: What the model reads.
        spectra: The model's spectra; none for a model of ordinary images.

    Raises:
        ValueError: If a file is given to a model without the visible spectrum, or the numbers of spectra differ.
    """
    names = spectra or (VISIBLE,)
    if isinstance(source, Path):
        whole = Observation(tuple(View(source) if name == VISIBLE else None for name in names))
    else:
        whole = source
    if len(whole.views) != len(names):
        raise ValueError(f"an observation of {len(whole.views)} spectra for a model of {len(names)}")
    return whole.views


def same_observations(wanted: Sequence[Sequence[str]], shown: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return for each wanted row the rows that show the same observation, ascending.

    Two rows do if one of them has all images of the other: one may lack a spectrum. A file that stands for missing
    images in many rows does not make them one.

    Args:
        wanted: The keys of the images of each row.
        shown: The same of the rows that are looked through.

    >>> same_observations([("v1", "grey"), ("n2",)], [("v1",), ("v2", "n2"), ("v3", "grey")])
    [[0], [1]]
    """
    rows: dict[str, list[int]] = {}
    for row, keys in enumerate(shown):
        for key in set(keys):
            rows.setdefault(key, []).append(row)
    found = []
    for images in map(set, wanted):
        shared = Counter(row for key in images for row in rows.get(key, ()))
        found.append(sorted(row for row, count in shared.items() if count == min(len(images), len(set(shown[row])))))
    return found


def parse_spectra(text: str, option: str) -> tuple[str, ...]:
    """Return the spectra that a text names, in the order of `SPECTRA`: short names, or those in sentences.

    Args:
        text: Names with commas between them.
        option: What the text was given to, for messages.

    Raises:
        SettingError: If a name is unknown, or stands there twice, or there is none.

    >>> parse_spectra("tir, RGB", "--spectra"), parse_spectra("near-infrared", "--drop")
    (('rgb', 'tir'), ('nir',))
    """
    known = {name: short for short, long in SPECTRA.items() for name in (short, long)}
    names = [part.strip().lower().replace("_", "-") for part in text.split(",")]
    ways = ", ".join(f"{short} ({long})" for short, long in SPECTRA.items())
    for name in names:
        if name not in known:
            raise SettingError(f"{option} {text}: there is no spectrum {name!r}.", f"Known: {ways}.")
    found = [known[name] for name in names]
    if len(set(found)) < len(found):
        raise SettingError(f"{option} {text}: a spectrum stands there twice.", f"Known: {ways}.")
    return tuple(short for short in SPECTRA if short in found)


def ordinary(spectra: tuple[str, ...]) -> tuple[str, ...]:
    """Return the spectra of a model; none for the visible alone, which an ordinary model reads."""
    return () if spectra == (VISIBLE,) else spectra


def in_words(spectra: tuple[str, ...]) -> str:
    """Return the names of spectra for sentences.

    >>> in_words(("rgb", "nir", "tir")), in_words(("tir",))
    ('visible, near-infrared and thermal', 'thermal')
    """
    names = [SPECTRA[short] for short in spectra]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
