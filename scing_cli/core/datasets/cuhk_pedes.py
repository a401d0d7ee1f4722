"""Reader for CUHK-PEDES: `reid_raw.json` next to `imgs`, whose folders are named after older data sets.

Some copies have `caption_all.json` instead, which names images, people and captions, but usually no parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.datasets.caption_entry import CaptionEntry
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.listed_images import CSV, ImageList, items_of, read_list
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import Parts

LIST, WITHOUT_PARTS = "reid_raw.json", "caption_all.json"
KIND = ImageList(CaptionEntry, others="val")


def read(root: Path, _parts: Parts) -> DataSet:
    """Read `reid_raw.json`; without it, `caption_all.json` if its entries say which part they belong to.

    Args:
        root: The data set's folder.

    Returns:
        Rows in the order of the list.

    Raises:
        DataError: If the list cannot be used, or no image is there.
    """
    source = root / LIST
    if source.is_file():
        return read_list(root, source, KIND)
    source = root / WITHOUT_PARTS
    first = next(items_of(source), None)
    if isinstance(first, Mapping) and "split" not in first:
        raise DataError(
            f"{spelled(root)} has {WITHOUT_PARTS}, but not {LIST}. {WITHOUT_PARTS} does not say which images are for "
            "training and which for the test: its entries have no field split.",
            f"Put {LIST} next to imgs: it belongs to the same data set, and names the parts. {CSV}",
        )
    data = read_list(root, source, KIND)
    return data.with_rows(data.manifest.samples, (f"Read from {WITHOUT_PARTS}: there is no {LIST}.",))
