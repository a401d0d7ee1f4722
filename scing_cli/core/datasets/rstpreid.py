"""Reader for RSTPReid: `data_captions.json` next to `imgs`, whose files are named IDENTITY_cCAMERA_NUMBER."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets.caption_entry import EntryOfImagePath
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.listed_images import ImageList, read_list
from scing_cli.core.layouts import Parts

LIST = "data_captions.json"
KIND = ImageList(EntryOfImagePath, camera="[0-9]{4}_c([0-9]{1,2})_[0-9]")


def read(root: Path, _parts: Parts) -> DataSet:
    """Read the list.

    Args:
        root: The data set's folder.

    Returns:
        Rows in the order of the list.

    Raises:
        DataError: If the list cannot be used, or no image is there.
    """
    return read_list(root, root / LIST, KIND)
