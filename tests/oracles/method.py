"""SCING's equations as plain float64 loops over single vectors, written from the paper with our readings."""

from __future__ import annotations

import math

import numpy as np


def unit(vector):
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def cosine(left, right):
    """Eq. 13."""
    dot = sum(float(a) * float(b) for a, b in zip(left, right, strict=True))
    norms = [math.sqrt(sum(float(x) ** 2 for x in vector)) for vector in (left, right)]
    return dot / (norms[0] * norms[1])


def linear(weight, bias, vector):
    return np.array(
        [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
    )


def condition(state, feature):
    """Eq. 8: two layers with ReLU."""
    hidden = linear(state["condition.0.weight"], state["condition.0.bias"], feature)
    return linear(state["condition.2.weight"], state["condition.2.bias"], np.array([max(x, 0.0) for x in hidden]))


def gate(state, feature):
    """Eq. 9."""
    return np.array([1 / (1 + math.exp(-x)) for x in linear(state["gate.weight"], state["gate.bias"], feature)])


def fused_tokens(state, tokens, feature, fused, *, per_token):
    """Eq. 10: tokens (L, d) of one identity, the first `fused` of them with the image's part added."""
    c, alpha = condition(state, feature), gate(state, feature)
    width = tokens.shape[1]
    result = tokens.copy()
    for i in range(fused):
        for j in range(width):
            part = c[i * width + j] * alpha[i] if per_token else c[j] * alpha[j]
            result[i, j] = tokens[i, j] + part
    return result


def log_softmax(scores, place):
    top = max(scores)
    return scores[place] - top - math.log(sum(math.exp(score - top) for score in scores))


def clip_loss(images, texts, labels, scale, *, every_positive):
    """Eq. 1 and 15 (R4): (L_i2t, L_t2i), each the mean over the batch."""
    size = len(labels)
    results = []
    for anchors, others in ((images, texts), (texts, images)):
        total = 0.0
        for i in range(size):
            scores = [scale * cosine(anchors[i], others[j]) for j in range(size)]
            positives = [j for j in range(size) if labels[j] == labels[i]] if every_positive else [i]
            total += -sum(log_softmax(scores, j) for j in positives) / len(positives)
        results.append(total / size)
    return tuple(results)


def consistency_loss(texts, first, second):
    """Eq. 14, mean over the batch."""
    rows = zip(texts, first, second, strict=True)
    losses = [1 - (cosine(w, w1) + cosine(w, w2) + cosine(w1, w2)) / 3 for w, w1, w2 in rows]
    return sum(losses) / len(losses)


def classification_loss(images, texts, labels, scale, smoothing=0.0):
    """Eq. 17 (R7)."""
    total = 0.0
    for image, label in zip(images, labels, strict=True):
        scores = [scale * cosine(image, text) for text in texts]
        own = -log_softmax(scores, label)
        every = -sum(log_softmax(scores, k) for k in range(len(texts))) / len(texts)
        total += (1 - smoothing) * own + smoothing * every
    return total / len(images)


def triplet_loss(images, texts, labels, margin):
    """Eq. 18-19 (R8): <,> is 1 - cos, the hardest negative is the nearest image of another identity."""
    total = 0.0
    active = 0
    for k, image in enumerate(images):
        own = 1 - cosine(image, texts[labels[k]])
        negatives = [1 - cosine(image, images[j]) for j in range(len(images)) if labels[j] != labels[k]]
        value = max(own - min(negatives) + margin, 0.0)
        total += value
        active += value > 0
    return total / len(images), active / len(images)
