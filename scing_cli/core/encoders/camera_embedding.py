"""Rows of the camera embedding table (SIE, R15)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def camera_rows(known: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the row of each camera in the embedding table, shape (B,); -1 for a camera without a vector.

    Args:
        known: The cameras of training, in the order of their vectors.
        names: Names of B cameras.

    >>> camera_rows(["door", "yard"], ["yard", "", "door"]).tolist()
    [1, -1, 0]
    """
    rows = {name: row for row, name in enumerate(known)}
    return np.array([rows.get(name, -1) for name in names], np.int64)
