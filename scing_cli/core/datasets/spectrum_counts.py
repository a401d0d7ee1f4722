"""Count the images of each spectrum, and name the rows of which one cannot be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.errors import spelled
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.spectra import SPECTRA


@dataclasses.dataclass(frozen=True, slots=True)
class SpectrumCount:
    """The images of one spectrum.

    Args:
        images: Observations that have an image of it, readable or not.
        missing: Observations that have none.
        unreadable: Observations whose image of it cannot be decoded.
    """

    images: int
    missing: int
    unreadable: int


def count_spectra(manifest: Manifest, unreadable: Collection[str]) -> dict[str, SpectrumCount]:
    """Return the counts of each spectrum; none for data of ordinary images.

    An observation that has a row in two splits counts once.

    Args:
        manifest: The rows.
        unreadable: The paths of images that cannot be decoded.
    """
    if not manifest.spectra():
        return {}
    observations = [row.images for row in {row.path: row for row in manifest}.values()]
    counts = {}
    for spectrum in SPECTRA:
        paths = [images[spectrum][0] for images in observations if spectrum in images]
        lost = sum(path in unreadable for path in paths)
        counts[spectrum] = SpectrumCount(len(paths), len(observations) - len(paths), lost)
    return counts


def row_faults(manifest: Manifest, unreadable: Sequence[Dropped]) -> Mapping[Sample, str]:
    """Return the rows that have an image which cannot be decoded, with the reason as the predicate of a sentence.

    Args:
        manifest: The rows.
        unreadable: The images.
    """
    reasons = {fault.path: fault.reason for fault in unreadable}
    if not reasons:
        return {}
    faults = {}
    for row in manifest:
        if row.path in reasons:
            faults[row] = reasons[row.path]
        elif lost := [(spectrum, path) for spectrum, (path, _) in row.images.items() if path in reasons]:
            spectrum, path = lost[0]
            faults[row] = f"has a {SPECTRA[spectrum]} image ({spelled(path)}) that {reasons[path]}"
    return faults
