"""Warn of identical files that must not be identical: of different people, or in parts that must not share images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from scing_cli.core.datasets.inspect import Inspection
from scing_cli.core.errors import counted
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Reporter


class Shown(NamedTuple):
    """A file of a row: the row, its spectrum (empty for a strip of all) and its path."""

    row: Sample
    spectrum: str
    path: str


def _of_two_people(a: Shown, b: Shown) -> bool:
    return bool(a.row.identity and b.row.identity) and a.row.identity != b.row.identity


def _is_ranked(a: Shown, b: Shown) -> bool:
    """Return whether two rows are query and gallery, and not of one identity and scene, which no query ranks."""
    apart = not a.row.scene or (a.row.identity, a.row.scene) != (b.row.identity, b.row.scene)
    return apart and {a.row.split, b.row.split} == {"query", "gallery"}


CLASHES: Mapping[str, Callable[[Shown, Shown], bool]] = MappingProxyType(
    {
        "under different identities": _of_two_people,
        "of different spectra": lambda a, b: bool(a.spectrum and b.spectrum) and a.spectrum != b.spectrum,
        "in training and in the test": lambda a, b: (
            {a.row.split, b.row.split} in ({"train", "query"}, {"train", "gallery"})
        ),
        "in query and in gallery": _is_ranked,
    }
)
"""Faults of identical files, the worst first."""


def warn_of_clashes(manifest: Manifest, inspection: Inspection, reporter: Reporter) -> None:
    """Warn of identical files with different identities, or in parts that must not share images.

    Args:
        manifest: The rows.
        inspection: The groups of identical files among them.
        reporter: Receives one warning per kind of fault.
    """
    shown: dict[str, list[Shown]] = {}
    for row in manifest:
        of_file = {path: "" if part is not None else spectrum for spectrum, (path, part) in row.images.items()}
        for path, spectrum in of_file.items():
            shown.setdefault(path, []).append(Shown(row, spectrum, path))
    kinds: dict[str, list[str]] = {}
    for group in inspection.identical:
        by_label: dict[tuple[str, ...], list[Shown]] = {}
        for image in (image for path in group for image in shown[path]):
            label = (image.row.identity, image.row.split, image.row.scene, image.spectrum)
            by_label.setdefault(label, []).append(image)
        # Two images per label are enough to find every kind of clash, and keep the number of pairs small.
        clash = _worst_clash([image for alike in by_label.values() for image in alike[:2]])
        if clash is not None:
            what, first, second = clash
            kinds.setdefault(what, []).append(f"{first.path} and {second.path}")
    for what, pairs in kinds.items():
        more = f" (and {counted(len(pairs) - 1, 'more pair')}; --json lists all groups)" if len(pairs) > 1 else ""
        reporter.warn(f"{pairs[0]} are identical files {what}{more}.")


def _worst_clash(images: Sequence[Shown]) -> tuple[str, Shown, Shown] | None:
    """Return the worst fault among identical files, with the first two that show it; None if there is none."""
    pairs = [(a, b) for a, b in itertools.combinations(images, 2) if a.path != b.path]
    return next(((what, a, b) for what, clash in CLASHES.items() for a, b in pairs if clash(a, b)), None)
