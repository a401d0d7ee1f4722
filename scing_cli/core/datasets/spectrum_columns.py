"""The columns of a table that name the images of further spectra: what they may hold, and what is suspicious there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from scing_cli.core.datasets.dataset import SHOWN_FAULTS
from scing_cli.core.errors import DataError, counted, share, spelled
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.spectra import COLUMNS, CROPS, SPECTRA, STRIP

OF_COLUMN: Mapping[str, str] = {column: SPECTRA[spectrum] for spectrum, column in COLUMNS.items()}


def first_image(row: Mapping[str, str]) -> str:
    """Return the path of a row of a table: the visible image, or the first one of another spectrum if there is none.

    >>> first_image({"path": "", "thermal": "t.jpg"}), first_image({"path": "v.jpg", "thermal": "t.jpg"})
    ('t.jpg', 'v.jpg')
    """
    return next((row[name] for name in ("path", *COLUMNS.values()) if row.get(name)), "")


def check_images(source: Path, samples: tuple[Sample, ...]) -> None:
    """Check that each image of a row shows one spectrum.

    Args:
        source: The table, for the message.
        samples: Its rows.

    Raises:
        DataError: If one does not; the message names the first rows.
    """
    faults = [f"  {spelled(row.path)}: {what}" for row in samples if (what := _fault(row))]
    if faults:
        more = [f"  ... and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
        rows = counted(len(faults), "row")
        what = f"{source} has {rows} whose images cannot be told apart:\n" + "\n".join([*faults[:SHOWN_FAULTS], *more])
        raise DataError(what, f"Name each image in the column of its spectrum: path, {', '.join(COLUMNS.values())}.")


def _fault(row: Sample) -> str:
    extra = dict(row.extra)
    named = [name for name in OF_COLUMN if extra.get(name)]
    if extra.get(CROPS) == STRIP and named:
        return f"with {CROPS} {STRIP}, path shows all spectra, but {' and '.join(named)} names another image"
    if len({extra[name] for name in named}) < len(named):
        return f"{' and '.join(named)} name one file"
    return ""


def image_warnings(manifest: Manifest) -> Iterator[str]:
    """Yield warnings of values of `crops` that are not known, and of images that several identities share."""
    unknown = [value for row in manifest for name, value in row.extra if name == CROPS and value not in ("", STRIP)]
    if unknown:
        rows = share(len(unknown), len(manifest), "row", "has", "have")
        yield (
            f"{rows} an unknown value in the column {CROPS}, such as {spelled(unknown[0])!r}: path is read as one "
            f"image. {STRIP} means that it shows the visible, near-infrared and thermal images side by side."
        )
    for column, words in OF_COLUMN.items():
        owners: dict[str, set[str]] = {}
        for row in manifest:
            if row.identity and (path := dict(row.extra).get(column)):
                owners.setdefault(path, set()).add(row.identity)
        several = [path for path, identities in owners.items() if len(identities) > 1]
        if several:
            images = counted(len(several), f"{words} image is", f"{words} images are")
            yield f"{images} in rows of different identities, such as {spelled(several[0])}."
