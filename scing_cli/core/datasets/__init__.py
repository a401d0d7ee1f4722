"""Read a folder in a known layout, or a CSV file, into one `Manifest`. No later code depends on the data set.

`detection.py` finds the matching row of the table of layouts (`core/layouts.py`). Each row names its reader, and
`reading.py` calls it. `checks.py` checks that a manifest is sufficient for training or evaluation. `inspect.py` opens
and counts the images.
"""

from scing_cli.core.datasets.checks import check_evaluation, check_training
from scing_cli.core.datasets.dataset import DataSet, Dropped
from scing_cli.core.datasets.detection import detect, locate
from scing_cli.core.datasets.joint import join_data, join_manifests
from scing_cli.core.datasets.location import Location
from scing_cli.core.datasets.reading import read_data

__all__ = [
    "DataSet",
    "Dropped",
    "Location",
    "check_evaluation",
    "check_training",
    "detect",
    "join_data",
    "join_manifests",
    "locate",
    "read_data",
]
