"""Measure the modality gap: distances between images and the texts of their identities (the paper's Figure 1).

Shapes: N images, K identities, D joint width.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.saved_embeddings import row_lengths


@dataclasses.dataclass(frozen=True, slots=True)
class ModalityGap:
    """Distances between images and the texts of their identities, all scaled to unit length.

    Args:
        distance: Distance from the mean of the images to the mean of their texts, in [0, 2].
        nearest: Percentage of images whose own text is nearer than all other texts.
        cosine: Mean cosine between an image and its own text, in [-1, 1].
    """

    distance: float
    nearest: float
    cosine: float


def modality_gap(images: npt.NDArray[Any], texts: npt.NDArray[Any], labels: IntArray) -> ModalityGap:
    """Measure the gap between images and texts.

    Every image is paired with the text of its own identity. The mean of the texts counts each text once per image.
    `nearest` does not count images to which another text is exactly as near.

    Args:
        images: Shape (N, D), vectors of any length.
        texts: Shape (K, D), vectors of any length.
        labels: Shape (N,), row of each image's own text.

    Raises:
        DataError: If a vector is all zeros.
        ValueError: If there are no images.

    >>> modality_gap(np.array([[2, 0], [0, 1]]), np.array([[1, 0], [0, 3]]), np.array([0, 1]))
    ModalityGap(distance=0.0, nearest=100.0, cosine=1.0)
    """
    if not len(images):
        raise ValueError("no images")
    images, texts = unit_rows(images), unit_rows(texts)
    distance = np.linalg.norm(images.mean(axis=0) - texts[labels].mean(axis=0))
    cosines = images @ texts.T  # (N, K)
    pairs = np.arange(len(images)), labels
    own = cosines[pairs]
    cosines[pairs] = -np.inf
    return ModalityGap(float(distance), 100 * float((own > cosines.max(axis=1)).mean()), float(own.mean()))


def unit_rows(vectors: npt.NDArray[Any]) -> FloatArray:
    """Return vectors (M, D) scaled to unit length, as float64.

    Raises:
        DataError: If a vector is all zeros.
    """
    wide = np.asarray(vectors, np.float64)
    lengths = row_lengths(wide)
    if not lengths.all():
        raise DataError(f"{np.count_nonzero(lengths == 0)} of {len(wide)} vectors are all zeros: they have no cosine.")
    unit: FloatArray = wide / lengths[:, None]
    return unit
