"""Reader for RGBNT100: vehicles, with the visible, near-infrared and thermal image side by side in one file.

Folders and file names are those of Market-1501: `0501_c0001_000.jpg` shows identity 0501 at camera 0001.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.datasets import market
from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import display_name
from scing_cli.core.sample import OBJECT
from scing_cli.core.spectra import CROPS, STRIP

FOLDER = "rgbir"
"""The folder of the data set that holds the parts; it has no name of its own."""


def read(root: Path, parts: Parts) -> DataSet:
    """Read the folders of each part.

    Args:
        root: The folder of the parts.
        parts: The folders of each split.

    Returns:
        The rows of `market.read`, which say that each image shows three spectra.

    Raises:
        DataError: If a folder cannot be listed, or `captions.csv` is faulty.
    """
    data = market.read(root, parts)
    further = ((CROPS, STRIP), (OBJECT, "vehicle"))
    rows = tuple(dataclasses.replace(row, extra=(*row.extra, *further)) for row in data.manifest)
    name = display_name(root.parent if root.name == FOLDER and root.parent.name else root)
    return dataclasses.replace(data, manifest=dataclasses.replace(data.manifest, samples=rows, name=name))
