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


def image_consistency_loss(features, first, second):
    """R20: the texts of both views against the image's own feature, mean over the batch."""
    rows = zip(features, first, second, strict=True)
    losses = [(1 - cosine(v, w1)) + (1 - cosine(v, w2)) for v, w1, w2 in rows]
    return sum(losses) / len(losses)


def query_loss(images, texts, labels, scale):
    """R21: L_i2t where image i is compared with texts[i][k], the text of identity k under the condition of image i."""
    total = 0.0
    for image, own, label in zip(images, texts, labels, strict=True):
        present = sorted(set(labels))
        scores = [scale * cosine(image, own[k]) for k in present]
        total += -log_softmax(scores, present.index(label))
    return total / len(images)


def conditioned(feature, kind):
    """R19: V as it conditions the prompts: of unit length, raw, or of length N."""
    if kind == "raw":
        return feature
    return float(kind.partition(":")[2] or 1) * unit(feature)


def classification_loss(images, texts, labels, scale, smoothing=0.0):
    """Eq. 17 (R7)."""
    total = 0.0
    for image, label in zip(images, labels, strict=True):
        scores = [scale * cosine(image, text) for text in texts]
        own = -log_softmax(scores, label)
        every = -sum(log_softmax(scores, k) for k in range(len(texts))) / len(texts)
        total += (1 - smoothing) * own + smoothing * every
    return total / len(images)


def start_prototypes(features, labels, cameras):
    """Ours: the identity, or identity and camera, of each centroid, and the unit means of the unit features."""
    keys = sorted(set(zip(labels, cameras or [""] * len(labels), strict=True)))
    means = []
    for identity, camera in keys:
        own = [row for row in range(len(labels)) if labels[row] == identity and (not cameras or cameras[row] == camera)]
        means.append(unit(sum(unit(features[row]) for row in own) / len(own)))
    return keys, means


def prototype_loss(images, own, keys, centroids, temperature=0.05, texts=(), scale=0.0):
    """Ours: the mean over images of the mean over their identity's anchors of -log softmax."""
    total = 0.0
    for image, (identity, _) in zip(images, own, strict=True):
        scores = [scale * cosine(image, text) for text in texts]
        scores += [cosine(image, centroid) / temperature for centroid in centroids]
        positives = [identity] if len(texts) else []
        positives += [len(texts) + number for number, key in enumerate(keys) if key[0] == identity]
        total += -sum(log_softmax(scores, place) for place in positives) / len(positives)
    return total / len(images)


def moved_prototypes(images, own, keys, centroids, momentum):
    """Ours: the centroids after a step."""
    moved = []
    for key, centroid in zip(keys, centroids, strict=True):
        rows = [row for row in range(len(own)) if own[row] == key]
        if rows:
            hardest = min(rows, key=lambda row: cosine(images[row], centroid))
            moved.append(unit(momentum * centroid + (1 - momentum) * unit(images[hardest])))
        else:
            moved.append(centroid)
    return moved


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


def view_loss(images, views, texts, scale, kind):
    """1 - cos(image, view) + KL of the distributions over texts, the mean over images: PDCA in stage 2."""
    total = 0.0
    for image, view in zip(images, views, strict=True):
        scores = [
            [scale * (cosine(one, text) if kind == "cosine" else float(np.dot(one, text))) for text in texts]
            for one in (image, view)
        ]
        logs = [[log_softmax(own, place) for place in range(len(texts))] for own in scores]
        divergence = sum(np.exp(first) * (first - second) for first, second in zip(*logs, strict=True))
        total += 1 - cosine(image, view) + divergence
    return total / len(images)
