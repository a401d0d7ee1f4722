"""Leave out the images of a data set that cannot be decoded, before work that reads them again and again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.artifacts import DecodedImages
from scing_cli.core.datasets.left_out import LeftOut, listed
from scing_cli.core.errors import DataError, ImageError, agreeing, counted, spelled
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import image_files
from scing_cli.core.workflows.shared.vectors import in_threads

SHOWN = 5  # identities named in a warning
MOST_LEFT_OUT = 0.1  # of the rows: with more damage, something else is wrong
REMEDY = (
    "Is their disk mounted, is the copy complete? If they have moved, give their folder: --data DIR.\n"
    "To train on the others: scing prepare DIR marks such images in its manifest; train with --data and that manifest."
)


def readable_rows(
    manifest: Manifest,
    split: str,
    *,
    left_out: LeftOut,
    workers: int,
    reporter: Reporter,
    spectra: Sequence[str] = (),
    group: ProcessGroup = ALONE,
) -> Manifest:
    """Return the manifest without the rows of a split that have an image which cannot be decoded.

    Images that were decoded before and have not changed are not decoded again.

    Args:
        manifest: The rows.
        split: The split to check; the rows of the others stay.
        spectra: The spectra that the model reads; none for the visible images. Other images are not decoded.
        left_out: Receives the files that cannot be decoded.
        workers: Threads that decode.
        reporter: Shows the progress.
        group: The processes, each of which decodes a part.

    Raises:
        DataError: If more than a tenth of the rows would be left out.
        ImageError: For the first of them, if `left_out` is strict.
    """
    part = manifest.part(split).seen_in(spectra)
    sources = part.sources(spectra)
    files = list(dict.fromkeys(file for source in sources for file in image_files(source)))
    each = math.ceil(len(files) / group.size)
    own = files[group.rank * each : (group.rank + 1) * each]
    group.together(lambda: find_unreadable(own, left_out=left_out, workers=workers, reporter=reporter))
    left_out.share(group)
    lost = {file for file in files if file in left_out}
    damaged = {row for row, source in zip(part, sources, strict=True) if not lost.isdisjoint(image_files(source))}
    if len(damaged) > MOST_LEFT_OUT * len(part):
        faults = [fault for fault in left_out.dropped() if Path(fault.path) in lost]
        rows = counted(len(part), "observation" if spectra else "image")
        have = agreeing(len(damaged), "has an image that", "have an image that") if spectra else ""
        what = " ".join(filter(None, [f"{len(damaged):,} of {rows} of the split {split}", have, "cannot be read"]))
        raise DataError("\n".join([f"{what}, more than a tenth:", *listed(faults)]), REMEDY)
    if not lost:
        return manifest
    left = dataclasses.replace(manifest, samples=tuple(row for row in manifest if row not in damaged))
    _warn_of_people(manifest, left, split, reporter)
    return left


def image_count(manifest: Manifest, split: str, spectra: Sequence[str] = ()) -> int:
    """Return the number of images that a model of these spectra reads of a split."""
    sources = manifest.part(split).seen_in(spectra).sources(spectra)
    return len({file for source in sources for file in image_files(source)})


def _warn_of_people(before: Manifest, left: Manifest, split: str, reporter: Reporter) -> None:
    """Warn of identities that have no image left."""
    there = {row.identity for row in left if row.split == split}
    gone = [identity for identity in before.part(split).identities() if identity not in there]
    if gone:
        people = counted(len(gone), "identity has", "identities have")
        shown = ", ".join(map(spelled, gone[:SHOWN])) + (", …" if len(gone) > SHOWN else "")
        reporter.warn(f"{people} no image left in the split {split}: {shown}.")


def find_unreadable(files: Sequence[Path], *, left_out: LeftOut, workers: int, reporter: Reporter) -> None:
    """Decode images, except those known to be sound, and add those that cannot be decoded to `left_out`."""
    known = DecodedImages()
    unknown = [file for file in files if file not in known]
    if not unknown:
        return
    errors = in_threads(_error, unknown, workers=workers, reporter=reporter, text="check images")
    for file, error in zip(unknown, errors, strict=True):
        if error is not None:
            left_out.add(file, error)
    known.add(file for file, error in zip(unknown, errors, strict=True) if error is None)


def _error(file: Path) -> ImageError | None:
    try:
        read_image(file)
    except ImageError as error:
        return error
    return None
