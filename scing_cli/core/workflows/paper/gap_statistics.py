"""The modality gap: how far images lie from their identities' texts (the paper's Figure 1), as numbers.

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
    """How images and the texts of their identities lie to each other, all of them made unit length.

    Args:
        distance: From the mean of the images to the mean of their texts, in [0, 2].
        nearest: Percent of the images to which their own text is nearer than every other text.
        cosine: Mean cosine of an image and its own text, in [-1, 1].
    """

    distance: float
    nearest: float
    cosine: float


def modality_gap(images: npt.NDArray[Any], texts: npt.NDArray[Any], labels: IntArray) -> ModalityGap:
    """Measure the gap between images and texts.

    Every image is paired with the text of its own identity: in the mean of the texts a text counts once for each of
    its images. An image is compared with all K texts; one to which another text is exactly as near is no hit.

    Args:
        images: Shape (N, D), of any length.
        texts: Shape (K, D), of any length.
        labels: Shape (N,), which text is an image's own.

    Raises:
        DataError: If a vector is all zeros.
        ValueError: If there is no image.

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
    """Return vectors (M, D) as float64 of unit length.

    Raises:
        DataError: If one is all zeros.
    """
    wide = np.asarray(vectors, np.float64)
    lengths = row_lengths(wide)
    if not lengths.all():
        raise DataError(f"{np.count_nonzero(lengths == 0)} of {len(wide)} vectors are all zeros: they have no cosine.")
    unit: FloatArray = wide / lengths[:, None]
    return unit
