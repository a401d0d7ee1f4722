"""DMPT in float64, from the equations of multi-spectral.md 2.3: one observation, one spectrum, one token at a time.

The tower's weights come as a state dict of numpy arrays, as for `oracles.clip`; what is learnt comes as a `Learnt`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from oracles.clip import layer_norm, transformer

Array = npt.NDArray[np.float64]
HEADS = 8


class Learnt(NamedTuple):
    """Arrays by the names of the equations.

    Args:
        e: (S, D), by spectrum.
        w: (L, W, D), by block.
        b: (L, W), by block.
        r: (S, L, n_m, W), by spectrum and block.
        s: (L, n_s, W), by block.
        bd0: (n_b, W).
        a1: Weights of the attention of the bind tokens, by name.
        a2: Weights of the attention of the semantic tokens.
    """

    e: Array
    w: Array
    b: Array
    r: Array
    s: Array
    bd0: Array
    a1: Mapping[str, Array]
    a2: Mapping[str, Array]


def attend(queries: Sequence[Array], sources: Sequence[Array], weights: Mapping[str, Array]) -> list[Array]:
    """A(LN queries, LN sources), one query and one head at a time."""
    queries = [layer_norm(token, weights["of_queries.weight"], weights["of_queries.bias"]) for token in queries]
    sources = [layer_norm(token, weights["of_sources.weight"], weights["of_sources.bias"]) for token in sources]

    def linear(name: str, token: Array) -> Array:
        return weights[f"{name}.weight"] @ token + weights[f"{name}.bias"]

    keys, values = ([linear(name, token) for token in sources] for name in ("key", "value"))
    results = []
    for token in queries:
        query = linear("query", token)
        size = len(query) // HEADS
        parts = []
        for head in range(HEADS):
            cut = slice(head * size, (head + 1) * size)
            scores = [float(query[cut] @ key[cut]) / math.sqrt(size) for key in keys]
            powers = [math.exp(score - max(scores)) for score in scores]
            parts.append(sum(power / sum(powers) * value[cut] for power, value in zip(powers, values, strict=True)))
        results.append(linear("out", np.concatenate(parts)))
    return results


def stream(
    image: Array, own: int, learnt: Learnt, state: Mapping[str, Array], *, patch: int, heads: int, quick: bool
) -> tuple[Array, list[Array]]:
    """One image of spectrum number `own`, (3, H, W) -> cls^m and S^m after the last block."""
    _, height, width = image.shape
    places = [state["class_embedding"]]
    for top in range(0, height - patch + 1, patch):
        for left in range(0, width - patch + 1, patch):
            window = image[:, top : top + patch, left : left + patch]
            places.append(np.array([(kernel * window).sum() for kernel in state["conv1.weight"]]))
    places = [place + position for place, position in zip(places, state["positional_embedding"], strict=True)]
    places = [layer_norm(place, state["ln_pre.weight"], state["ln_pre.bias"]) for place in places]
    count = len(places)
    for block in range(len(learnt.w)):
        named = learnt.w[block] @ learnt.e[own] + learnt.b[block]
        specific = [named + token for token in learnt.r[own, block]]
        places = [*places[:count], *specific, *learnt.s[block]]
        prefix = f"transformer.resblocks.{block}."
        alone = {
            name.replace(prefix, "transformer.resblocks.0."): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        places = transformer(places, alone, heads=heads, quick=quick, causal=False)
    return places[0], places[count + learnt.r.shape[2] :]


def encode(
    images: Sequence[Array | None], learnt: Learnt, state: Mapping[str, Array], *, patch: int, heads: int, quick: bool
) -> tuple[Array, Array]:
    """The images of an observation, None for a missing one -> g and s. A missing spectrum has the others' means."""

    def projected(token: Array) -> Array:
        return layer_norm(token, state["ln_post.weight"], state["ln_post.bias"]) @ state["proj"]

    streams = {
        number: stream(image, number, learnt, state, patch=patch, heads=heads, quick=quick)
        for number, image in enumerate(images)
        if image is not None
    }
    gathered = attend(learnt.bd0, [token for _, tokens in streams.values() for token in tokens], learnt.a1)
    bound = [token + more for token, more in zip(learnt.bd0, gathered, strict=True)]
    f, semantic = {}, {}
    for number, (cls, tokens) in streams.items():
        read = attend(tokens, bound, learnt.a2)
        exchanged = [token + more for token, more in zip(tokens, read, strict=True)]
        f[number], semantic[number] = projected(cls), projected(sum(exchanged) / len(exchanged))
    joined = []
    for parts in (f, semantic):
        mean = sum(parts.values()) / len(parts)
        joined.append(np.concatenate([parts.get(number, mean) for number in range(len(images))]))
    return joined[0], joined[1]


def soft_triplet(features: Array, labels: Sequence[int]) -> float:
    """Batch-hard with a soft margin, Euclidean, of features of any length: the mean of log(1 + exp(d+ - d-))."""
    total = 0.0
    for row, label in zip(features, labels, strict=True):
        distances = [math.sqrt(sum((a - b) ** 2 for a, b in zip(row, other, strict=True))) for other in features]
        positive = max(distance for distance, own in zip(distances, labels, strict=True) if own == label)
        negative = min(distance for distance, own in zip(distances, labels, strict=True) if own != label)
        total += math.log(1 + math.exp(positive - negative))
    return total / len(features)
