"""Figures of matplotlib, whose list of fonts lies in this program's cache: nothing is written elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import cache_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """Return an empty figure; options are those of `matplotlib.figure.Figure`."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))  # it is read once, on import
    from matplotlib.figure import Figure

    return Figure(**options)
