"""CLIP-ReID's losses and schedules as plain float64 loops, written from its description; CoCoOp's meta-net."""

from __future__ import annotations

import math

import numpy as np
from oracles.method import linear, log_softmax


def dot(left, right):
    return sum(float(a) * float(b) for a, b in zip(left, right, strict=True))


def contrast(anchors, others, labels):
    """One direction of stage 1: raw dot products at temperature 1, every image of the identity a positive."""
    total = 0.0
    for i, anchor in enumerate(anchors):
        scores = [dot(anchor, other) for other in others]
        positives = [j for j, label in enumerate(labels) if label == labels[i]]
        total += -sum(log_softmax(scores, j) for j in positives) / len(positives)
    return total / len(anchors)


def cross_entropy(scores, label, smoothing):
    every = -sum(log_softmax(scores, k) for k in range(len(scores))) / len(scores)
    return (1 - smoothing) * -log_softmax(scores, label) + smoothing * every


def image_to_text(images, texts, labels, smoothing):
    """Raw dot products of an image with all identities' texts."""
    losses = [
        cross_entropy([dot(image, text) for text in texts], label, smoothing)
        for image, label in zip(images, labels, strict=True)
    ]
    return sum(losses) / len(losses)


def identity_loss(features, head, labels, smoothing):
    """A linear head without bias behind a BN neck in training: batch statistics, weight 1, bias 0."""
    means = [sum(column) / len(features) for column in features.T]
    variances = [sum((x - m) ** 2 for x in column) / len(features) for column, m in zip(features.T, means, strict=True)]
    losses = []
    for row, label in zip(features, labels, strict=True):
        normal = [(x - m) / math.sqrt(v + 1e-5) for x, m, v in zip(row, means, variances, strict=True)]
        losses.append(cross_entropy([dot(weight, normal) for weight in head], label, smoothing))
    return sum(losses) / len(losses)


def triplet(features, labels, margin):
    """Batch-hard, Euclidean, features of any length; the row itself is a positive at distance 0."""
    total = 0.0
    for row, label in zip(features, labels, strict=True):
        distances = [math.sqrt(sum((a - b) ** 2 for a, b in zip(row, other, strict=True))) for other in features]
        positive = max(distance for distance, own in zip(distances, labels, strict=True) if own == label)
        negative = min(distance for distance, own in zip(distances, labels, strict=True) if own != label)
        total += max(positive - negative + margin, 0.0)
    return total / len(features)


def stage_1_rates(epochs=120, base=3.5e-4, start=1e-5, final=1e-6, warmup=5):
    """Epochs count from 1: linear up to the warm-up's end, else half a cosine over all epochs; the last is the floor."""
    rates = []
    for epoch in range(1, epochs + 1):
        if epoch < warmup:
            rates.append(start + epoch * (base - start) / warmup)
        elif epoch < epochs:
            rates.append(final + 0.5 * (base - final) * (1 + math.cos(math.pi * epoch / epochs)))
        else:
            rates.append(final)
    return rates


def stage_2_rates(epochs=60, base=5e-6, warmup=10, milestones=(30, 50)):
    """Epochs count from 1: linear from a tenth, then a tenth from each milestone on."""
    rates = []
    for epoch in range(1, epochs + 1):
        rate = base
        if epoch < warmup:
            share = epoch / warmup
            rate *= 0.1 * (1 - share) + share
        for milestone in milestones:
            if epoch >= milestone:
                rate *= 0.1
        rates.append(rate)
    return rates


def meta_net(state, feature):
    """Eq. 3: two layers with ReLU."""
    hidden = linear(state["layers.0.weight"], state["layers.0.bias"], feature)
    return linear(state["layers.2.weight"], state["layers.2.bias"], np.array([max(x, 0.0) for x in hidden]))
