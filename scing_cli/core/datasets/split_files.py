"""Reader for the user's own folders train, val, query, gallery of files named IDENTITY_cCAMERA, as in Market-1501."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets import market
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.folders import not_read
from scing_cli.core.layouts import Parts


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of each part by their file names.

    Args:
        root: The data set's folder.
        parts: The folders of each split.

    Returns:
        The rows of `market.read`, with a note on folders and images that belong to no part.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    data = market.read(root, parts)
    return data.with_rows(data.manifest.samples, tuple(not_read(root, parts)))
