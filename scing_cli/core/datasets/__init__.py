"""A folder in some layout, or a CSV file, becomes one `Manifest`; after this room no code knows which data set it was.

`places.py` finds out which row of the table of layouts (`core/layouts.py`) fits; each row names its reader, and
`reading.py` is the door to all of them. `checks.py` says whether a manifest is enough
for training or evaluation, `inspect.py` opens the images and counts them beside published figures.
"""

from scing_cli.core.datasets.checks import check_evaluation, check_training
from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.datasets.detection import Place, detect, locate
from scing_cli.core.datasets.reading import read_data

__all__ = [
    "DataSet",
    "Dropped",
    "Place",
    "check_evaluation",
    "check_training",
    "detect",
    "locate",
    "read_data",
]
