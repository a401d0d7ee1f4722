"""CLIP's two towers in float64, token by token, from the description of the architecture; slow on purpose.

A tower's weights come as a state dict of numpy arrays. Shapes: W width, n places, h heads.
"""

from __future__ import annotations

import math

import numpy as np


def layer_norm(vector, weight, bias):
    mean = vector.mean()
    variance = ((vector - mean) ** 2).mean()
    return (vector - mean) / math.sqrt(variance + 1e-5) * weight + bias


def activation(vector, *, quick):
    if quick:
        return vector / (1 + np.exp(-1.702 * vector))
    return np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in vector])


def attention(places, block, heads, *, causal):
    """places: list of n vectors (W,), already normalised. Returns n vectors."""
    width = len(places[0])
    size = width // heads
    joined = [block["attn.in_proj_weight"] @ place + block["attn.in_proj_bias"] for place in places]
    query, key, value = ([row[part * width : (part + 1) * width] for row in joined] for part in range(3))
    results = []
    for here in range(len(places)):
        seen = range(here + 1) if causal else range(len(places))
        parts = []
        for head in range(heads):
            cut = slice(head * size, (head + 1) * size)
            scores = np.array([query[here][cut] @ key[there][cut] / math.sqrt(size) for there in seen])
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            parts.append(sum(weight * value[there][cut] for weight, there in zip(weights, seen, strict=True)))
        results.append(block["attn.out_proj.weight"] @ np.concatenate(parts) + block["attn.out_proj.bias"])
    return results


def transformer(places, state, *, heads, quick, causal):
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("transformer.resblocks."))
    for layer in range(layers):
        prefix = f"transformer.resblocks.{layer}."
        block = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        normal = [layer_norm(place, block["ln_1.weight"], block["ln_1.bias"]) for place in places]
        added = attention(normal, block, heads, causal=causal)
        places = [place + more for place, more in zip(places, added, strict=True)]
        for index, place in enumerate(places):
            normal_place = layer_norm(place, block["ln_2.weight"], block["ln_2.bias"])
            hidden = activation(block["mlp.c_fc.weight"] @ normal_place + block["mlp.c_fc.bias"], quick=quick)
            places[index] = place + block["mlp.c_proj.weight"] @ hidden + block["mlp.c_proj.bias"]
    return places


def encode_image(pixels, state, *, patch, stride, heads, quick):
    """pixels (3, H, W) normalised -> the projected [CLS] feature (D,), Eq. 7."""
    _, height, width = pixels.shape
    places = [state["class_embedding"]]
    for top in range(0, height - patch + 1, stride):
        for left in range(0, width - patch + 1, stride):
            window = pixels[:, top : top + patch, left : left + patch]
            places.append(np.array([(kernel * window).sum() for kernel in state["conv1.weight"]]))
    places = [place + position for place, position in zip(places, state["positional_embedding"], strict=True)]
    places = [layer_norm(place, state["ln_pre.weight"], state["ln_pre.bias"]) for place in places]
    places = transformer(places, state, heads=heads, quick=quick, causal=False)
    return layer_norm(places[0], state["ln_post.weight"], state["ln_post.bias"]) @ state["proj"]


def encode_text(embeddings, end, state, *, heads, quick):
    """Word embeddings of all places (T, d) -> the projected feature of the end token (D,), Eq. 11."""
    places = [place + position for place, position in zip(embeddings, state["positional_embedding"], strict=True)]
    places = transformer(places, state, heads=heads, quick=quick, causal=True)
    return layer_norm(places[end], state["ln_final.weight"], state["ln_final.bias"]) @ state["text_projection"]
