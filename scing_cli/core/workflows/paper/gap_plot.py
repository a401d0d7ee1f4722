"""Draw the modality gap (the paper's Figure 1): images, the texts of their identities, and a line for each pair.

Shapes: N images, each with its text; D joint width.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.errors import SettingError
from scing_cli.core.figures.bar_chart import BAR, INK, LINE, MUTED
from scing_cli.core.figures.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = npt.NDArray[np.float64]
IMAGES, TEXTS, PAIRS = LINE, BAR, "#9aa5b1"
ACROSS = "along the line from the images' centre to the texts'"
UP = "first principal component of the rest"
UMAP_AXES = ("UMAP, first axis (no unit)", "UMAP, second axis (no unit)")
NO_DIRECTION = 1e-9  # centres of unit vectors at a smaller distance coincide
WIDTH = 3.4  # inches, of a panel
TALLEST = 4.2  # inches, of a panel


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Images and texts projected to two dimensions.

    Args:
        images: (N, 2) float64.
        texts: (N, 2) float64: row i is the text of image i's identity.
    """

    images: Points
    texts: Points


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GapPanel:
    """One panel of the picture.

    Args:
        heading: Title, of one or more lines.
        plane: Points to draw.
    """

    heading: str
    plane: Plane


def gap_plane(images: Points, texts: Points) -> Plane:
    """Project images and their texts to a plane that preserves the distance between their centres.

    The first axis is the direction from the centre of the images to the centre of the texts. The second axis is the
    first principal component of the remainder of images and texts, with the longer tail upwards. The origin is half-way
    between the centres. If the centres coincide, the axes are the first two principal components. The projection is
    orthogonal and deterministic: no distance is longer than in the joint space.

    Args:
        images: (N, D).
        texts: (N, D): row i is the text of image i's identity.
    """
    points = np.concatenate([images, texts]).astype(np.float64)
    points -= points.mean(axis=0)
    gap = points[len(images) :].mean(axis=0) - points[: len(images)].mean(axis=0)  # (D,)
    length = np.linalg.norm(gap)
    first = gap / length if length > NO_DIRECTION else _principal(points)
    rest = points - np.outer(points @ first, first)
    plane = np.stack([points @ first, rest @ _principal(rest)], axis=1)  # (2 N, 2)
    return Plane(plane[: len(images)], plane[len(images) :])


def need_umap() -> None:
    """Check, before anything is measured, that umap-learn can be imported.

    Raises:
        SettingError: If it is not installed.
    """
    try:
        import umap  # noqa: F401
    except ImportError as error:
        raise SettingError("--umap needs umap-learn.", "Run: pip install '.[umap]'") from error


def umap_plane(images: Points, texts: Points, *, seed: int) -> Plane:
    """Embed images and their texts in a plane by UMAP with cosine distances, as the paper's Figure 1 does.

    Neighbours stay neighbours; distances and the size of the gap mean nothing. The mean of all points is the origin.

    Args:
        images: (N, D).
        texts: (N, D): row i is the text of image i's identity. Each text is embedded once.
        seed: Of UMAP.
    """
    from umap import UMAP

    distinct, own = np.unique(texts, axis=0, return_inverse=True)
    points = np.concatenate([images, distinct]).astype(np.float32)
    neighbours = min(15, len(points) - 1)
    made = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(points)
    made = np.asarray(made, dtype=np.float64) - np.mean(made, axis=0)
    return Plane(made[: len(images)], made[len(images) :][own.ravel()])


def _principal(points: Points) -> Points:
    """Return the unit direction (D,) of the greatest variance of centred points, towards the longer tail."""
    direction: Points = np.linalg.eigh(points.T @ points)[1][:, -1]
    return -direction if ((points @ direction) ** 3).sum() < 0 else direction


def gap_picture(columns: Sequence[Sequence[GapPanel]], *, axes: tuple[str, str] = (ACROSS, UP)) -> Image.Image:
    """Draw panels with a common scale, so that gaps can be compared by eye.

    Args:
        columns: Panels of each column, from top to bottom.
        axes: What the horizontal and the vertical axis show.

    Returns:
        An RGB picture.

    Raises:
        ValueError: If there are no panels.
    """
    panels = [panel for column in columns for panel in column]
    if not panels:
        raise ValueError("no panels")
    low, high = _limits(panels)
    height = min(WIDTH * (high[1] - low[1]) / (high[0] - low[0]), TALLEST)
    rows = max(len(column) for column in columns)
    size = (WIDTH * len(columns) + 0.6, (height + 0.6) * rows + 0.9)
    figure = new_figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(rows, len(columns), sharex=True, sharey=True, squeeze=False)
    for (row, column), panel_axes in np.ndenumerate(grid):
        if row < len(columns[column]):
            _draw(panel_axes, columns[column][row])
            panel_axes.tick_params(labelbottom=row + 1 == len(columns[column]))
        else:
            panel_axes.set_axis_off()
    grid[0, 0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    figure.supxlabel(axes[0], color=MUTED, fontsize=9)
    figure.supylabel(axes[1], color=MUTED, fontsize=9)
    _explain(figure, grid[0, 0], ncols=4 if len(columns) > 1 else 2)
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return Image.open(written).convert("RGB")


def _explain(figure: Figure, axes: Axes, *, ncols: int) -> None:
    """Add a legend, once for all panels."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=ncols, frameon=False, fontsize=9)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)


def _limits(panels: Sequence[GapPanel]) -> tuple[Points, Points]:
    """Return the lower and the upper corner (2,) of the points of all panels, with a margin."""
    points = np.concatenate([part for panel in panels for part in (panel.plane.images, panel.plane.texts)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = max(0.04 * float((high - low).max()), 1e-3)
    return low - margin, high + margin


def _draw(axes: Axes, panel: GapPanel) -> None:
    from matplotlib.collections import LineCollection

    images, texts = panel.plane.images, panel.plane.texts
    distinct = np.unique(texts, axis=0)  # (K, 2)
    centres = np.stack([images.mean(axis=0), texts.mean(axis=0)])
    faint = min(0.6, 60 / len(images) + 0.06)  # many lines would merge to a grey area
    axes.scatter(images[:, 0], images[:, 1], s=6, color=IMAGES, linewidths=0, alpha=0.7, label="images", zorder=2)
    axes.scatter(
        distinct[:, 0], distinct[:, 1], s=10, color=TEXTS, linewidths=0, label="texts of their identities", zorder=3
    )
    pairs = LineCollection(list(np.stack([images, texts], axis=1)), colors=PAIRS, linewidths=0.4, alpha=faint)
    pairs.set_label("an image and its text")
    axes.add_collection(pairs)
    axes.plot(centres[:, 0], centres[:, 1], "+", color="black", markersize=9, label="centres", zorder=4)
    axes.set_aspect("equal")
    axes.set_title(panel.heading, loc="left", fontsize=9, color=INK, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=7)
