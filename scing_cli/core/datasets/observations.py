"""Rows of several spectra: one observation from the images that show it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from scing_cli.core.datasets.dataset import Dropped, Entry
from scing_cli.core.datasets.listing import list_folder
from scing_cli.core.errors import counted, share, spelled
from scing_cli.core.manifest import Sample
from scing_cli.core.sample import OBJECT
from scing_cli.core.spectra import COLUMNS, SPECTRA

FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rgb": ("rgb", "vis", "visible"),
        "nir": ("nir", "ni", "near_infrared", "nearinfrared", "ir", "infrared"),
        "tir": ("tir", "ti", "th", "thermal", "thermal_infrared", "thermalinfrared"),
    }
)
"""Spectrum -> the names of folders with its images, in lower case; a hyphen or a space is an underscore there."""
OUTSIDE = "it is in no folder of a spectrum"
_SPECTRUM_OF = {name: spectrum for spectrum, names in FOLDERS.items() for name in names}


class Seen(NamedTuple):
    """One image of an observation.

    Args:
        key: What the images of one observation have in common.
        spectrum: A key of `SPECTRA`.
        path: POSIX path relative to the data set's root.
    """

    key: str
    spectrum: str
    path: str


def spectrum_of(folder: str) -> str:
    """Return the spectrum that a folder's name says; empty if it says none.

    >>> spectrum_of("RGB"), spectrum_of("Near-Infrared"), spectrum_of("th"), spectrum_of("anna")
    ('rgb', 'nir', 'tir', '')
    """
    return _SPECTRUM_OF.get(folder.lower().replace("-", "_").replace(" ", "_"), "")


def images_of(root: Path, folder: str) -> tuple[list[Seen], list[Dropped]]:
    """Return the images in the folders of spectra in a folder, and those that are in no such folder."""
    listing = list_folder(root / folder)
    seen: list[Seen] = []
    dropped = [Dropped(f"{folder}/{name}", OUTSIDE) for name in listing.images]
    for inner in listing.folders:
        names = list_folder(root / folder / inner).images
        if spectrum := spectrum_of(inner):
            seen += [Seen(name, spectrum, f"{folder}/{inner}/{name}") for name in names]
        else:
            dropped += [Dropped(f"{folder}/{inner}/{name}", OUTSIDE) for name in names]
    return seen, dropped


def group(seen: Sequence[Seen]) -> tuple[dict[str, dict[str, str]], list[Dropped]]:
    """Pair images by their keys.

    A suffix does not count, unless files of one spectrum differ in it alone; nor does the Unicode form.

    Returns:
        The images of each observation, spectrum -> path, in the order of the keys; and the images whose key another one
        of the same spectrum has.
    """
    names = Counter((_stem(key), spectrum) for key, spectrum in {(image.key, image.spectrum) for image in seen})
    by_suffix = {stem for (stem, _), count in names.items() if count > 1}
    observations: dict[str, dict[str, str]] = {}
    dropped = []
    for image in seen:
        stem = _stem(image.key)
        key = unicodedata.normalize("NFC", image.key) if stem in by_suffix else stem
        first = observations.setdefault(key, {}).setdefault(image.spectrum, image.path)
        if first != image.path:
            dropped.append(Dropped(image.path, f"another {SPECTRA[image.spectrum]} image has its name: {first}"))
    return dict(sorted(observations.items())), dropped


def _stem(key: str) -> str:
    return unicodedata.normalize("NFC", key.rpartition(".")[0])


def observation(
    images: Mapping[str, str],
    *,
    identity: str = "",
    camera: str = "",
    split: str = "",
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Sample:
    """Return the row of an observation.

    Args:
        images: Spectrum -> path; at least one.
        identity: The identity; empty where unknown.
        camera: The camera; empty where unknown.
        split: The split.
        extra: Further columns, such as the scene; empty values are left out.
    """
    first = next(images[spectrum] for spectrum in SPECTRA if spectrum in images)
    further = {column: images[spectrum] for spectrum, column in COLUMNS.items() if spectrum in images}
    return Sample(
        first,
        identity,
        camera,
        split,
        extra=(*further.items(), *((name, value) for name, value in extra.items() if value)),
    )


def not_named(images: Mapping[str, str], reason: str) -> Iterator[Entry]:
    """Yield the images of an observation as left out."""
    yield from (Dropped(path, reason) for path in images.values())


def lacking_notes(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a sentence for each spectrum that some observations lack."""
    once = list({row.path: row for row in samples}.values())
    for spectrum, words in SPECTRA.items():
        without = [row for row in once if spectrum not in row.images]
        if without and len(without) < len(once):
            lack = share(len(without), len(once), "observation", "has", "have")
            yield f"{lack} no {words} image, such as {spelled(without[0].path)}."
        elif without:
            yield f"None of the {counted(len(once), 'observation')} has a {words} image."


VEHICLE = MappingProxyType({OBJECT: "vehicle"})
"""The further column of rows that show vehicles."""
