"""The modality gap by plain loops over numbers, from its definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]


def unit(vector: Vector) -> list[float]:
    length = math.sqrt(sum(float(value) ** 2 for value in vector))
    return [float(value) / length for value in vector]


def cosine(a: Vector, b: Vector) -> float:
    return sum(left * right for left, right in zip(unit(a), unit(b), strict=True))


def mean(vectors: Sequence[Vector]) -> list[float]:
    return [sum(values) / len(vectors) for values in zip(*vectors, strict=True)]


def gap(images: Sequence[Vector], texts: Sequence[Vector], labels: Sequence[int]) -> tuple[float, float, float]:
    """Distance of the centres, percent of images that are nearest to their own text, mean cosine of the pairs."""
    distance = math.dist(mean([unit(row) for row in images]), mean([unit(texts[label]) for label in labels]))
    hits = 0
    for row, label in zip(images, labels, strict=True):
        others = [cosine(row, text) for place, text in enumerate(texts) if place != label]
        hits += all(cosine(row, texts[label]) > other for other in others)
    cosines = [cosine(row, texts[label]) for row, label in zip(images, labels, strict=True)]
    return distance, 100 * hits / len(images), sum(cosines) / len(cosines)
