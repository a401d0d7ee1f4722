"""Reader for ICFG-PEDES: `ICFG-PEDES.json` or `ICFG_PEDES.json` next to `imgs`, which has MSMT17's images.

The folders `train` and `test` in `imgs` are MSMT17's own: the list alone says which part an image belongs to. The third
field of a file name is the camera, as in MSMT17.
"""

from __future__ import annotations

import filecmp
from pathlib import Path

from scing_cli.core.datasets.caption_entry import CaptionEntry
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.listed_images import ImageList, read_list
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import LAYOUTS, Parts

KIND = ImageList(CaptionEntry, camera="[0-9]{4}_[0-9]{3}_([0-9]{2})_[0-9]{4}(?:morning|noon|afternoon)")


def read(root: Path, _parts: Parts) -> DataSet:
    """Read the list.

    Args:
        root: The data set's folder.

    Returns:
        Rows in the order of the list.

    Raises:
        DataError: If the list cannot be used, if there are two that differ, or if no image is there.
    """
    (variant,) = LAYOUTS["icfg-pedes"].variants
    first, *others = [root / name for name in variant.lists if (root / name).is_file()]
    if not all(filecmp.cmp(first, other, shallow=False) for other in others):
        names = " and ".join(each.name for each in (first, *others))
        raise DataError(f"{spelled(root)} has {names}, and they differ.", "Keep one of them there.")
    return read_list(root, first, KIND)
