"""Losses over pairs of image and text as plain float64 loops over single cosines, through which gradients flow."""

from __future__ import annotations

import torch
from torch import Tensor


def cosines(images: Tensor, texts: Tensor, scale: float) -> list[list[Tensor]]:
    return [[scale * (one @ other) / (one @ one).sqrt() / (other @ other).sqrt() for other in texts] for one in images]


def turned(table: list[list[Tensor]]) -> list[list[Tensor]]:
    return [list(row) for row in zip(*table, strict=True)]


def log_softmax(row: list[Tensor]) -> list[Tensor]:
    top = max(float(score.detach()) for score in row)
    total = sum((score - top).exp() for score in row)
    return [score - top - total.log() for score in row]


def mean(values: list[Tensor]) -> Tensor:
    return sum(values, torch.zeros((), dtype=torch.float64)) / len(values)


def wanted(labels: list[int], anchor: int) -> list[float]:
    same = [1.0 if label == labels[anchor] else 0.0 for label in labels]
    return [share / sum(same) for share in same]


def sdm(images: Tensor, texts: Tensor, labels: list[int], scale: float) -> Tensor:
    table, total = cosines(images, texts, scale), torch.zeros((), dtype=torch.float64)
    for scores in (table, turned(table)):
        rows = []
        for anchor, row in enumerate(scores):
            log_p = log_softmax(row)
            aims = [torch.tensor(q + 1e-8, dtype=torch.float64).log() for q in wanted(labels, anchor)]
            rows.append(sum(own.exp() * (own - aim) for own, aim in zip(log_p, aims, strict=True)))
        total = total + mean(rows)
    return total


def itc(images: Tensor, texts: Tensor, labels: list[int], scale: float) -> Tensor:
    table, total = cosines(images, texts, scale), torch.zeros((), dtype=torch.float64)
    for scores in (table, turned(table)):
        rows = []
        for anchor, row in enumerate(scores):
            shares = wanted(labels, anchor)
            rows.append(sum(-share * own for share, own in zip(shares, log_softmax(row), strict=True)))
        total = total + mean(rows) / 2
    return total


def identity(images: Tensor, texts: Tensor, labels: list[int], weight: Tensor, bias: Tensor) -> Tensor:
    """One classifier, (K, D) and (K,), for both kinds."""
    parts = []
    for vectors in (images, texts):
        scores = [[vector @ row + own for row, own in zip(weight, bias, strict=True)] for vector in vectors]
        parts.append(mean([-log_softmax(row)[label] for row, label in zip(scores, labels, strict=True)]))
    return mean(parts)
