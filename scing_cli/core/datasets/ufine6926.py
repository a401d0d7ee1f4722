"""Reader for UFine6926 and UFine3C: a JSON list of any name next to `images`; its paths are relative to the root."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets.caption_entry import CaptionEntry
from scing_cli.core.datasets.caption_lists import lists_in
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.listed_images import ImageList, read_list
from scing_cli.core.layouts import Parts

KIND = ImageList(CaptionEntry, folder="")


def read(root: Path, _parts: Parts) -> DataSet:
    """Read the list.

    Args:
        root: The data set's folder.

    Returns:
        Rows in the order of the list.

    Raises:
        DataError: If the list cannot be used, or no image is there.
    """
    (source,) = lists_in(root)
    return read_list(root, root / source, KIND)
