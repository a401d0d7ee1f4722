"""Resizing of position embeddings from one patch grid to another.

Legend: W width of the tower, h x w grids of patches; row 0 belongs to the class token.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.encoders.geometry import Grid
from scing_cli.core.errors import WeightsError


def resize_positions(embedding: Tensor, source_grid: Grid, target_grid: Grid) -> Tensor:
    """Resize position embeddings bilinearly, as CLIP-ReID does; the class token's row is not changed.

    Args:
        embedding: Shape (1 + source h * w, W), float32.
        source_grid: Rows and columns that it was trained for.
        target_grid: Rows and columns of the result.

    Returns:
        Shape (1 + target h * w, W); `embedding` itself where the grids are equal.

    Raises:
        WeightsError: If the embedding does not have one row per patch of the source grid and one for the class token.
    """
    rows, columns = source_grid
    if embedding.ndim != 2 or embedding.shape[0] != 1 + rows * columns:
        raise WeightsError(
            f"Position embeddings of shape {tuple(embedding.shape)} do not fit a grid of {rows}x{columns} patches: "
            f"{1 + rows * columns} rows are needed."
        )
    if source_grid == target_grid:
        return embedding
    patches = embedding[1:].T.reshape(1, -1, rows, columns)  # (1, W, h, w)
    resized = functional.interpolate(patches, size=target_grid, mode="bilinear", align_corners=False)
    return torch.cat((embedding[:1], resized.flatten(2)[0].T))


def square_grid(count: int) -> Grid:
    """Return the square grid of `count` position rows, which include the class token's row.

    Raises:
        WeightsError: If no square grid has that many patches; the message names the shapes.

    >>> square_grid(197)
    (14, 14)
    """
    side = math.isqrt(max(count - 1, 0))
    if side < 1 or side * side != count - 1:
        raise WeightsError(
            f"{count} position rows (1 for the class token, {count - 1} for patches) do not fit a square grid: "
            f"the nearest ones are {side}x{side} and {side + 1}x{side + 1}."
        )
    return side, side


def source_grid(count: int, native: Grid, target: Grid) -> Grid:
    """Return the grid that `count` position rows were trained for.

    The native grid is tried first, then the target grid, then a square grid.

    Raises:
        WeightsError: If none of the three fits; the message names all shapes.
    """
    for rows, columns in (native, target):
        if count == 1 + rows * columns:
            return rows, columns
    try:
        return square_grid(count)
    except WeightsError as error:
        raise WeightsError(
            f"{error.what} They do not fit the model's {native[0]}x{native[1]} patches or the requested "
            f"{target[0]}x{target[1]} patches either.",
            "Use weights of this model, or the --stride and size that they were trained with.",
        ) from None


def stride_of(count: int, native: Grid, size: Grid, patch: int) -> int | None:
    """Return the stride below the patch's side at which an image has as many patches as `count` position rows show.

    Args:
        count: The number of position rows, which include the class token's row.
        native: Height and width that the model was pretrained on, in pixels.
        size: Height and width of the images, in pixels.
        patch: Side of a patch, in pixels.

    Returns:
        The largest such stride; None if no stride fits, or `patch` itself does, at either size.

    >>> stride_of(1 + 21 * 10, (224, 224), (256, 128), 16), stride_of(197, (224, 224), (256, 128), 16)
    (12, None)
    """
    height, width = size
    counts = {step: ((height - patch) // step + 1) * ((width - patch) // step + 1) for step in range(patch, 0, -1)}
    if count - 1 in ((native[0] // patch) * (native[1] // patch), counts[patch]):
        return None
    return next((step for step, number in counts.items() if number == count - 1), None)
