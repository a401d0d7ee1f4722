"""Create matplotlib figures, with matplotlib's font list in this program's cache folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import cache_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """Return an empty figure; the options are those of `matplotlib.figure.Figure`."""
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))  # read on import only
    from matplotlib.figure import Figure

    return Figure(**options)
