"""A folder in some layout, or a CSV file, becomes one `Manifest`; after this room no code knows which data set it was.

`layouts.py` holds the one table of layouts; each row names its reader. `checks.py` says whether a manifest is enough
for training or evaluation, `inspect.py` opens the images and counts them beside published figures.
"""

from scing_cli.core.datasets.checks import check_evaluation, check_training
from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.datasets.layouts import LAYOUTS, LayoutSpec, detect, read_data

__all__ = [
    "LAYOUTS",
    "DataSet",
    "Dropped",
    "LayoutSpec",
    "check_evaluation",
    "check_training",
    "detect",
    "read_data",
]
