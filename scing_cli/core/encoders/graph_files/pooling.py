"""One vector per image from an encoder's output.

Legend: B batch, D width of the vectors, h x w a map's sides, L tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.encoders.graph_files.graph_facts import GraphError

Floats = npt.NDArray[np.float32]
EXTRA_TOKENS = (1, 2, 5)  # before the patches: the class token; with a distillation token; with four registers
SMALLEST_PATCH = 4
REMEDY = "Export the encoder with one vector per image as its output, (B, D)."


def pool(output: npt.NDArray[Any], size: tuple[int, int], *, channels_last: bool) -> Floats:
    """Return one vector per image.

    Vectors stay as they are, also with further sides of 1. A map, (B, D, h, w), or (B, h, w, D) from an input with the
    channels last, is averaged over its places. Of a sequence of tokens, (B, L, D), the first one is taken if there
    is a class token: if the other tokens are as many as the image has patches of some size.

    Args:
        output: Shape (B, ...).
        size: Height and width of the images.
        channels_last: Whether the input has the channels last.

    Returns:
        (B, D) float32, not of unit length.

    Raises:
        GraphError: If the shape is none of these.
    """
    values = output.astype(np.float32)
    shape = tuple(side for side in values.shape[1:] if side != 1)
    if values.ndim >= 2 and len(shape) <= 1:
        return values.reshape(len(values), -1)
    if values.ndim == 4:
        pooled: Floats = values.mean(axis=(1, 2) if channels_last else (2, 3))
        return pooled
    if values.ndim == 3 and _has_class_token(values.shape[1], *size):
        return np.ascontiguousarray(values[:, 0])
    if values.ndim == 3:
        tokens = f"its output {values.shape} has {values.shape[1]} tokens per image, and none is a class token"
        raise GraphError(tokens, REMEDY)
    raise GraphError(f"its output {values.shape} is neither a vector, a map nor tokens per image", REMEDY)


def _has_class_token(tokens: int, height: int, width: int) -> bool:
    """Return whether tokens are those of square patches and of a class token.

    >>> _has_class_token(129, 256, 128), _has_class_token(128, 256, 128)
    (True, False)
    """
    sides = range(SMALLEST_PATCH, min(height, width) + 1)
    patches = {(height // side) * (width // side) for side in sides if height % side == 0 and width % side == 0}
    return any(tokens - extra in patches for extra in EXTRA_TOKENS)
