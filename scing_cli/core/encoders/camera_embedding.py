"""Which vector belongs to which camera, for an image tower that has learnt some (SIE, R15)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def camera_rows(known: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the place of each camera's vector, shape (B,); -1 for a camera without one.

    Args:
        known: The cameras of the training, in the order of their vectors.
        names: B cameras.

    >>> camera_rows(["door", "yard"], ["yard", "", "door"]).tolist()
    [1, -1, 0]
    """
    places = {name: place for place, name in enumerate(known)}
    return np.array([places.get(name, -1) for name in names], np.int64)
