"""Reader for WMVEID863: vehicles in vis, ni and th, whose file names differ between the spectra.

The images of an identity are paired in the order of their names: the first visible one with the first near-infrared and
the first thermal one. A different number of images in one of them would pair wrong images, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import SHOWN_FAULTS, DataSet, Entry, gather
from scing_cli.core.datasets.listing import list_folder
from scing_cli.core.datasets.msvr310 import VIEW
from scing_cli.core.datasets.observations import VEHICLE, images_of, observation
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.layouts import Parts
from scing_cli.core.spectra import SPECTRA

NIGHT = "night"
_VIEW, _NIGHT = re.compile("v([0-9])"), re.compile("n([0-9])")


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of the identities in each part.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        Rows in the order of the parts, sorted by identity and file name. What the names say about the direction and
        the night is in the columns `view` and `night`; there are no cameras.

    Raises:
        DataError: If a folder cannot be listed, or an identity has another number of images in one of the spectra.
    """
    faults: list[str] = []
    entries: list[Entry] = []
    for split, folders in parts.items():
        for folder in folders:
            for identity in list_folder(root / folder).folders:
                entries += _entries(root, f"{folder}/{identity}", split, faults)
    if faults:
        more = [f"  ... and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
        folders_ = counted(len(faults), "folder")
        what = f"{spelled(root)} has {folders_} with different numbers of images per spectrum:\n"
        raise DataError(
            what + "\n".join([*faults[:SHOWN_FAULTS], *more]),
            "The file names of this data set do not say which images belong together; they are paired in sorted order, "
            "which needs equal numbers. Complete these folders, move them away, or pair the images in a CSV with the "
            "columns path, near_infrared, thermal.",
        )
    return gather(root, entries)


def _entries(root: Path, folder: str, split: str, faults: list[str]) -> Iterator[Entry]:
    seen, dropped = images_of(root, folder)
    yield from dropped
    paths = {spectrum: sorted(image.path for image in seen if image.spectrum == spectrum) for spectrum in SPECTRA}
    if len(set(map(len, paths.values()))) > 1:
        numbers = ", ".join(f"{SPECTRA[spectrum]} {len(found):,}" for spectrum, found in paths.items())
        faults.append(f"  {spelled(folder)}: {numbers}")
        return
    for images in zip(*paths.values(), strict=True):
        name = images[0].rpartition("/")[2]
        said = {key: found[1] for key, sign in ((VIEW, _VIEW), (NIGHT, _NIGHT)) if (found := sign.search(name))}
        of_spectrum = dict(zip(paths, images, strict=True))
        identity = folder.rpartition("/")[2]
        yield observation(of_spectrum, identity=identity, split=split, extra={**said, **VEHICLE})
