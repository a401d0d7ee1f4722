"""Where a data set is and which layout it has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.layouts import Parts


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """The folder and the layout of a data set.

    Args:
        root: The folder that contains the marker folders (the given folder, or one in it), or the CSV file.
        layout: A name of `LAYOUTS`.
        parts: The folders of each split; empty for a file.
    """

    root: Path
    layout: str
    parts: Parts
